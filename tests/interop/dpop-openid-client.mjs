// A DPoP client with openid-client. It retries by itself when it is asked for a nonce.

import * as client from 'openid-client';

import { run } from './dpop.mjs';

await run(async ({ issuer, client_id, client_secret, resource, scope }, fetch, { clockSkew }) => {
  const config = await client.discovery(
    new URL(issuer),
    client_id,
    { [client.clockSkew]: clockSkew },
    client.ClientSecretBasic(client_secret),
    { execute: [client.allowInsecureRequests], [client.customFetch]: fetch },
  );
  return {
    keys: (alg) => client.randomDPoPKeyPair(alg),
    prover: (keys, modify) => client.getDPoPHandle(config, keys, { [client.modifyAssertion]: modify }),
    token: (DPoP) => client.clientCredentialsGrant(config, { resource, scope }, { DPoP }),
    request: (token, DPoP, method, url) => (
      client.fetchProtectedResource(config, token, url, method, undefined, undefined, { DPoP })
    ),
  };
});
