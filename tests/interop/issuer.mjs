// An issuer of JWTs, of status lists and of security events: npm `jose` and `@sd-jwt/jwt-status-list`.
//
// It prints one line of JSON when it is ready: `{"issuer":URL,"control":URL}`. Control, each a POST with an
// object: `/sign` (a recipe of jwts.mjs), `/keys` (the public ones), `/client_key`
// (a new one, and its thumbprint), and those of lists.mjs and events.mjs.

import { Events } from './events.mjs';
import { clientKey, makeKeys, publicSet, sign } from './jwts.mjs';
import { Lists } from './lists.mjs';
import { control, listen, say } from './serve.mjs';

const RESOURCE = 'https://notes.example';
const LIFETIME_S = 5 * 60;

const keys = await makeKeys();
const served = new Map();
const issuer = await listen((req, res) => {
  const handle = served.get(new URL(req.url, 'http://localhost').pathname);
  const answer = (status) => { res.writeHead(status); res.end(); };
  if (!handle) return answer(404);
  return Promise.resolve(handle(req, res)).catch((error) => { console.error(error); answer(500); });
});

const document = (value) => (req, res) => {
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify(value));
};

served.set('/.well-known/openid-configuration', document({ issuer, jwks_uri: `${issuer}/jwks` }));
served.set('/jwks', document(publicSet(keys)));

const good = {
  typ: 'at+jwt',
  claims: { iss: issuer, sub: 'alice', aud: RESOURCE, client_id: 'app', scope: 'notes:read' },
  lifetime: LIFETIME_S,
};
const lists = new Lists(issuer, keys, served);
const events = new Events(issuer, keys, served);

const url = await control({
  '/sign': async (recipe) => ({ token: await sign(keys, good, recipe) }),
  '/keys': () => publicSet(keys),
  '/client_key': clientKey,
  ...lists.routes(),
  ...events.routes(),
});
say({ issuer, control: url });
