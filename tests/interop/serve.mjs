// What programs that serve have in common: they listen on loopback, say in one line of JSON when they are
// ready, and end with whoever started them.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

const HOST = '127.0.0.1';
const MAX_LIFETIME_MS = 10 * 60 * 1000;

export async function listen(serve) {
  const server = createServer(serve);
  server.listen(0, HOST);
  await once(server, 'listening');
  return `http://${HOST}:${server.address().port}`;
}

function stop(why, code = 0) {
  console.error(`the program stops: ${why}`);
  process.exit(code);
}

export function say(line) {
  process.stdin.once('end', () => stop('stdin is closed'));
  process.stdin.once('close', () => stop('stdin is closed'));
  process.stdin.once('error', () => stop('stdin is broken'));
  process.stdin.resume();
  setTimeout(() => stop(`${MAX_LIFETIME_MS} ms are over`, 1), MAX_LIFETIME_MS);
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// Routes that take an object and answer with one, by the path.
export function control(routes) {
  return listen(async (req, res) => {
    const answer = (status, body) => {
      res.writeHead(status, { 'content-type': 'application/json' });
      res.end(JSON.stringify(body));
    };
    try {
      const route = routes[req.url];
      if (!route) return answer(404, { error: `no such route: ${req.url}` });
      return answer(200, await route(await json(req)));
    } catch (error) {
      return answer(500, { error: String(error.stack ?? error) });
    }
  });
}
