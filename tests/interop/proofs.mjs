// DPoP proofs (RFC 9449), as npm `jose` signs them.

import { createHash, randomUUID } from 'node:crypto';

import { importJWK, SignJWT } from 'jose';

export const hashOf = (token) => createHash('sha256').update(token).digest('base64url');

// `key` is the private JWK; `claims` are beside those of a good proof, or instead of them.
export async function prover(key, token) {
  const { kty, crv, x, y } = key;
  const secret = await importJWK(key, 'ES256');
  return (method, htu, claims = {}) => {
    const iat = Math.floor(Date.now() / 1000);
    return new SignJWT({ htm: method, htu, jti: randomUUID(), ath: hashOf(token), iat, ...claims })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: { kty, crv, x, y } })
      .sign(secret);
  };
}
