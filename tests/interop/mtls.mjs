// A client with a certificate: openid-client over the connections of undici.

import { createHash, X509Certificate } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import * as client from 'openid-client';
import { Agent, fetch } from 'undici';

import { claimsOf, observed, outcome, readSettings, say } from './client.mjs';

const thumbprintOf = (pem) => createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url');

// Longer than any test: a connection ends when its agent does.
const KEEP_ALIVE_MS = 10 * 60 * 1000;

// Every connection that undici has made, with the newest session that its server offered to resume.
const connections = [];
subscribe('undici:client:connected', ({ socket }) => {
  const connection = { socket, session: undefined };
  socket.on('session', (session) => { connection.session = session; });
  connections.push(connection);
});

async function walk(settings, { http, tls }) {
  const read = (name) => readFileSync(join(settings.directory, name), 'utf8');
  const identity = (name, keyOf = name) => ({ cert: read(`${name}.pem`), key: read(`${keyOf}.key`) });
  // Each has one connection at a time, and its newest is kept here.
  const agents = new Map();
  const agent = (options) => {
    const connect = { ca: read('authority.pem'), minVersion: tls, maxVersion: tls, ...options };
    const made = new Agent({
      allowH2: http === '2',
      connect,
      connections: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
    });
    agents.set(made, undefined);
    return made;
  };
  const sessionOf = (one) => agents.get(one).session;

  let dispatcher;
  const wire = observed((url, options) => fetch(url, { ...options, dispatcher }));
  const tell = (step, told) => say({ walk: `HTTP/${http}, ${tls}`, step, ...told, exchanges: wire.take() });

  dispatcher = agent(identity('alice'));
  const config = await client.discovery(
    new URL(settings.issuer),
    settings.client_id,
    { use_mtls_endpoint_aliases: true },
    client.TlsClientAuth(),
    { execute: [client.allowInsecureRequests], [client.customFetch]: wire.fetch },
  );
  wire.take();
  const { resource, scope } = settings;
  const { access_token: token, token_type } = await client.clientCredentialsGrant(config, { resource, scope });
  tell('token', {
    token_type,
    bound_to_own_certificate: claimsOf(token).cnf['x5t#S256'] === thumbprintOf(read('alice.pem')),
  });

  const ask = async (step, by, { bearer = token, headers } = {}) => {
    dispatcher = by;
    const before = connections.length;
    const told = await outcome(() => (
      client.fetchProtectedResource(config, bearer, new URL(settings.url), 'GET', undefined, new Headers(headers))
    ));
    const made = connections.length - before;
    if (made > 0) agents.set(by, connections.at(-1));
    const { socket } = agents.get(by);
    tell(step, { ...told, connection: { made, resumed: socket.isSessionReused(), protocol: socket.alpnProtocol } });
  };

  const own = agent(identity('alice'));
  await ask('own certificate', own);
  await ask('the same connection', own);
  await ask('a resumed session', agent({ ...identity('alice'), session: sessionOf(own) }));

  const nobody = agent({});
  await ask('no certificate', nobody);
  await ask('a session without one, resumed', agent({ ...identity('alice'), session: sessionOf(nobody) }));
  await ask('another certificate', agent(identity('mallory')));
  await ask('a renewed certificate', agent(identity('renewed', 'alice')));
  const der = new X509Certificate(read('alice.pem')).raw;
  const headers = {
    'client-cert': `:${der.toString('base64')}:`,
    'x-forwarded-client-cert': `Hash=${createHash('sha256').update(der).digest('hex')}`,
    'ssl-client-cert': encodeURIComponent(read('alice.pem')),
  };
  await ask('a certificate in header fields', agent({}), { headers });
  await ask('a certificate in header fields beside another', agent(identity('mallory')), { headers });
  await ask('a token that is bound to nothing', own, { bearer: settings.unbound });
  await ask('own certificate, after all that', own);

  await Promise.all([...agents.keys()].map((one) => one.destroy()));
}

const settings = await readSettings();
for (const one of settings.walks) await walk(settings, one);
