// Makes `jwe.json` with the npm package `jose`: `node jwe.mjs path/to/node_modules/jose > jwe.json`.
// The keys are made for it, and used for nothing else.
import * as crypto from 'node:crypto'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { resolve } from 'node:path'
import { deflateRawSync } from 'node:zlib'

const directory = resolve(process.argv[2])
const jose = await import(pathToFileURL(`${directory}/dist/webapi/index.js`).href)
const { version } = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'))

const signer = await jose.generateKeyPair('EdDSA')
const inner = await new jose.SignJWT({ client_id: 'c', scope: 'read' })
  .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 's' })
  .setIssuer('https://as.example')
  .setSubject('alice')
  .sign(signer.privateKey)

const encryptions = ['A128GCM', 'A256GCM', 'A256CBC-HS512']
const agreements = ['ECDH-ES', 'ECDH-ES+A256KW']
const kinds = [
  { name: 'RSA', options: { modulusLength: 2048 }, algorithms: ['RSA-OAEP-256'] },
  ...['P-256', 'P-384', 'P-521', 'X25519'].map((crv) => ({
    name: crv,
    options: { crv },
    algorithms: agreements,
  })),
]
const isOdd = ({ d }) => Buffer.from(d, 'base64url').at(-1) % 2 === 1
const encrypt = (text, header, key, parameters) => {
  const token = new jose.CompactEncrypt(new TextEncoder().encode(text)).setProtectedHeader(header)
  return (parameters ? token.setKeyManagementParameters(parameters) : token).encrypt(key)
}

const keys = {}
const cases = []
for (const { name, options, algorithms } of kinds) {
  let pair
  do {
    pair = await jose.generateKeyPair(algorithms[0], { ...options, extractable: true })
    // Odd: see `forged`.
  } while (name === 'P-256' && !isOdd(await jose.exportJWK(pair.privateKey)))
  keys[name] = {
    jwk: { ...(await jose.exportJWK(pair.privateKey)), kid: name },
    pem: await jose.exportPKCS8(pair.privateKey),
  }
  const jwk = await jose.exportJWK(pair.publicKey)
  for (const alg of algorithms) {
    const key = await jose.importJWK(jwk, alg)
    for (const enc of encryptions) {
      const token = await encrypt(inner, { alg, enc, kid: name, cty: 'JWT' }, key)
      cases.push({ name: `${name} ${alg} ${enc}`, key: name, token })
    }
  }
  if (name === 'P-256') {
    const party = (text) => new TextEncoder().encode(text)
    for (const alg of agreements) {
      const key = await jose.importJWK(jwk, alg)
      const header = { alg, enc: 'A256GCM', kid: name, typ: 'at+jwt' }
      const parameters = { apu: party('Alice'), apv: party('Bob') }
      const token = await encrypt(inner, header, key, parameters)
      cases.push({ name: `${name} ${alg} with parties`, key: name, token })
    }
  }
}

// What is not taken, however well it is made.
const refused = []
const { d, p, q, dp, dq, qi, ...rsa } = keys.RSA.jwk
const { d: _, ...ec } = keys['P-256'].jwk
for (const [kid, jwk, alg, enc] of [
  ['RSA', rsa, 'RSA-OAEP', 'A256GCM'],
  ['RSA', rsa, 'RSA-OAEP-384', 'A256GCM'],
  ['RSA', rsa, 'RSA-OAEP-512', 'A256GCM'],
  ['P-256', ec, 'ECDH-ES+A128KW', 'A256GCM'],
  ['P-256', ec, 'ECDH-ES+A192KW', 'A256GCM'],
  ['RSA', rsa, 'RSA-OAEP-256', 'A192GCM'],
  ['RSA', rsa, 'RSA-OAEP-256', 'A128CBC-HS256'],
  ['RSA', rsa, 'RSA-OAEP-256', 'A192CBC-HS384'],
]) {
  const key = await jose.importJWK(jwk, alg)
  refused.push({ name: `${alg} ${enc}`, key: kid, token: await encrypt(inner, { alg, enc, kid }, key) })
}
const secret = (octets) => new Uint8Array(octets).fill(7)
for (const [alg, key] of [
  ['dir', secret(32)],
  ['A128KW', secret(16)],
  ['A256KW', secret(32)],
  ['A256GCMKW', secret(32)],
  ['PBES2-HS256+A128KW', secret(16)],
]) {
  const header = { alg, enc: 'A256GCM', kid: 'RSA' }
  refused.push({ name: alg, key: 'RSA', token: await encrypt(inner, header, key) })
}
// `jose` does not compress, and does not make RSA1_5.
const b64 = (octets) => Buffer.from(octets).toString('base64url')
const byHand = (header, padding, content) => {
  const key = crypto.createPublicKey({ key: rsa, format: 'jwk' })
  const [cek, iv] = [crypto.randomBytes(32), crypto.randomBytes(12)]
  const wrapped = crypto.publicEncrypt({ key, ...padding }, cek)
  const aad = b64(JSON.stringify(header))
  const cipher = crypto.createCipheriv('aes-256-gcm', cek, iv).setAAD(Buffer.from(aad))
  const text = Buffer.concat([cipher.update(content), cipher.final()])
  return [aad, ...[wrapped, iv, text, cipher.getAuthTag()].map(b64)].join('.')
}
const oaep = { padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
const pkcs1 = { padding: crypto.constants.RSA_PKCS1_PADDING }
const header = { alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: 'RSA' }
refused.push({
  name: 'RSA1_5',
  key: 'RSA',
  token: byHand({ ...header, alg: 'RSA1_5' }, pkcs1, inner),
})
cases.push({ name: 'RSA by hand', key: 'RSA', token: byHand(header, oaep, inner) })

// Agreements by hand: an honest one for each curve, and those whose outcome a forger knows without the
// private key. A point (x, 0) is no point of P-256. It has order 2 on the curve that it is a point of,
// and an odd key leaves it as it is (RFC 8725 §2.5, §3.4). The point 0 of
// X25519 becomes 0 with every key (RFC 7748 §6.1).
const agree = (kid, epk, z) => {
  const length = (octets) => Buffer.from(Uint32Array.of(octets).buffer).swap32()
  const id = Buffer.from('A256GCM')
  const known = [length(1), z, length(id.length), id, length(0), length(0), length(256)]
  const cek = crypto.createHash('sha256').update(Buffer.concat(known)).digest()
  const iv = crypto.randomBytes(12)
  const aad = b64(JSON.stringify({ alg: 'ECDH-ES', enc: 'A256GCM', kid, epk }))
  const cipher = crypto.createCipheriv('aes-256-gcm', cek, iv).setAAD(Buffer.from(aad))
  const text = Buffer.concat([cipher.update(inner), cipher.final()])
  return [aad, '', ...[iv, text, cipher.getAuthTag()].map(b64)].join('.')
}
const { d: __, ...okp } = keys.X25519.jwk
for (const [kid, jwk, pair] of [
  ['P-256', ec, crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['X25519', okp, crypto.generateKeyPairSync('x25519')],
]) {
  const publicKey = crypto.createPublicKey({ key: jwk, format: 'jwk' })
  const z = crypto.diffieHellman({ privateKey: pair.privateKey, publicKey })
  const epk = pair.publicKey.export({ format: 'jwk' })
  cases.push({ name: `${kid} by hand`, key: kid, token: agree(kid, epk, z) })
}
const [x, zero] = [crypto.randomBytes(32), Buffer.alloc(32)]
x[0] = 0
const one = Buffer.alloc(32)
one[0] = 1
const okpOf = (octets) => ({ kty: 'OKP', crv: 'X25519', x: b64(octets) })
const forged = [
  {
    name: 'a point of another curve',
    key: 'P-256',
    token: agree('P-256', { kty: 'EC', crv: 'P-256', x: b64(x), y: b64(zero) }, x),
  },
  { name: 'the point 0', key: 'X25519', token: agree('X25519', okpOf(zero), zero) },
  { name: 'the point 1', key: 'X25519', token: agree('X25519', okpOf(one), zero) },
]

const inflated = 8 * 1024 * 1024
const bomb = byHand({ ...header, zip: 'DEF' }, oaep, deflateRawSync(Buffer.alloc(inflated, 'a'), { level: 9 }))
const zipped = byHand({ ...header, zip: 'DEF' }, oaep, deflateRawSync(inner))

console.log(JSON.stringify(
  { source: `npm jose ${version}, node ${process.version}; made by jwe.mjs`, inner, keys, cases, refused, forged, zipped, bomb: { inflated, token: bomb } },
  null,
  2,
))
