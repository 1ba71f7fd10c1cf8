// The steps of a DPoP client, for whatever library makes its proofs.
//
// A library is `connect(settings, fetch, { clockSkew })`, which finds the authorization server and
// resolves to an object of:
// - `keys(alg)`: a new pair of keys,
// - `prover(keys, modify)`: what adds proofs to requests and keeps nonces; `modify` changes a proof
//   before it is signed,
// - `token(prover)`: a token response, bound to the prover's key,
// - `request(token, prover, method, url)`: a request with the token, or a thrown challenge. Without a
//   prover the token is sent as a bearer token.
// `token` and `request` try once more when they are asked for a nonce.

import { createHash } from 'node:crypto';

import { claimsOf, observed, outcome, readSettings, say } from './client.mjs';

const SLOW_CLOCK_S = -3600;

const hashOf = (text) => createHash('sha256').update(text).digest('base64url');

// Ed25519 keys sign for both names of their algorithm; the libraries write the newer one.
function writing(alg, modify) {
  return (header, payload) => {
    header.alg = alg;
    modify?.(payload);
  };
}

async function walk(connect, settings, { alg, origin }) {
  const url = `${origin}/notes`;
  const keyAlg = alg === 'EdDSA' ? 'Ed25519' : alg;
  const wire = observed(fetch);
  const tell = (step, told) => say({ walk: alg, step, ...told, exchanges: wire.take() });
  const client = await connect(settings, wire.fetch, { clockSkew: 0 });
  wire.take();

  const bound = async (client, step) => {
    const keys = await client.keys(keyAlg);
    const prover = client.prover(keys, writing(alg));
    const { access_token, token_type } = await client.token(prover);
    const jkt = await prover.calculateThumbprint();
    tell(step, { token_type, bound_to_own_key: claimsOf(access_token).cnf.jkt === jkt });
    return { keys, prover, token: access_token };
  };
  const request = async (step, token, prover, { method = 'GET', target = url } = {}) => {
    tell(step, await outcome(() => client.request(token, prover, method, new URL(target))));
  };
  const raw = async (step, headers) => {
    tell(step, await outcome(() => wire.fetch(url, { headers })));
  };

  const { keys, prover, token } = await bound(client, 'token');

  await request('first request', token, prover);
  await request('second request', token, prover);
  await request('with a query', token, prover, { target: `${url}?page=2&all#top` });
  await Promise.all([1, 2, 3].map(() => client.request(token, prover, 'GET', new URL(url))));
  tell('at the same time', {});

  await request('once more', token, prover);
  const spent = wire.sent();
  await raw('the same proof again', spent);
  await raw('no proof', { authorization: spent.authorization });
  await raw('two proofs in one field', { ...spent, dpop: `${spent.dpop}, ${spent.dpop}` });
  await request('as a bearer token', token, undefined);
  await raw('as a bearer token with a proof', { ...spent, authorization: `Bearer ${token}` });
  await request('a token that is bound to nothing', settings.unbound, client.prover(keys, writing(alg)));
  await request('the same as a bearer token', settings.unbound, undefined);
  await request('another key', token, client.prover(await client.keys(keyAlg), writing(alg)));

  const altered = (step, modify) => request(step, token, client.prover(keys, writing(alg, modify)));
  await altered('for another method', (payload) => { payload.htm = 'POST'; });
  await altered('for another URI', (payload) => { payload.htu = `${payload.htu}/1`; });
  await altered('for another token', (payload) => { payload.ath = hashOf(`${token}?`); });
  await client.token(client.prover(keys, writing(alg)));
  const { nonce } = wire.take().find((exchange) => exchange.nonce);
  await altered('with the nonce of the authorization server', (payload) => { payload.nonce = nonce; });

  const late = await connect(settings, wire.fetch, { clockSkew: SLOW_CLOCK_S });
  wire.take();
  const slow = await bound(late, 'token, by a slow clock');
  await request('by a slow clock', slow.token, slow.prover);

  await request('after all that', token, prover);
  const exports = { method: 'POST', target: `${origin}/exports` };
  await request('a token for one use', token, prover, exports);
  await request('its second use', token, prover, exports);
}

// Where the server does not take the algorithm, one request is enough to know it.
async function ask(connect, settings, { alg, origin }) {
  const wire = observed(fetch);
  const client = await connect(settings, wire.fetch, { clockSkew: 0 });
  const prover = client.prover(await client.keys(alg), writing(alg));
  const { access_token } = await client.token(prover);
  wire.take();
  const told = await outcome(() => client.request(access_token, prover, 'GET', new URL(`${origin}/notes`)));
  say({ walk: alg, step: 'an algorithm that is not taken', ...told, exchanges: wire.take() });
}

export async function run(connect) {
  const settings = await readSettings();
  for (const one of settings.walks) await walk(connect, settings, one);
  for (const one of settings.asks) await ask(connect, settings, one);
}
