// A transmitter of security events (SSF), which jose signs: it pushes them (RFC 8935) and is polled
// (RFC 8936).
//
// Control: `/stream` (where and how to push: nothing is pushed before), `/set` (a recipe of jwts.mjs), `/push` (a SET, or anything,
// to the stream), `/emit` (a SET for who polls: the answer comes when it was acknowledged or refused).

import { once, EventEmitter } from 'node:events';
import { json } from 'node:stream/consumers';

import { sign } from './jwts.mjs';

const TYPE = 'application/secevent+jwt';
const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification';

export class Events {
  constructor(issuer, keys, served) {
    Object.assign(this, { issuer, keys, waiting: [], news: new EventEmitter() });
    this.streaming = new Promise((resolve) => { this.stream = resolve; });
    this.news.setMaxListeners(0);
    served.set('/verify', (req, res) => this.verify(req, res));
    served.set('/poll', (req, res) => this.answer(req, res));
  }

  routes() {
    return {
      '/stream': (stream) => { this.stream(stream); return {}; },
      '/set': async (recipe) => ({ token: await this.set(recipe) }),
      '/push': (what) => this.push(what),
      '/emit': (what) => this.emit(what),
    };
  }

  set(recipe) {
    const claims = { iss: this.issuer, aud: 'https://notes.example/events' };
    return sign(this.keys, { typ: 'secevent+jwt', claims, lifetime: 0 }, { ...recipe, claims: { exp: null, ...recipe.claims } });
  }

  async push({ body, type = TYPE, authorization, method = 'POST', encoding }) {
    const headers = { 'content-type': type, accept: 'application/json' };
    const stream = await this.streaming;
    const shown = authorization === undefined ? stream.authorization : authorization;
    if (shown) headers.authorization = shown;
    if (encoding) headers['content-encoding'] = encoding;
    const response = await fetch(stream.to, { method, headers, body: method === 'GET' ? undefined : body });
    const text = await response.text();
    return { status: response.status, err: text ? JSON.parse(text).err : undefined };
  }

  // SSF §8.1.4.2: it says yes, and pushes what was asked for, once it knows where.
  async verify(req, res) {
    const { stream_id, state } = await json(req);
    res.writeHead(204);
    res.end();
    const claims = { sub_id: { format: 'opaque', id: stream_id }, events: { [VERIFICATION]: { state } } };
    await this.push({ body: await this.set({ claims }) });
  }

  // ---- polled

  async answer(req, res) {
    if (req.headers.authorization !== 'Bearer polling') {
      res.writeHead(401);
      res.end();
      return;
    }
    const { ack = [], setErrs = {}, maxEvents, returnImmediately } = await json(req);
    for (const jti of ack) this.done(jti, { ack: true });
    for (const [jti, error] of Object.entries(setErrs)) this.done(jti, error);
    if (maxEvents !== 0 && !returnImmediately && !this.waiting.length) {
      const gone = new AbortController();
      res.once('close', () => gone.abort());
      await once(this.news, 'set', { signal: gone.signal }).catch(() => {});
    }
    const given = maxEvents === 0 ? [] : this.waiting.slice(0, maxEvents);
    if (res.destroyed) return;
    res.writeHead(200, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ sets: Object.fromEntries(given.map(({ jti, set }) => [jti, set])) }));
  }

  done(jti, outcome) {
    this.waiting = this.waiting.filter((one) => one.jti !== jti);
    this.news.emit(`done ${jti}`, outcome);
  }

  async emit({ jti, set }) {
    const done = once(this.news, `done ${jti}`);
    this.waiting.push({ jti, set });
    this.news.emit('set');
    const [outcome] = await done;
    return outcome;
  }
}
