// Token Status Lists by `@sd-jwt/jwt-status-list`, signed by jose. Control: `/list` (one is published),
// `/read` (what the library reads in a list of somebody else).

import { createHeaderAndPayload, getListFromStatusListJWT, StatusList } from '@sd-jwt/jwt-status-list';
import { gzipSync } from 'node:zlib';

import { importJWK, SignJWT } from 'jose';

const TYPE = 'application/statuslist+jwt';
const TTL_S = 15;

export class Lists {
  constructor(issuer, keys, served) {
    Object.assign(this, { issuer, keys, served });
  }

  routes() {
    return {
      '/list': (wanted) => this.publish(wanted),
      '/read': ({ list }) => {
        const read = getListFromStatusListJWT(list);
        return { bits: read.getBitsPerStatus(), statuses: read.statusList };
      },
    };
  }

  // `name`, `bits`, `statuses`; beside that what is wrong with it: `key`, `alg`, `header`, `claims`
  // (`null` leaves one out), `list` (members of `status_list`), `tamper` (what the statuses become once it
  // is signed), `body`, `type`, `gzip`, `status`.
  async publish({ name, bits = 2, statuses, key = 'ec', alg = 'ES256', header, claims, list: members, tamper, body, type = TYPE, gzip, status = 200 }) {
    const uri = `${this.issuer}/lists/${name}`;
    const base = { iss: this.issuer, sub: uri, iat: Math.floor(Date.now() / 1000), ttl: TTL_S };
    const made = createHeaderAndPayload(new StatusList(statuses, bits), base, { alg, typ: 'statuslist+jwt', kid: 'ec' });
    // The library makes no list that is wrong in these.
    const changed = (members, changes) => Object.fromEntries(
      Object.entries({ ...members, ...changes }).filter(([, value]) => value !== null),
    );
    const payload = changed(made.payload, claims);
    Object.assign(payload.status_list, members);
    const signer = new SignJWT(payload).setProtectedHeader(changed(made.header, header));
    let token = await signer.sign(key === 'mac' ? new TextEncoder().encode('secret'.repeat(8)) : await importJWK(this.keys[key], alg));
    if (tamper) {
      const [head, , signature] = token.split('.');
      const other = new StatusList(tamper, bits).compressStatusList();
      const claimed = { ...payload, status_list: { bits, lst: other } };
      token = [head, Buffer.from(JSON.stringify(claimed)).toString('base64url'), signature].join('.');
    }
    const sent = gzip ? gzipSync(body ?? token) : body ?? token;
    this.served.set(`/lists/${name}`, (req, res) => {
      res.writeHead(status, { 'content-type': type, ...(gzip && { 'content-encoding': 'gzip' }) });
      res.end(sent);
    });
    return { uri, token };
  }
}
