// A gRPC client: `@grpc/grpc-js`, with the service of `grpc-health-check`. Proofs are made by npm `jose`.
//
// It reads one JSON object from stdin: `target`; `calls`, each of `step`, `method`, `metadata` as pairs, and
// `proof` (`htu`, `htm`) where it has one, with the newest nonce; `bound`, a token and the private JWK that it is bound to. It prints
// one JSON line for each call.

import { credentials, makeClientConstructor, Metadata, status } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';

import { readSettings, say } from './client.mjs';
import { prover } from './proofs.mjs';

const DEADLINE_MS = 10_000;

const settings = await readSettings();
const Health = makeClientConstructor(service, 'Health');
const client = new Health(settings.target, credentials.createInsecure());
const prove = await prover(settings.bound.key, settings.bound.token);

// The newest that the service gave (RFC 9449 §8).
let nonce;

const codeOf = (number) => Object.keys(status).find((name) => status[name] === number);

function call(method, metadata) {
  const options = { deadline: Date.now() + DEADLINE_MS };
  return new Promise((resolve) => {
    if (method === 'Check') {
      client.Check({ service: '' }, metadata, options, (error, answer) => resolve({ error, answer }));
      return;
    }
    const stream = client.Watch({ service: '' }, metadata, options);
    stream.once('data', (answer) => { resolve({ answer }); stream.cancel(); });
    stream.on('error', (error) => resolve({ error }));
  });
}

for (const { step, method, metadata: pairs, proof, replay } of settings.calls) {
  const metadata = new Metadata();
  for (const [name, value] of pairs) metadata.add(name, value);
  if (proof) metadata.add('dpop', await prove(proof.htm, proof.htu, { nonce }));
  const times = replay ? 2 : 1;
  for (let time = 1; time <= times; time += 1) {
    const { error, answer } = await call(method, metadata);
    const told = (name) => error?.metadata.get(name).join(', ') || undefined;
    nonce = told('dpop-nonce') ?? nonce;
    say({
      step: time === 1 ? step : `${step}, once more`,
      code: codeOf(error ? error.code : 0),
      serving: answer?.status,
      message: error?.details,
      challenge: told('www-authenticate'),
      pushback: told('grpc-retry-pushback-ms'),
    });
  }
}
client.close();
