// What clients read of a resource server: its metadata (RFC 9728), by oauth4webapi, and the challenge that
// names it. It reads one JSON object from stdin and prints one JSON line for each step.

import * as oauth from 'oauth4webapi';

import { readSettings, say } from './client.mjs';

const { origin, resource, other } = await readSettings();

// The resource has a name that nobody listens at: its requests go to the service.
const redirected = (url) => fetch(`${origin}${new URL(url).pathname}`, { headers: { accept: 'application/json' } });
const options = { [oauth.customFetch]: redirected };

async function discover(identifier) {
  try {
    const response = await oauth.resourceDiscoveryRequest(new URL(identifier), options);
    return { metadata: await oauth.processResourceDiscoveryResponse(new URL(identifier), response) };
  } catch (error) {
    return { error: error.code ?? error.name };
  }
}

say({ step: 'the resource itself', ...await discover(resource) });
say({ step: 'another resource at the same place', ...await discover(other) });
const [challenge] = await oauth
  .protectedResourceRequest('nothing', 'GET', new URL(`${origin}/notes`), undefined, undefined, {
    [oauth.allowInsecureRequests]: true,
  })
  .then(() => [], (error) => error.cause);
say({ step: 'what a challenge says', ...challenge });
const named = new URL(challenge.parameters.resource_metadata);
say({ step: 'where it points to', path: named.pathname, ...await discover(named.origin) });
