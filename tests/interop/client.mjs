// What the clients of the tests have in common: settings from stdin, a JSON line for each step, and
// what went over the wire while it was done.

import { text } from 'node:stream/consumers';

const MAX_LIFETIME_MS = 2 * 60 * 1000;
const REQUEST_WITHIN_MS = 15_000;

// One JSON object, after which the caller closes the pipe.
export async function readSettings() {
  setTimeout(() => {
    console.error(`the client ends: ${MAX_LIFETIME_MS} ms are over`);
    process.exit(1);
  }, MAX_LIFETIME_MS).unref();
  return JSON.parse(await text(process.stdin));
}

export function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const part = (jwt, index) => JSON.parse(Buffer.from(jwt.split('.')[index], 'base64url').toString());

export const claimsOf = (jwt) => part(jwt, 1);

function proofOf(headers) {
  const proof = headers.get('dpop');
  if (!proof) return undefined;
  const { jti, nonce } = claimsOf(proof);
  return { alg: part(proof, 0).alg, jti, nonce };
}

// A `fetch` that keeps what it sent and got, and changes nothing. `kind` and `version` come from the
// test around the resource server: why it refused, and the version of HTTP that it saw.
export function observed(fetch) {
  let exchanges = [];
  let sent;
  return {
    fetch: async (url, options) => {
      const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_WITHIN_MS), ...options });
      const headers = new Headers(options.headers);
      const told = (name) => response.headers.get(name) ?? undefined;
      sent = headers;
      exchanges.push({
        status: response.status,
        proof: proofOf(headers),
        nonce: told('dpop-nonce'),
        challenge: told('www-authenticate'),
        kind: told('interop-kind'),
        version: told('interop-version'),
      });
      return response;
    },
    // The header fields of the last request.
    sent: () => Object.fromEntries(sent),
    // The exchanges since the last call.
    take: () => {
      const taken = exchanges;
      exchanges = [];
      return taken;
    },
  };
}

// What came of a request: a response, or the challenges as the library reads them and throws them.
export async function outcome(request) {
  try {
    const response = await request();
    return { status: response.status, body: await response.text() };
  } catch (error) {
    if (!Array.isArray(error.cause)) throw error;
    return { status: error.status, challenges: error.cause };
  }
}
