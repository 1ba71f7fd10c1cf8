// Clients that reach a service through a proxy: openid-client over the connections of undici. One has a
// certificate that its token is bound to, one has a key.
//
// It reads one JSON object from stdin: `issuer`, `mtls` and `dpop` (clients of it), `resource`, `scope`,
// `unbound` (a token), `origin` (of the proxy, with the prefix in `prefix`), `internal` (of the service),
// `directory` (of certificates), `trusted` (an address of the proxy). It prints one JSON line for each step.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import * as client from 'openid-client';
import { Agent, fetch } from 'undici';

import { observed, outcome, readSettings, say } from './client.mjs';

const settings = await readSettings();
const { origin, prefix, internal, resource, scope } = settings;
const read = (name) => readFileSync(join(settings.directory, name), 'utf8');
const identity = (name) => ({ cert: read(`${name}.pem`), key: read(`${name}.key`) });
const der = new X509Certificate(read('alice.pem')).raw;

async function tokens() {
  const dispatcher = new Agent({ connect: { ca: read('authority.pem'), ...identity('alice') } });
  const options = {
    execute: [client.allowInsecureRequests],
    [client.customFetch]: (url, given) => fetch(url, { ...given, dispatcher }),
  };
  const discover = (metadata, authentication) => (
    client.discovery(new URL(settings.issuer), metadata.client_id, metadata, authentication, options)
  );
  const mtls = await discover({ ...settings.mtls, use_mtls_endpoint_aliases: true }, client.TlsClientAuth());
  const dpop = await discover(settings.dpop, client.ClientSecretBasic(settings.dpop.client_secret));
  const keys = await client.randomDPoPKeyPair('ES256');
  const prover = client.getDPoPHandle(dpop, keys);
  const grant = { resource, scope };
  const certified = await client.clientCredentialsGrant(mtls, grant);
  const keyed = await client.clientCredentialsGrant(dpop, grant, { DPoP: prover });
  await dispatcher.destroy();
  return { config: dpop, keys, certified: certified.access_token, keyed: keyed.access_token };
}

async function walk(http, { config, keys, certified, keyed }) {
  const agents = [];
  const agent = (options, localAddress) => {
    const connect = { ca: read('authority.pem'), ...options };
    agents.push(new Agent({ allowH2: http === '2', connect, localAddress }));
    return agents.at(-1);
  };
  let dispatcher;
  const wire = observed((url, options) => fetch(url, { ...options, dispatcher }));
  config[client.customFetch] = wire.fetch;
  const tell = (step, told) => say({ walk: `HTTP/${http}`, step, ...told, exchanges: wire.take() });
  const ask = async (step, by, { token = certified, headers, url = `${origin}${prefix}/notes` } = {}) => {
    dispatcher = by;
    tell(step, await outcome(() => (
      client.fetchProtectedResource(config, token, new URL(url), 'GET', undefined, new Headers(headers))
    )));
  };
  const [own, other, nobody] = [agent(identity('alice')), agent(identity('mallory')), agent({})];
  const escaped = encodeURIComponent(read('alice.pem'));
  const field = { 'ssl-client-cert': escaped };

  await ask('own certificate', own);
  await ask('the same connection', own);
  await ask('no certificate', nobody);
  await ask('another certificate', other);
  await ask('its field, no certificate', nobody, { headers: field });
  await ask('its field, another certificate', other, { headers: field });
  await ask('its field with an underscore', nobody, { headers: { ssl_client_cert: escaped } });
  await ask('the field of RFC 9440', nobody, { headers: { 'client-cert': `:${der.toString('base64')}:` } });
  await ask('the field of Envoy', nobody, { headers: { 'x-forwarded-client-cert': `Cert="${escaped}"` } });
  await ask('own certificate, and a field with another', own, { headers: { 'ssl-client-cert': encodeURIComponent(read('mallory.pem')) } });
  await ask('a token that is bound to nothing', own, { token: settings.unbound });
  await ask('a path without the prefix', own, { url: `${origin}/notes` });
  await ask('own certificate, after all that', own);

  // Past the proxy. Its address is all that it is known by.
  const from = (address) => agent({}, address);
  const direct = { url: `${internal}/notes` };
  const trusted = from(settings.trusted);
  await ask('straight to the service', from('127.0.0.1'), direct);
  await ask('straight, with its field', from('127.0.0.1'), { ...direct, headers: field });
  await ask('from where only the proxy is, with its field', trusted, { ...direct, headers: field });
  await ask('from there, without a field', trusted, direct);
  await ask('from there, an empty field', trusted, { ...direct, headers: { 'ssl-client-cert': '' } });
  await ask('from there, no certificate in it', trusted, { ...direct, headers: { 'ssl-client-cert': 'alice' } });
  await ask('from there, text behind it', trusted, { ...direct, headers: { 'ssl-client-cert': `${escaped}x` } });
  await ask('from there, as nginx wrote it once', trusted, { ...direct, headers: { 'ssl-client-cert': read('alice.pem').trim().replaceAll('\n', ' ') } });

  const prove = async (step, { by = nobody, token = keyed, url = `${origin}${prefix}/notes`, htu, pair = keys } = {}) => {
    dispatcher = by;
    const DPoP = client.getDPoPHandle(config, pair, {
      [client.modifyAssertion]: (header, payload) => { if (htu) payload.htu = htu; },
    });
    tell(step, await outcome(() => (
      client.fetchProtectedResource(config, token, new URL(url), 'GET', undefined, undefined, { DPoP })
    )));
  };
  await prove('a proof');
  const spent = wire.sent();
  dispatcher = nobody;
  tell('the same proof again', await outcome(() => wire.fetch(`${origin}${prefix}/notes`, { headers: spent })));
  await prove('a proof, with a certificate', { by: own });
  await prove('a proof, with a query', { url: `${origin}${prefix}/notes?page=2&all` });
  await prove('a proof for the path without the prefix', { htu: `${origin}/notes` });
  await prove('a proof for the internal URI', { htu: `${internal}/notes` });
  await prove('a proof for another host', { htu: `https://other.example${prefix}/notes` });
  await prove('a proof without TLS', { htu: `${origin.replace('https', 'http')}${prefix}/notes` });
  await prove('another key', { pair: await client.randomDPoPKeyPair('ES256') });
  await prove('two slashes, which nginx makes one', { url: `${origin}${prefix}//notes`, htu: `${origin}${prefix}/notes` });
  await prove('two slashes in the proof too', { url: `${origin}${prefix}//notes` });
  await prove('an octet that nginx decodes', { url: `${origin}${prefix}/n%6Ftes` });
  await prove('straight to the service, for the internal URI', { by: from('127.0.0.1'), url: `${internal}/notes` });
  await prove('straight to the service, for the public URI', { by: from('127.0.0.1'), url: `${internal}/notes`, htu: `${origin}${prefix}/notes` });
  await prove('a token that is bound to a certificate', { by: own, token: certified });

  await Promise.all(agents.map((one) => one.destroy()));
}

const got = await tokens();
for (const http of ['1.1', '2']) await walk(http, got);
