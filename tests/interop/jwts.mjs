// JWTs as npm `jose` makes them: good ones, and each of the oddities that a recipe asks for.
//
// A recipe is an object:
// - `key`: `ec`, `rsa`, `ed`; `stranger` has the name of `ec` and is not published; `public` is the text
//   of the public RSA key, for a MAC; `alg`: what it signs with.
// - `header`, `claims`: members beside those of a good token, or instead of them; `null` leaves one out.
// - `append`: text after the last claim; `indent`: how the claims are spaced; `prefix`: text before them;
//   `raw`: all of the payload.
// - `header_text`: all of the header, for a token that node:crypto signs, since jose writes no such header.
// - `form`: `compact`, `unsecured`, `detached`, `unencoded` (RFC 7797), `flattened` or `general` JSON.
// - `encrypt`: `{ alg, enc, key, header }`, for a signed token in an envelope.

import { createPrivateKey, createPublicKey, randomUUID, sign as signOctets } from 'node:crypto';

import * as jose from 'jose';

const ALGORITHMS = { ec: 'ES256', rsa: 'RS256', ed: 'Ed25519', stranger: 'ES256', public: 'HS256' };

const octets = (text) => new TextEncoder().encode(text);
const base64url = (text) => Buffer.from(text).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

const merged = (base, changes = {}) => Object.fromEntries(
  Object.entries({ ...base, ...changes }).filter(([, value]) => value !== null),
);

export async function makeKeys() {
  const keys = {};
  for (const name of ['ec', 'rsa', 'ed', 'stranger']) {
    const { privateKey } = await jose.generateKeyPair(ALGORITHMS[name], { extractable: true });
    const { alg, ...jwk } = await jose.exportJWK(privateKey);
    keys[name] = { ...jwk, kid: name === 'stranger' ? 'ec' : name, use: 'sig' };
  }
  return keys;
}

export function publicSet(keys) {
  const published = (key) => {
    const { kid, use, ...jwk } = key;
    return { ...createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'jwk' }), kid, use };
  };
  return { keys: [keys.ec, keys.rsa, keys.ed].map(published) };
}

// For proofs (RFC 9449): what a token is bound to, and what its client signs with.
export async function clientKey() {
  const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
  const key = await jose.exportJWK(privateKey);
  return { key, jkt: await jose.calculateJwkThumbprint(key) };
}

function pem(keys) {
  return createPublicKey({ key: keys.rsa, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
}

async function signed(keys, recipe, header, payload) {
  const { key = 'ec', form = 'compact', crit } = recipe;
  const secret = key === 'public' ? octets(pem(keys)) : await jose.importJWK(keys[key], header.alg);
  switch (form) {
    case 'compact':
      return new jose.CompactSign(payload).setProtectedHeader(header).sign(secret, { crit });
    case 'general': {
      const jws = new jose.GeneralSign(payload);
      jws.addSignature(secret, { crit }).setProtectedHeader(header);
      return JSON.stringify(await jws.sign());
    }
    default: {
      const jws = await new jose.FlattenedSign(payload).setProtectedHeader(header).sign(secret, { crit });
      if (form === 'flattened') return JSON.stringify(jws);
      const middle = form === 'unencoded' ? new TextDecoder().decode(payload) : '';
      return `${jws.protected}.${middle}.${jws.signature}`;
    }
  }
}

// ECDSA alone: that is what the headers are tried with.
function signedByHand(keys, text, payload) {
  const input = `${base64url(text)}.${base64url(payload)}`;
  const key = createPrivateKey({ key: keys.ec, format: 'jwk' });
  const signature = signOctets('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

export async function sign(keys, good, recipe) {
  const { key = 'ec', append, indent, prefix = '', raw, header_text, form, encrypt } = recipe;
  const alg = recipe.alg ?? ALGORITHMS[key];
  const kid = keys[key]?.kid ?? 'rsa';
  const header = merged({ alg, typ: good.typ, kid }, recipe.header);
  const claims = merged({ ...good.claims, iat: now(), exp: now() + good.lifetime, jti: randomUUID() }, recipe.claims);
  let text = raw ?? JSON.stringify(claims, null, indent);
  if (append) text = text.replace(/\}$/, `,${append}}`);
  const payload = octets(prefix + text);

  if (form === 'unsecured') return new jose.UnsecuredJWT(claims).encode();
  const jwt = header_text ? signedByHand(keys, header_text, payload) : await signed(keys, recipe, header, payload);
  if (!encrypt) return jwt;
  const protectedHeader = merged({ alg: encrypt.alg, enc: encrypt.enc, cty: 'JWT' }, encrypt.header);
  const jwe = new jose.CompactEncrypt(octets(jwt)).setProtectedHeader(protectedHeader);
  return jwe.encrypt(await jose.importJWK(encrypt.key, encrypt.alg));
}
