// Starts provider.mjs and checks what it hands out, with node:crypto as the only verifier.

import { execFileSync, spawn } from 'node:child_process';
import { constants, createHash, createPublicKey, generateKeyPairSync, randomUUID, sign, verify, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json as readJson } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';

const PROVIDER = new URL('./provider.mjs', import.meta.url).pathname;
const NOTES = 'https://notes.example';
const OTHER = 'https://other.example';
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'];
const EXIT_WITHIN_MS = 10_000;

const pss = (hash, saltLength) => ({ hash, options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength } });

const VERIFIERS = {
  RS256: { hash: 'sha256' },
  RS384: { hash: 'sha384' },
  RS512: { hash: 'sha512' },
  PS256: pss('sha256', 32),
  PS384: pss('sha384', 48),
  PS512: pss('sha512', 64),
  ES256: { hash: 'sha256', options: { dsaEncoding: 'ieee-p1363' } },
  ES384: { hash: 'sha384', options: { dsaEncoding: 'ieee-p1363' } },
  ES512: { hash: 'sha512', options: { dsaEncoding: 'ieee-p1363' } },
  EdDSA: { hash: null },
  Ed25519: { hash: null },
};

// ---- counting

const counts = { passed: 0, failed: 0 };

function check(what, passed, detail) {
  counts[passed ? 'passed' : 'failed'] += 1;
  if (!passed) console.error(`FAILED ${what}`, detail ?? '');
}

function same(what, actual, expected) {
  check(what, isDeepStrictEqual(actual, expected), { actual, expected });
}

// ---- the process under check

const running = new Set();

function start(env = {}) {
  const child = spawn(process.execPath, [PROVIDER], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', process.env.SELFCHECK_VERBOSE ? 'inherit' : 'ignore'],
  });
  running.add(child);
  const server = { child, stdout: '', exited: once(child, 'exit') };
  server.exited.then(() => running.delete(child));
  child.stdin.on('error', () => {});
  child.stdout.setEncoding('utf8').on('data', (text) => { server.stdout += text; });
  return server;
}

async function ready(server) {
  while (!server.stdout.includes('\n')) {
    await Promise.race([once(server.child.stdout, 'data'), server.exited]);
    if (server.child.exitCode !== null) throw new Error('the provider ends before it is ready');
  }
  return JSON.parse(server.stdout);
}

async function exitCode(server) {
  const timer = setTimeout(() => server.child.kill('SIGKILL'), EXIT_WITHIN_MS);
  const [code] = await server.exited;
  clearTimeout(timer);
  return code;
}

// ---- requests

async function json(url, options) {
  const response = await fetch(url, options);
  return { status: response.status, body: await response.json() };
}

function controlClient(base) {
  const call = (method, path, query = {}) => json(`${base}${path}?${new URLSearchParams(query)}`, { method });
  return {
    call,
    token: async (query) => (await call('GET', '/token', query)).body,
    idToken: async (query) => (await call('GET', '/id_token', query)).body.id_token,
    rotate: async () => (await call('POST', '/rotate')).body,
    stats: async () => (await call('GET', '/stats')).body,
  };
}

async function discover(issuer) {
  const { body: metadata } = await json(`${issuer}/.well-known/openid-configuration`);
  const { body: jwks } = await json(metadata.jwks_uri);
  return { metadata, keys: jwks.keys };
}

// ---- tokens

const part = (text) => JSON.parse(Buffer.from(text, 'base64url').toString());

function decode(jwt) {
  const [header, payload, signature, ...rest] = jwt.split('.');
  if (rest.length || signature === undefined) throw new Error('not a compact JWS');
  return {
    header: part(header),
    claims: part(payload),
    signed: Buffer.from(`${header}.${payload}`),
    signature: Buffer.from(signature, 'base64url'),
  };
}

function verifies(jwt, keys) {
  const { header, signed, signature } = decode(jwt);
  const jwk = keys.find((key) => key.kid === header.kid);
  if (!jwk) return false;
  const { hash, options } = VERIFIERS[header.alg];
  return verify(hash, signed, { key: createPublicKey({ key: jwk, format: 'jwk' }), ...options }, signature);
}

const kids = (keys) => keys.map((key) => key.kid).sort();

const modulusOf = (keys) => keys.find((key) => key.kty === 'RSA').n;

function checkAccessToken(what, jwt, { issuer, keys, alg, audience, scope }) {
  const { header, claims } = decode(jwt);
  const now = Math.floor(Date.now() / 1000);
  same(`${what}: header members`, Object.keys(header).sort(), ['alg', 'kid', 'typ']);
  same(`${what}: typ`, header.typ, 'at+jwt');
  same(`${what}: alg`, header.alg, alg);
  check(`${what}: kid is served`, kids(keys).includes(header.kid), header);
  check(`${what}: signature`, verifies(jwt, keys));
  same(`${what}: iss`, claims.iss, issuer);
  same(`${what}: aud`, claims.aud, audience);
  same(`${what}: client_id`, claims.client_id, 'notes-worker');
  same(`${what}: sub`, claims.sub, 'notes-worker');
  same(`${what}: scope`, claims.scope, scope);
  check(`${what}: jti`, typeof claims.jti === 'string' && claims.jti.length > 0, claims);
  check(`${what}: iat is now`, Math.abs(claims.iat - now) <= 30, claims);
  same(`${what}: lifetime`, claims.exp - claims.iat, 300);
}

// ---- checks

function checkReadyLine(line) {
  const loopback = /^http:\/\/127\.0\.0\.1:\d+$/;
  same('ready line: members', Object.keys(line), ['a', 'b', 'control']);
  for (const url of [line.a.issuer, line.b.issuer, line.control]) check(`ready line: ${url}`, loopback.test(url));
  same('ready line: three ports', new Set([line.a.issuer, line.b.issuer, line.control]).size, 3);
}

function checkPublished(name, issuer, { metadata, keys }) {
  same(`metadata of ${name}: issuer`, metadata.issuer, issuer);
  check(`metadata of ${name}: jwks_uri`, metadata.jwks_uri.startsWith(`${issuer}/`), metadata.jwks_uri);
  check(`metadata of ${name}: token_endpoint`, metadata.token_endpoint.startsWith(`${issuer}/`), metadata.token_endpoint);
  same(`keys of ${name}: types`, keys.map((key) => key.kty).sort(), ['EC', 'EC', 'EC', 'OKP', 'RSA']);
  check(`keys of ${name}: public only`, keys.every((key) => PRIVATE_MEMBERS.every((member) => !(member in key))));
  check(`keys of ${name}: for signing`, keys.every((key) => key.use === 'sig'));
}

async function checkAlgorithms(control, name, issuer, keys) {
  const expected = { issuer, keys, audience: NOTES, scope: 'notes:read notes:write' };
  const query = { issuer: name, resource: NOTES, scope: 'notes:read notes:write' };
  for (const alg of Object.keys(VERIFIERS)) {
    const answer = await control.token({ ...query, alg });
    checkAccessToken(`${name} ${alg}`, answer.access_token, { ...expected, alg });
  }
  const answer = await control.token(query);
  checkAccessToken(`${name} default`, answer.access_token, { ...expected, alg: 'RS256' });
  same(`${name} default: token_type`, answer.token_type, 'Bearer');
  same(`${name} default: expires_in`, answer.expires_in, 300);
}

async function checkResourcesAndScopes(control, issuer, keys) {
  const expected = { issuer, keys, alg: 'RS256', audience: NOTES };
  const all = await control.token({});
  checkAccessToken('no parameters', all.access_token, { ...expected, scope: 'notes:read notes:write' });
  const read = await control.token({ resource: NOTES, scope: 'notes:read' });
  checkAccessToken('one scope', read.access_token, { ...expected, scope: 'notes:read' });
  const bare = await control.token({ resource: NOTES, scope: '' });
  checkAccessToken('no scope', bare.access_token, { ...expected, scope: undefined });
  const other = await control.token({ resource: OTHER });
  checkAccessToken('other resource', other.access_token, { ...expected, audience: OTHER, scope: 'other:read' });
  const otherEdDsa = await control.token({ resource: OTHER, alg: 'EdDSA' });
  same('other resource: alg', decode(otherEdDsa.access_token).header.alg, 'EdDSA');
  const opaque = await control.token({ resource: '', scope: '' });
  check('no resource: opaque', !opaque.access_token.includes('.'), opaque);
  const jtis = [all, read, bare, other].map((answer) => decode(answer.access_token).claims.jti);
  same('jti never repeats', new Set(jtis).size, jtis.length);
}

async function checkOpaqueTokens(control, issuer) {
  const get = async (path, query) => (await control.call('GET', path, query)).body;
  const ask = (token) => get('/introspect', { token });
  const answer = { active: true, client_id: 'notes-worker', iss: issuer, aud: NOTES, token_type: 'Bearer' };
  const opaque = async () => (await control.token({ format: 'opaque', scope: 'notes:read' })).access_token;
  const [given, expired] = [await opaque(), await opaque()];
  check('opaque: no JWT', !given.includes('.'), given);
  for (const token of [given, expired]) {
    const { exp, iat, ...rest } = await ask(token);
    same('opaque: answer', rest, { ...answer, scope: 'notes:read' });
    same('opaque: lifetime', exp - iat, 300);
  }
  await control.call('POST', '/revoke', { token: given });
  await control.call('POST', '/expire', { token: expired });
  for (const token of [given, expired, 'nobody']) same('opaque: inactive', await ask(token), { active: false });
  const { access_token, refresh_token } = await get('/user_tokens', { format: 'opaque' });
  const [access, refresh] = [await ask(access_token), await ask(refresh_token)];
  same('opaque: subject', [access.sub, refresh.sub], ['alice', 'alice']);
  same('opaque: refresh token', [refresh.active, refresh.token_type, refresh.aud], [true, undefined, undefined]);
  await control.call('POST', '/revoke', { client: 'app', token: refresh_token });
  same('opaque: the grant is gone', await ask(access_token), { active: false });
}

async function checkEncryptedTokens(control, issuer) {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const encrypt = { alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: 'k', key: publicKey.export({ format: 'jwk' }) };
  const { access_token } = await control.token({ encrypt: JSON.stringify(encrypt) });
  same('encrypted: parts', access_token.split('.').length, 5);
  const header = { alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: 'k', iss: issuer, aud: NOTES, cty: 'at+jwt' };
  same('encrypted: header', part(access_token.split('.')[0]), header);
}

async function checkConcurrentTokens(control) {
  const algs = Object.keys(VERIFIERS);
  const answers = await Promise.all(algs.map((alg) => control.token({ alg })));
  same('concurrent requests keep their alg', answers.map((answer) => decode(answer.access_token).header.alg), algs);
}

async function checkSharedKid(control, a, b) {
  const [fromA, fromB] = (await Promise.all(['a', 'b'].map((issuer) => control.token({ issuer }))))
    .map((answer) => answer.access_token);
  same('both issuers serve the same kids', kids(a.keys), kids(b.keys));
  check('both issuers have their own keys', modulusOf(a.keys) !== modulusOf(b.keys));
  same('both tokens name the same kid', decode(fromA).header.kid, decode(fromB).header.kid);
  check('a token of a fails with the keys of b', !verifies(fromA, b.keys));
  check('a token of b fails with the keys of a', !verifies(fromB, a.keys));
}

async function checkIdTokens(control, issuer, keys) {
  const clients = { web: 'notes-web', lookalike: NOTES };
  for (const [client, clientId] of Object.entries(clients)) {
    const what = `ID token of ${client}`;
    const jwt = await control.idToken({ client, nonce: `nonce-${client}` });
    const { header, claims } = decode(jwt);
    check(`${what}: typ is no access token's`, header.typ === undefined || header.typ === 'JWT', header);
    same(`${what}: alg`, header.alg, 'RS256');
    check(`${what}: signature`, verifies(jwt, keys));
    same(`${what}: iss`, claims.iss, issuer);
    same(`${what}: aud`, claims.aud, clientId);
    same(`${what}: sub`, claims.sub, 'alice');
    same(`${what}: nonce`, claims.nonce, `nonce-${client}`);
    same(`${what}: lifetime`, claims.exp - claims.iat, 300);
    check(`${what}: no client_id, jti or scope`, !['client_id', 'jti', 'scope'].some((name) => name in claims), claims);
  }
}

async function checkRefusals(control) {
  const cases = [
    ['GET', '/token', { issuer: 'c' }, 400, 'invalid_request'],
    ['GET', '/token', { issuer: 'toString' }, 400, 'invalid_request'],
    ['GET', '/token', { alg: 'HS256' }, 400, 'invalid_request'],
    ['GET', '/token', { alg: 'none' }, 400, 'invalid_request'],
    ['GET', '/token', { resource: 'https://third.example' }, 400, 'invalid_target'],
    ['GET', '/id_token', { client: 'worker' }, 400, 'invalid_request'],
    ['GET', '/id_token', { client: 'nobody' }, 400, 'invalid_request'],
    ['GET', '/client', { client: 'nobody' }, 400, 'invalid_request'],
    ['GET', '/introspect', {}, 400, 'invalid_request'],
    ['POST', '/expire', { token: 'nobody' }, 400, 'invalid_request'],
    ['POST', '/revoke', { client: 'nobody' }, 400, 'invalid_request'],
    ['GET', '/rotate', {}, 404, 'not_found'],
    ['GET', '/nothing', {}, 404, 'not_found'],
  ];
  for (const [method, path, query, status, error] of cases) {
    const answer = await control.call(method, path, query);
    same(`${method} ${path} ${JSON.stringify(query)}`, [answer.status, answer.body.error], [status, error]);
  }
}

// The provider library writes a notice when it shows its error page; stdout stays one line.
async function checkErrorPage(issuer) {
  const response = await fetch(`${issuer}/auth?client_id=nobody`, { redirect: 'manual' });
  same('error page: status', response.status, 400);
  check('error page: HTML', (await response.text()).includes('<html>'));
}

async function checkRotation(control, line, before, other) {
  const old = (await control.token({})).access_token;
  const rotated = await control.rotate();
  same('rotation: answer', Object.keys(rotated), ['old_kid', 'new_kid']);
  check('rotation: new kid', rotated.old_kid !== rotated.new_kid, rotated);
  same('rotation: old kid is the one in use', decode(old).header.kid, rotated.old_kid);

  const after = await discover(line.a.issuer);
  checkPublished('a after rotation', line.a.issuer, after);
  check('rotation: old keys are withdrawn', kids(after.keys).every((kid) => !kids(before.keys).includes(kid)));
  check('rotation: new key is served', kids(after.keys).includes(rotated.new_kid));
  check('rotation: new key material', modulusOf(after.keys) !== modulusOf(before.keys));
  same('rotation: same metadata', after.metadata, before.metadata);
  check('rotation: an old token fails', !verifies(old, after.keys));

  const fresh = (await control.token({})).access_token;
  same('rotation: new tokens use the new kid', decode(fresh).header.kid, rotated.new_kid);
  await checkAlgorithms(control, 'a', line.a.issuer, after.keys);
  await checkIdTokens(control, line.a.issuer, after.keys);

  same('rotation: b keeps its keys', (await discover(line.b.issuer)).keys, other.keys);
  const again = await control.rotate();
  same('rotation: the second one goes on', again.old_kid, rotated.new_kid);
  check('rotation: the second kid is new too', ![rotated.old_kid, rotated.new_kid].includes(again.new_kid), again);
}

// ---- bound tokens

const sha256 = (octets) => createHash('sha256').update(octets).digest('base64url');

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function makeProver(url) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  return {
    thumbprint: sha256(JSON.stringify({ crv, kty, x, y })),
    prove: (nonce) => {
      const header = { alg: 'ES256', typ: 'dpop+jwt', jwk: { crv, kty, x, y } };
      const claims = { htm: 'POST', htu: url, iat: Math.floor(Date.now() / 1000), jti: randomUUID(), nonce };
      const signed = `${encode(header)}.${encode(claims)}`;
      const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      return `${signed}.${signature.toString('base64url')}`;
    },
  };
}

const GRANT = new URLSearchParams({ grant_type: 'client_credentials', resource: NOTES, scope: 'notes:read' });

async function checkProofBoundTokens(control, metadata) {
  check('DPoP: algorithms', metadata.dpop_signing_alg_values_supported.includes('PS256'), metadata);
  const { body: client } = await control.call('GET', '/client', { client: 'dpop' });
  const authorization = `Basic ${Buffer.from(`${client.client_id}:${client.client_secret}`).toString('base64')}`;
  const ask = async (proof) => {
    const headers = proof ? { authorization, dpop: proof } : { authorization };
    const response = await fetch(metadata.token_endpoint, { method: 'POST', headers, body: GRANT });
    return { status: response.status, nonce: response.headers.get('dpop-nonce'), body: await response.json() };
  };
  const prover = makeProver(metadata.token_endpoint);
  same('DPoP: no proof', (await ask()).body.error, 'invalid_grant');
  const asked = await ask(prover.prove());
  same('DPoP: no nonce', [asked.status, asked.body.error], [400, 'use_dpop_nonce']);
  const proof = prover.prove(asked.nonce);
  const { status, body } = await ask(proof);
  same('DPoP: token', [status, body.token_type], [200, 'DPoP']);
  same('DPoP: cnf', decode(body.access_token).claims.cnf, { jkt: prover.thumbprint });
  same('DPoP: the proof again', (await ask(proof)).body.error, 'invalid_grant');
  const other = await ask(makeProver(`${metadata.token_endpoint}/`).prove(asked.nonce));
  same('DPoP: a proof for another URI', other.body.error, 'invalid_dpop_proof');
}

function makeCertificates(directory) {
  const file = (name) => join(directory, name);
  const make = (name, options) => execFileSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', '2'],
    ...['-subj', `/CN=${name}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`), ...options],
  ], { stdio: 'pipe' });
  const issued = (dns) => [
    ...['-CA', file('authority.pem'), '-CAkey', file('authority.key')],
    ...['-addext', `subjectAltName=DNS:${dns}`, '-addext', 'basicConstraints=critical,CA:FALSE'],
  ];
  make('authority', []);
  make('provider', issued('localhost'));
  make('alice', issued('alice.example'));
  make('mallory', issued('mallory.example'));
  make('stranger', ['-addext', 'subjectAltName=DNS:alice.example']);
  return (name) => readFileSync(file(name));
}

async function askWithCertificate(url, ca, identity) {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const outgoing = request(url, { method: 'POST', headers, ca, agent: false, ...identity });
  outgoing.end(`${GRANT}&client_id=notes-mtls`);
  const [response] = await once(outgoing, 'response');
  return readJson(response);
}

async function checkCertificateBoundTokens() {
  const directory = mkdtempSync(join(tmpdir(), 'interop-'));
  try {
    const read = makeCertificates(directory);
    const server = start({ INTEROP_TLS_DIRECTORY: directory });
    const line = await ready(server);
    checkReadyLine(line);
    const { metadata } = await discover(line.a.issuer);
    same('mutual TLS: metadata', metadata.tls_client_certificate_bound_access_tokens, true);
    const { token_endpoint: url } = metadata.mtls_endpoint_aliases;
    check('mutual TLS: alias', /^https:\/\/localhost:\d+\/token$/.test(url), url);
    const ask = (name) => {
      const identity = name ? { cert: read(`${name}.pem`), key: read(`${name}.key`) } : {};
      return askWithCertificate(url, read('authority.pem'), identity);
    };
    const { access_token, token_type } = await ask('alice');
    same('mutual TLS: token', token_type, 'Bearer');
    const thumbprint = sha256(new X509Certificate(read('alice.pem')).raw);
    same('mutual TLS: cnf', decode(access_token).claims.cnf, { 'x5t#S256': thumbprint });
    for (const name of [undefined, 'mallory', 'stranger']) {
      same(`mutual TLS: certificate of ${name}`, (await ask(name)).error, 'invalid_client');
    }
    server.child.stdin.end();
    same('mutual TLS: exit code', await exitCode(server), 0);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function checkStats(control, line) {
  const fresh = { a: { jwks: 0, metadata: 0 }, b: { jwks: 0, metadata: 0 } };
  same('stats: nothing at first', await control.stats(), fresh);
  await control.token({});
  await control.token({ issuer: 'b' });
  await control.idToken({});
  same('stats: the control server fetches neither', await control.stats(), fresh);
  await discover(line.a.issuer);
  await discover(line.a.issuer);
  await json(`${line.a.issuer}/.well-known/oauth-authorization-server`);
  await discover(line.b.issuer);
  same('stats: counted', await control.stats(), { a: { jwks: 2, metadata: 3 }, b: { jwks: 1, metadata: 1 } });
}

async function checkWholeRun() {
  const server = start();
  const line = await ready(server);
  const control = controlClient(line.control);
  checkReadyLine(line);
  await checkStats(control, line);

  const a = await discover(line.a.issuer);
  const b = await discover(line.b.issuer);
  checkPublished('a', line.a.issuer, a);
  checkPublished('b', line.b.issuer, b);
  await checkAlgorithms(control, 'a', line.a.issuer, a.keys);
  await checkAlgorithms(control, 'b', line.b.issuer, b.keys);
  await checkResourcesAndScopes(control, line.a.issuer, a.keys);
  await checkOpaqueTokens(control, line.a.issuer);
  await checkEncryptedTokens(control, line.a.issuer);
  await checkConcurrentTokens(control);
  await checkSharedKid(control, a, b);
  await checkIdTokens(control, line.a.issuer, a.keys);
  await checkRefusals(control);
  await checkErrorPage(line.a.issuer);
  await checkProofBoundTokens(control, a.metadata);
  check('mutual TLS: no alias without TLS', !('mtls_endpoint_aliases' in a.metadata), a.metadata);
  await checkRotation(control, line, a, b);

  same('POST /stop: answer', (await control.call('POST', '/stop')).body, { stopping: true });
  same('POST /stop: exit code', await exitCode(server), 0);
  same('stdout is one line', server.stdout.trimEnd().split('\n').length, 1);
  check('stdout ends with a newline', server.stdout.endsWith('\n'));
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function checkEnding(what, env, end, code) {
  const server = start(env);
  const line = await ready(server);
  end(server.child);
  same(`${what}: exit code`, await exitCode(server), code);
  return line;
}

async function checkEndings() {
  await checkEnding('stdin closes', {}, (child) => child.stdin.end(), 0);
  await checkEnding('SIGTERM', {}, (child) => child.kill('SIGTERM'), 0);
  await checkEnding('SIGINT', {}, (child) => child.kill('SIGINT'), 0);
  await checkEnding('lifetime is over', { INTEROP_LIFETIME_MS: '5000' }, () => {}, 1);
}

async function checkFixedPorts() {
  const [a, b, control] = [await freePort(), await freePort(), await freePort()];
  const env = { INTEROP_PORT_A: `${a}`, INTEROP_PORT_B: `${b}`, INTEROP_PORT_CONTROL: `${control}` };
  const line = await checkEnding('fixed ports', env, (child) => child.stdin.end(), 0);
  same('fixed ports: ready line', line, {
    a: { issuer: `http://127.0.0.1:${a}` },
    b: { issuer: `http://127.0.0.1:${b}` },
    control: `http://127.0.0.1:${control}`,
  });
}

async function main() {
  try {
    await checkWholeRun();
    await checkCertificateBoundTokens();
    await checkEndings();
    await checkFixedPorts();
  } catch (error) {
    check('no exception', false, error);
  } finally {
    for (const child of running) child.kill('SIGKILL');
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exitCode = counts.failed ? 1 : 0;
}

await main();
