// One service over both versions of HTTP: `undici` (HTTP/1.1, and HTTP/2 by ALPN) and Node's own `http2`
// (HTTP/2 without TLS). Proofs are made by npm `jose`.
//
// It reads one JSON object from stdin: `plain` and `tls`, the origins; `authority`, a file; `bearer`, pairs
// of a name and a token; `bound`, a token and the private JWK that it is bound to. It prints one JSON line
// for each step.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, constants } from 'node:http2';

import { Agent, request } from 'undici';

import { readSettings, say } from './client.mjs';
import { hashOf, prover } from './proofs.mjs';

const settings = await readSettings();
const ca = readFileSync(settings.authority, 'utf8');

// Each takes header fields as pairs, so that a field can be there twice.
async function byUndici(dispatcher, url, method, fields) {
  const { statusCode, headers, body } = await request(url, { dispatcher, method, headers: fields.flat() });
  return { status: statusCode, headers, body: await body.text() };
}

async function byHttp2(session, url, method, fields) {
  const { pathname, search } = new URL(url);
  const headers = { [constants.HTTP2_HEADER_PATH]: pathname + search, [constants.HTTP2_HEADER_METHOD]: method };
  for (const [name, value] of fields) headers[name] = headers[name] ? [headers[name], value].flat() : value;
  const stream = session.request(headers);
  stream.end();
  const [answered] = await once(stream, 'response');
  let body = '';
  for await (const chunk of stream.setEncoding('utf8')) body += chunk;
  const { [constants.HTTP2_HEADER_STATUS]: status, ...rest } = answered;
  return { status, headers: rest, body };
}

const prove = await prover(settings.bound.key, settings.bound.token);

async function walk(name, origin, send) {
  const url = `${origin}/notes`;
  const step = async (what, fields, { method = 'GET', target = url } = {}) => {
    const { status, headers, body } = await send(target, method, fields);
    const told = (field) => [headers[field]].flat().filter(Boolean).join(', ') || undefined;
    const exchange = {
      status,
      challenge: told('www-authenticate'),
      kind: told('interop-kind'),
      version: told('interop-version'),
    };
    say({ walk: name, step: what, exchanges: [exchange], body });
  };
  const bearer = (token) => [['authorization', `Bearer ${token}`]];
  const dpop = (...proofs) => [
    ['authorization', `DPoP ${settings.bound.token}`],
    ...proofs.map((proof) => ['dpop', proof]),
  ];

  await step('nothing', []);
  for (const [what, token] of settings.bearer) await step(what, bearer(token));
  await step('the names of fields in capitals', [['AUTHORIZATION', `Bearer ${settings.bearer[0][1]}`]]);
  const good = () => prove('GET', url);
  const proof = await good();
  await step('a proof', dpop(proof));
  await step('the proof again', dpop(proof));
  await step('no proof', dpop());
  await step('two proofs', dpop(await good(), await good()));
  await step('a bound token as a bearer token', bearer(settings.bound.token));
  await step('a proof for POST', dpop(await prove('POST', url)));
  await step('a proof for another path', dpop(await prove('GET', `${url}/1`)));
  await step('a proof for another host', dpop(await prove('GET', 'https://other.example/notes')));
  await step('a proof for another token', dpop(await prove('GET', url, { ath: hashOf('x') })));
  await step('a proof of an hour ago', dpop(await prove('GET', url, { iat: Math.floor(Date.now() / 1000) - 3600 })));
  await step('with a query', dpop(await good()), { target: `${url}?page=2` });
  await step('another method', dpop(await prove('DELETE', `${url}/1`)), { method: 'DELETE', target: `${url}/1` });
  await step('after all that', dpop(await good()));
}

const one = new Agent({ connect: { ca }, allowH2: false });
const two = new Agent({ connect: { ca }, allowH2: true });
const session = connect(settings.plain);
await walk('HTTP/1.1 by undici', settings.plain, (...sent) => byUndici(one, ...sent));
await walk('HTTP/2 by http2', settings.plain, (...sent) => byHttp2(session, ...sent));
await walk('HTTP/1.1 and TLS by undici', settings.tls, (...sent) => byUndici(one, ...sent));
await walk('HTTP/2 and TLS by undici', settings.tls, (...sent) => byUndici(two, ...sent));
session.close();
await Promise.all([one.destroy(), two.destroy()]);
