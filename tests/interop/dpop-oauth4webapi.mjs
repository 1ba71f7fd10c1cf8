// A DPoP client with oauth4webapi, which leaves it to its user to retry when a nonce is wanted.

import * as oauth from 'oauth4webapi';

import { run } from './dpop.mjs';

async function withNonce(request) {
  try {
    return await request();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return request();
  }
}

await run(async ({ issuer, client_id, client_secret, resource, scope }, fetch, { clockSkew }) => {
  const options = { [oauth.allowInsecureRequests]: true, [oauth.customFetch]: fetch };
  const found = await oauth.discoveryRequest(new URL(issuer), options);
  const server = await oauth.processDiscoveryResponse(new URL(issuer), found);
  const client = { client_id, [oauth.clockSkew]: clockSkew };
  const authentication = oauth.ClientSecretBasic(client_secret);
  return {
    keys: (alg) => oauth.generateKeyPair(alg),
    prover: (keys, modify) => oauth.DPoP(client, keys, { [oauth.modifyAssertion]: modify }),
    token: (DPoP) => withNonce(async () => {
      const response = await oauth.clientCredentialsGrantRequest(
        server,
        client,
        authentication,
        { resource, scope },
        { ...options, DPoP },
      );
      return oauth.processClientCredentialsResponse(server, client, response);
    }),
    request: (token, DPoP, method, url) => withNonce(() => (
      oauth.protectedResourceRequest(token, method, url, undefined, undefined, { ...options, DPoP })
    )),
  };
});
