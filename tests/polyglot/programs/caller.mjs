// A Node client of the mesh for tests: finds a service by its name, and takes the orders that
// tests/mesh/programs/caller.py takes.
//
// {"do": "call", "count": 10}                 -> {"ok": 10, "errors": {}, "by": {"echo-1": 5, "echo-2": 5}}
// {"do": "until", "by": ["echo-1", "echo-2"]} -> calls until exactly these answer 30 calls without an error
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import xds from "@grpc/grpc-js-xds";
import readline from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

const [protos, target] = process.argv.slice(2);
const WINDOW = 30; // calls
const LIMIT_MS = 30_000;
const DEADLINE_MS = 10_000;

xds.register();
const definition = loader.loadSync("automesh/auth/v1/token_service.proto", { includeDirs: [protos], keepCase: true });
const { TokenService } = grpc.loadPackageDefinition(definition).automesh.auth.v1;
// The fallback is for clusters without TLS: there are none here, and a client that uses it fails at once.
const credentials = new xds.XdsChannelCredentials(grpc.credentials.createSsl());
const client = new TokenService(`xds:///${target}`, credentials);

// GetJwks of programs/echo.py: the id of its one key is the id of the process that answers.
const call = () =>
  new Promise((resolve) => {
    client.GetJwks({}, { deadline: Date.now() + DEADLINE_MS }, (error, reply) => resolve({ error, reply }));
  });

async function count(calls) {
  const tally = { ok: 0, errors: {}, by: {} };
  for (let done = 0; done < calls; done += 1) {
    const { error, reply } = await call();
    const [counts, key] = error
      ? [tally.errors, `${grpc.status[error.code]}: ${error.details}`]
      : [tally.by, reply.keys[0].kid];
    counts[key] = (counts[key] ?? 0) + 1;
    if (!error) tally.ok += 1;
  }
  return tally;
}

async function until(wanted) {
  const same = (names) => JSON.stringify([...names].sort()) === JSON.stringify([...wanted].sort());
  for (const end = Date.now() + LIMIT_MS; Date.now() < end; await pause(50)) {
    const tally = await count(WINDOW);
    if (tally.ok === WINDOW && same(Object.keys(tally.by))) return tally;
  }
  return { timeout: true };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const answer = order.do === "call" ? await count(order.count) : await until(order.by);
  console.log(JSON.stringify(answer));
}
process.exit(0);
