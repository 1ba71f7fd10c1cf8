// A real authorization server, twice, plus a control server that hands out its tokens.
// README.md describes how to run it and what it answers.

import { Console } from 'node:console';
import { createHash, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';

import Provider, { errors } from 'oidc-provider';

// The provider library writes notices with console.info; stdout carries the ready line only.
globalThis.console = new Console(process.stderr, process.stderr);

const HOST = '127.0.0.1';
const MAX_LIFETIME_MS = 10 * 60 * 1000;
const TOKEN_TTL_S = 5 * 60;

// Per-request settings for an access token, as a JSON object in a request header of the token
// request. A header keeps concurrent requests apart and leaves the OAuth parameters alone.
const SETTINGS_HEADER = 'interop-token';

// Nothing listens here: the control server reads the code out of the redirect itself.
const REDIRECT_URI = 'https://app.example/callback';

const NOTES = 'https://notes.example';
const OTHER = 'https://other.example';

// The RSA key has no "alg", so one key signs RS* and PS*, as many servers do. The provider adds
// "alg" to the P-256 key by itself.
const KEY_SHAPES = {
  rsa: { type: 'rsa', options: { modulusLength: 2048 }, algs: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] },
  ec: { type: 'ec', options: { namedCurve: 'P-256' }, algs: ['ES256'] },
  ed: { type: 'ed25519', options: {}, algs: ['EdDSA', 'Ed25519'] },
};

// The issuers sign with every algorithm that there is for access tokens.
const ISSUER_KEY_SHAPES = {
  ...KEY_SHAPES,
  ec384: { type: 'ec', options: { namedCurve: 'P-384' }, algs: ['ES384'] },
  ec521: { type: 'ec', options: { namedCurve: 'P-521' }, algs: ['ES512'] },
};

const RESOURCES = {
  [NOTES]: { scope: 'notes:read notes:write', alg: 'RS256', ttl: TOKEN_TTL_S },
  [OTHER]: { scope: 'other:read', alg: 'RS256', ttl: TOKEN_TTL_S },
};

const CLIENTS = {
  worker: { client_id: 'notes-worker', grant: 'client_credentials' },
  // Its access tokens are bound to the key of its DPoP proofs (RFC 9449).
  dpop: { client_id: 'notes-dpop', grant: 'client_credentials', metadata: { dpop_bound_access_tokens: true } },
  // Its certificate authenticates it, and its access tokens are bound to that (RFC 8705).
  mtls: {
    client_id: 'notes-mtls',
    grant: 'client_credentials',
    metadata: {
      client_secret: undefined,
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_dns: 'alice.example',
      tls_client_certificate_bound_access_tokens: true,
    },
  },
  web: { client_id: 'notes-web', grant: 'authorization_code' },
  // It gets refresh tokens as well.
  app: { client_id: 'notes-app', grant: 'authorization_code', metadata: { grant_types: ['authorization_code', 'refresh_token'] } },
  // The resource server, in each way in which it may authenticate itself for questions about tokens.
  // No character of its name or its secret may end one of them, or be taken for another.
  basic: { client_id: 'notes:api +%&', grant: 'introspection' },
  post: {
    client_id: 'notes:api +%& too',
    grant: 'introspection',
    metadata: { token_endpoint_auth_method: 'client_secret_post' },
  },
  assertion: {
    client_id: 'notes-api',
    grant: 'introspection',
    keys: KEY_SHAPES,
    metadata: { client_secret: undefined, token_endpoint_auth_method: 'private_key_jwt' },
  },
  certificate: {
    client_id: 'notes-api-mtls',
    grant: 'introspection',
    metadata: {
      client_secret: undefined,
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_dns: 'alice.example',
    },
  },
  // Signed answers (RFC 9701) with other keys than the first, with its secret, and encrypted to it.
  es256: { client_id: 'notes-api-es256', grant: 'introspection', metadata: { introspection_signed_response_alg: 'ES256' } },
  hs256: { client_id: 'notes-api-hs256', grant: 'introspection', metadata: { introspection_signed_response_alg: 'HS256' } },
  encrypted: {
    client_id: 'notes-api-encrypted',
    grant: 'introspection',
    keys: { ec: { type: 'ec', options: { namedCurve: 'P-256' }, use: 'enc' } },
    metadata: {
      introspection_encrypted_response_alg: 'ECDH-ES',
      introspection_encrypted_response_enc: 'A256GCM',
    },
  },
  // Its ID tokens carry the resource as "aud", so that only "typ" tells them from access tokens.
  lookalike: { client_id: NOTES, grant: 'authorization_code' },
};

// Answers of `b` about tokens are never signed.
const ISSUERS = {
  a: { portVariable: 'INTEROP_PORT_A', keys: ISSUER_KEY_SHAPES, resources: RESOURCES, clients: CLIENTS, account: 'alice' },
  b: { portVariable: 'INTEROP_PORT_B', keys: ISSUER_KEY_SHAPES, resources: RESOURCES, clients: CLIENTS, account: 'alice', signedAnswers: false },
};

// The server offers more than its own default, so that what a resource server takes is decided there.
const PROOF_ALGS = ['ES256', 'Ed25519', 'EdDSA', 'ES384', 'PS256', 'RS256'];

const ANSWER_ALGS = ['HS256', 'RS256', 'ES256'];

const METADATA_PATHS = ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'];

// ---- keys

// Kids follow from the kind and the generation, so two issuers of one generation share them.
const kidOf = (kind, generation) => `${kind}-${generation}`;

function makeKey(kind, { type, options, use = 'sig' }, generation) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid: kidOf(kind, generation), use };
}

function makeKeys(shapes, generation) {
  return Object.entries(shapes).map(([kind, shape]) => makeKey(kind, shape, generation));
}

function publicPart({ kid, use, ...jwk }) {
  return { ...createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'jwk' }), kid, use };
}

const signingAlgs = (shapes) => Object.values(shapes).flatMap((shape) => shape.algs);

function kindForAlg(shapes, alg) {
  return Object.keys(shapes).find((kind) => shapes[kind].algs.includes(alg));
}

// ---- provider configuration

const rowKey = (model, id) => `${model}:${id}`;

// One store per issuer: it outlives a rotation, and no issuer sees what another one has stored.
// Nothing is evicted: the provider checks expiry itself and the process is short-lived.
function makeStore(rows) {
  return (model) => {
    const findWhere = (field, value) => {
      const hit = [...rows.values()].find((row) => row.model === model && row.payload[field] === value);
      return hit?.payload;
    };
    return {
      upsert: async (id, payload) => { rows.set(rowKey(model, id), { model, payload }); },
      find: async (id) => rows.get(rowKey(model, id))?.payload,
      findByUid: async (uid) => findWhere('uid', uid),
      findByUserCode: async (userCode) => findWhere('userCode', userCode),
      consume: async (id) => { rows.get(rowKey(model, id)).payload.consumed = Math.floor(Date.now() / 1000); },
      destroy: async (id) => { rows.delete(rowKey(model, id)); },
      revokeByGrantId: async (grantId) => {
        for (const [key, row] of rows) if (row.payload.grantId === grantId) rows.delete(key);
      },
    };
  };
}

const CLIENT_METADATA = {
  client_credentials: () => ({
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    client_secret: randomBytes(32).toString('base64url'),
    token_endpoint_auth_method: 'client_secret_basic',
  }),
  authorization_code: () => ({
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: [REDIRECT_URI],
    token_endpoint_auth_method: 'none',
  }),
  // It asks about tokens and gets none.
  introspection: () => ({
    grant_types: [],
    response_types: [],
    redirect_uris: [],
    client_secret: `s: +%&=/~"${randomBytes(32).toString('base64url')}`,
    token_endpoint_auth_method: 'client_secret_basic',
  }),
};

function registerClients(clients, keys) {
  return Object.fromEntries(Object.entries(clients).map(
    ([name, { client_id, grant, metadata }]) => [
      name,
      withoutUndefined({
        client_id,
        ...CLIENT_METADATA[grant](),
        jwks: keys[name] && { keys: keys[name].map(publicPart) },
        ...metadata,
      }),
    ],
  ));
}

function makeClientKeys(clients) {
  return Object.fromEntries(Object.entries(clients)
    .filter(([, { keys }]) => keys)
    .map(([name, { keys }]) => [name, makeKeys(keys, 1)]));
}

function settingsOf(ctx) {
  const header = ctx.get(SETTINGS_HEADER);
  return header ? JSON.parse(header) : {};
}

function describeResource({ audience, scope, alg, ttl, format = 'jwt', encrypt }) {
  const described = { audience, scope, accessTokenTTL: ttl, accessTokenFormat: format };
  if (format !== 'jwt') return described;
  const key = encrypt && createPublicKey({ key: encrypt.key, format: 'jwk' });
  return { ...described, jwt: { sign: { alg }, encrypt: encrypt && { ...encrypt, key } } };
}

function resourceLookup(resources) {
  return (ctx, indicator) => {
    if (!Object.hasOwn(resources, indicator)) throw new errors.InvalidTarget('no such resource');
    return describeResource({ audience: indicator, ...resources[indicator], ...settingsOf(ctx) });
  };
}

// Every request gets its own grant, so no consent page comes up.
async function grantWithoutConsent(ctx) {
  const { provider, client, session, resourceServers } = ctx.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope('openid');
  for (const [resource, { scope }] of Object.entries(resourceServers ?? {})) grant.addResourceScope(resource, scope);
  await grant.save();
  return grant;
}

// The certificate of the connection; its key was proven in the handshake.
const certificateOf = (ctx) => ctx.socket.getPeerX509Certificate?.();

const MUTUAL_TLS = {
  enabled: true,
  certificateBoundAccessTokens: true,
  tlsClientAuth: true,
  getCertificate: certificateOf,
  certificateAuthorized: (ctx) => ctx.socket.authorized === true,
  certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_dns'
    && certificateOf(ctx).subjectAltName?.split(', ').includes(`DNS:${expected}`) === true,
};

function providerConfiguration({ config, clients, adapter, cookieKey, nonceKey, jwks, tlsUrl }) {
  return {
    adapter,
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth'],
    clients: Object.values(clients),
    cookies: { keys: [cookieKey] },
    // Where clients present their certificates (RFC 8705, section 5).
    discovery: tlsUrl ? {
      mtls_endpoint_aliases: {
        token_endpoint: `${tlsUrl}/token`,
        introspection_endpoint: `${tlsUrl}/token/introspection`,
      },
    } : {},
    enabledJWA: { dPoPSigningAlgValues: PROOF_ALGS, introspectionSigningAlgValues: ANSWER_ALGS },
    features: {
      clientCredentials: { enabled: true },
      dPoP: { enabled: true, nonceSecret: nonceKey, requireNonce: () => true },
      devInteractions: { enabled: false },
      encryption: { enabled: true },
      introspection: { enabled: true },
      jwtIntrospection: { enabled: config.signedAnswers ?? true },
      mTLS: MUTUAL_TLS,
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceLookup(config.resources) },
      revocation: { enabled: true },
    },
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    jwks,
    loadExistingGrant: grantWithoutConsent,
    pkce: { required: () => true },
    responseTypes: ['code'],
    ttl: {
      AccessToken: TOKEN_TTL_S,
      ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? TOKEN_TTL_S,
      Grant: TOKEN_TTL_S,
      IdToken: TOKEN_TTL_S,
      Interaction: TOKEN_TTL_S,
      RefreshToken: TOKEN_TTL_S,
      Session: TOKEN_TTL_S,
    },
  };
}

// ---- issuer

async function listen(server, portVariable) {
  server.listen(numberFromEnvironment(portVariable, 0), HOST);
  await once(server, 'listening');
  return `http://${HOST}:${server.address().port}`;
}

// Certificates of clients are asked for and reported; the provider decides what they are worth. The
// server's own certificate is for a name, not an address.
async function listenTls(serve) {
  const directory = process.env.INTEROP_TLS_DIRECTORY;
  if (!directory) return undefined;
  const read = (name) => readFileSync(join(directory, name));
  const options = {
    cert: read('provider.pem'),
    key: read('provider.key'),
    ca: read('authority.pem'),
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createTlsServer(options, serve);
  server.listen(0, HOST);
  await once(server, 'listening');
  return `https://localhost:${server.address().port}`;
}

// The provider takes its keys at construction only, so a new generation is a new Provider at the
// same URLs; clients, store, cookie key and nonce key stay.
function installGeneration(issuer, generation) {
  const jwks = { keys: makeKeys(issuer.config.keys, generation) };
  const provider = new Provider(issuer.url, providerConfiguration({ ...issuer, jwks }));
  provider.on('server_error', (ctx, error) => console.error(`issuer ${issuer.name}:`, error));
  Object.assign(issuer, { generation, provider, handle: provider.callback() });
}

function countFetch(stats, method, path) {
  if (method !== 'GET') return;
  if (path === '/jwks') stats.jwks += 1;
  if (METADATA_PATHS.includes(path)) stats.metadata += 1;
}

function logIn(issuer, req, res) {
  return issuer.provider.interactionFinished(req, res, { login: { accountId: issuer.config.account } });
}

function serveIssuer(issuer, req, res) {
  const [path] = req.url.split('?');
  countFetch(issuer.stats, req.method, path);
  if (!path.startsWith('/interaction/')) return issuer.handle(req, res);
  return logIn(issuer, req, res).catch((error) => sendJson(res, 400, { error: error.message }));
}

async function startIssuer(name, config) {
  const clientKeys = makeClientKeys(config.clients);
  const rows = new Map();
  const issuer = {
    name,
    config,
    clientKeys,
    clients: registerClients(config.clients, clientKeys),
    rows,
    adapter: makeStore(rows),
    cookieKey: randomBytes(32).toString('base64url'),
    nonceKey: randomBytes(32),
    stats: { jwks: 0, metadata: 0 },
  };
  const serve = (req, res) => serveIssuer(issuer, req, res);
  issuer.url = await listen(createServer(serve), config.portVariable);
  issuer.tlsUrl = await listenTls(serve);
  installGeneration(issuer, 1);
  return issuer;
}

// ---- requests the control server makes, over HTTP like any client

class Refusal extends Error {
  constructor(status, body) {
    super(body.error);
    Object.assign(this, { status, body });
  }
}

function refuse(description) {
  throw new Refusal(400, { error: 'invalid_request', error_description: description });
}

function basicAuthorization({ client_id, client_secret }) {
  const pair = [client_id, client_secret].map(encodeURIComponent).join(':');
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

const withoutUndefined = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

async function post(issuer, route, client, parameters, headers = {}) {
  if (client.client_secret) headers.authorization = basicAuthorization(client);
  else parameters = { ...parameters, client_id: client.client_id };

  const response = await fetch(issuer.provider.urlFor(route), {
    method: 'POST',
    headers,
    body: new URLSearchParams(withoutUndefined(parameters)),
  });
  const text = await response.text();
  const body = text && JSON.parse(text);
  if (!response.ok) throw new Refusal(response.status, body);
  return body;
}

function requestToken(issuer, client, parameters, settings = {}) {
  return post(issuer, 'token', client, parameters, { [SETTINGS_HEADER]: JSON.stringify(settings) });
}

function clientCredentials(issuer, { resource, scope, settings }) {
  return requestToken(issuer, issuer.clients.worker, { grant_type: 'client_credentials', resource, scope }, settings);
}

function keepCookies(jar, response) {
  for (const line of response.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    if (value) jar.set(name, value);
    else jar.delete(name);
  }
}

const cookieHeader = (jar) => [...jar].map(([name, value]) => `${name}=${value}`).join('; ');

async function followToRedirectUri(start) {
  const jar = new Map();
  let url = start;
  for (let hop = 0; hop < 10; hop += 1) {
    const response = await fetch(url, { redirect: 'manual', headers: { cookie: cookieHeader(jar) } });
    const text = await response.text();
    const location = response.headers.get('location');
    if (!location) throw new Error(`no redirect from ${url}: ${response.status} ${text.slice(0, 200)}`);
    keepCookies(jar, response);
    url = new URL(location, url);
    if (url.origin + url.pathname === REDIRECT_URI) return url.searchParams;
  }
  throw new Error(`too many redirects from ${start}`);
}

function authorizationUrl(issuer, parameters) {
  const url = new URL(issuer.provider.urlFor('authorization'));
  url.search = new URLSearchParams(parameters);
  return url;
}

async function authorizationCode(issuer, client, { nonce, scope = 'openid', resource, settings }) {
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(16).toString('base64url');
  const answer = await followToRedirectUri(authorizationUrl(issuer, withoutUndefined({
    client_id: client.client_id,
    response_type: 'code',
    scope,
    resource,
    redirect_uri: REDIRECT_URI,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    state,
    nonce,
  })));
  if (answer.get('error')) throw new Refusal(400, Object.fromEntries(answer));
  if (answer.get('state') !== state) throw new Error('the redirect carries another state');
  if (answer.get('iss') !== issuer.url) throw new Error('the redirect carries another issuer');
  return requestToken(issuer, client, {
    grant_type: 'authorization_code',
    code: answer.get('code'),
    redirect_uri: REDIRECT_URI,
    code_verifier: verifier,
    resource,
  }, settings);
}

// ---- control server

// A parameter that is left out takes its default; one that is given empty is not sent at all.
function parameter(query, name, fallback) {
  return query.has(name) ? query.get(name) || undefined : fallback;
}

function pick(collection, name, what) {
  return Object.hasOwn(collection, name) ? collection[name] : refuse(`no such ${what}: ${name}`);
}

const issuerOf = (issuers, query) => pick(issuers, query.get('issuer') ?? 'a', 'issuer');

function tokenSettings(issuer, query) {
  const alg = parameter(query, 'alg');
  if (alg && !kindForAlg(issuer.config.keys, alg)) refuse(`alg is one of ${signingAlgs(issuer.config.keys).join(', ')}`);
  const encrypt = parameter(query, 'encrypt');
  return withoutUndefined({ alg, format: parameter(query, 'format'), encrypt: encrypt && JSON.parse(encrypt) });
}

function handleToken(issuers, query) {
  const issuer = issuerOf(issuers, query);
  const resource = parameter(query, 'resource', NOTES);
  const scope = parameter(query, 'scope', issuer.config.resources[resource]?.scope);
  return clientCredentials(issuer, { resource, scope, settings: tokenSettings(issuer, query) });
}

async function handleIdToken(issuers, query) {
  const issuer = issuerOf(issuers, query);
  const client = pick(issuer.clients, query.get('client') ?? 'web', 'client');
  if (!client.redirect_uris.length) refuse('this client has no redirect URI');
  const nonce = query.get('nonce') ?? randomBytes(16).toString('base64url');
  const { id_token } = await authorizationCode(issuer, client, { nonce });
  return { id_token };
}

// What alice's client gets for the notes: an access token and a refresh token.
function handleUserTokens(issuers, query) {
  const issuer = issuerOf(issuers, query);
  return authorizationCode(issuer, issuer.clients.app, {
    scope: `openid ${issuer.config.resources[NOTES].scope}`,
    resource: NOTES,
    settings: tokenSettings(issuer, query),
  });
}

// The plain answer about a token, as the resource server gets it.
function handleIntrospect(issuers, query) {
  const issuer = issuerOf(issuers, query);
  return post(issuer, 'introspection', issuer.clients.basic, { token: parameter(query, 'token') });
}

// A client gives its token back (RFC 7009).
async function handleRevoke(issuers, query) {
  const issuer = issuerOf(issuers, query);
  const client = pick(issuer.clients, query.get('client') ?? 'worker', 'client');
  await post(issuer, 'revocation', client, { token: parameter(query, 'token') });
  return { revoked: true };
}

// The time of a token is over, without anybody having to wait for it.
function handleExpire(issuers, query) {
  const { rows } = issuerOf(issuers, query);
  const models = ['AccessToken', 'ClientCredentials', 'RefreshToken'];
  const hits = models.map((model) => rows.get(rowKey(model, query.get('token')))).filter(Boolean);
  if (!hits.length) refuse('no such token');
  for (const { payload } of hits) payload.exp = Math.floor(Date.now() / 1000) - 1;
  return { expired: hits.length };
}

// What a client has to know to ask for tokens by itself.
function handleClient(issuers, query) {
  const issuer = issuerOf(issuers, query);
  const { client_id, client_secret } = pick(issuer.clients, query.get('client'), 'client');
  return withoutUndefined({ client_id, client_secret, keys: issuer.clientKeys[query.get('client')] });
}

function handleRotate(issuers, query) {
  const issuer = issuerOf(issuers, query);
  const kid = () => kidOf(kindForAlg(issuer.config.keys, issuer.config.resources[NOTES].alg), issuer.generation);
  const old_kid = kid();
  installGeneration(issuer, issuer.generation + 1);
  return { old_kid, new_kid: kid() };
}

function handleStats(issuers) {
  return Object.fromEntries(Object.values(issuers).map(({ name, stats }) => [name, stats]));
}

const ROUTES = {
  'GET /token': handleToken,
  'GET /id_token': handleIdToken,
  'GET /user_tokens': handleUserTokens,
  'GET /introspect': handleIntrospect,
  'GET /client': handleClient,
  'POST /revoke': handleRevoke,
  'POST /expire': handleExpire,
  'POST /rotate': handleRotate,
  'GET /stats': handleStats,
  'POST /stop': () => ({ stopping: true }),
};

function sendJson(res, status, body) {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify(body));
}

async function answer(issuers, route, query) {
  try {
    if (!Object.hasOwn(ROUTES, route)) throw new Refusal(404, { error: 'not_found', routes: Object.keys(ROUTES) });
    return { status: 200, body: await ROUTES[route](issuers, query) };
  } catch (error) {
    if (error instanceof Refusal) return error;
    console.error(`control ${route}:`, error);
    return { status: 500, body: { error: 'server_error', error_description: error.message } };
  }
}

async function serveControl(issuers, req, res) {
  const [path, search] = req.url.split('?');
  const route = `${req.method} ${path}`;
  const { status, body } = await answer(issuers, route, new URLSearchParams(search));
  if (route === 'POST /stop') res.once('close', () => stop('asked over the control server'));
  sendJson(res, status, body);
}

function startControl(issuers) {
  return listen(createServer((req, res) => serveControl(issuers, req, res)), 'INTEROP_PORT_CONTROL');
}

// ---- process

function numberFromEnvironment(name, fallback) {
  const text = process.env[name];
  if (text === undefined || text === '') return fallback;
  if (!/^\d+$/.test(text)) throw new Error(`${name} is not a whole number: ${text}`);
  return Number(text);
}

function stop(why, code = 0) {
  console.error(`provider stops: ${why}`);
  process.exit(code);
}

function stopWithParent() {
  process.once('SIGTERM', () => stop('SIGTERM'));
  process.once('SIGINT', () => stop('SIGINT'));
  process.stdin.once('end', () => stop('stdin is closed'));
  process.stdin.once('close', () => stop('stdin is closed'));
  process.stdin.once('error', () => stop('stdin is broken'));
  process.stdout.once('error', () => stop('stdout is broken'));
  process.stdin.resume();
}

function stopInTime() {
  const lifetime = Math.min(numberFromEnvironment('INTEROP_LIFETIME_MS', MAX_LIFETIME_MS), MAX_LIFETIME_MS);
  setTimeout(() => stop(`${lifetime} ms are over`, 1), lifetime);
}

async function main() {
  stopWithParent();
  stopInTime();
  const issuers = {};
  for (const [name, config] of Object.entries(ISSUERS)) issuers[name] = await startIssuer(name, config);
  const control = await startControl(issuers);
  const ready = Object.fromEntries(Object.values(issuers).map(({ name, url }) => [name, { issuer: url }]));
  process.stdout.write(`${JSON.stringify({ ...ready, control })}\n`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
