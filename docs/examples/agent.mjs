// An agent in JavaScript: it says what it is given in capitals, word by word. docs/howto/write-an-agent.md explains it.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const { AUTOMESH_URL, AUTOMESH_API_KEY, AUTOMESH_IDENTITY_DIR, AUTOMESH_ORCHESTRATOR, AUTOMESH_PROTO } = process.env;
const CAPABILITIES = [{ type: "capitals", description: 'Says {"text": ...} in capitals.' }];
const SLOTS = 4; // tasks at a time

async function capitals(input, say, signal) {
  if (typeof input.text !== "string") throw Object.assign(new Error('give {"text": ".."}'), { reason: "TEXT_MISSING" });
  const words = input.text.split(/\s+/);
  for (const [at, word] of words.entries()) {
    say({ log: { lines: [word.toUpperCase()] } });
    say({ progress: { fraction: (at + 1) / words.length, message: `${at + 1} of ${words.length} words` } });
    await pause(100, undefined, { signal }); // throws once the task is cancelled
  }
  return { text: input.text.toUpperCase(), words: words.length };
}

// Inputs and results travel as google.protobuf.Struct.
const FIELD = { string: "stringValue", number: "numberValue", boolean: "boolValue" };
const mapped = (object, change) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
const unpackStruct = (struct) => mapped(struct?.fields ?? {}, unpack);
const packStruct = (object) => ({ fields: mapped(object, pack) });
function unpack(value) {
  if (value.kind === "structValue") return unpackStruct(value.structValue);
  if (value.kind === "listValue") return value.listValue.values.map(unpack);
  return value.kind === "nullValue" ? null : value[value.kind];
}
function pack(value) {
  if (value === null) return { nullValue: 0 };
  if (Array.isArray(value)) return { listValue: { values: value.map(pack) } };
  return typeof value === "object" ? { structValue: packStruct(value) } : { [FIELD[typeof value]]: value };
}

const definition = loader.loadSync("automesh/orchestrator/v1/work_service.proto", {
  includeDirs: [AUTOMESH_PROTO ?? "proto"],
  keepCase: true,
  longs: Number,
  oneofs: true,
  defaults: true,
});
const { WorkService } = grpc.loadPackageDefinition(definition).automesh.orchestrator.v1;
const pem = (name) => readFileSync(`${AUTOMESH_IDENTITY_DIR}/${name}.pem`); // anew for each connection: it may be new
const credentials = () => grpc.credentials.createSsl(pem("bundle"), pem("key"), pem("cert"));
const NAME_OF_THE_SERVER = { "grpc.ssl_target_name_override": "orchestrator.automesh.local" };

const held = new Map(); // leases not yet over: base64 of the token -> { token, stop, done }
let agentId = "", stream = null, heardAt = 0, ttl = 15_000;
const send = (frame) => stream?.write(frame);
const seconds = (duration) => duration.seconds + duration.nanos / 1e9;

// The lease is over, one way or another: stop what still runs, and ask for another one.
function forget(token) {
  held.get(token.toString("base64"))?.stop.abort();
  if (held.delete(token.toString("base64"))) send({ credit: { count: 1 } });
}

async function run(lease) {
  const token = lease.lease_token;
  const job = { token, stop: new AbortController(), done: null };
  held.set(token.toString("base64"), job);
  send({ accepted: { lease_token: token } });
  const say = (frame) => send(mapped(frame, (body) => ({ lease_token: token, ...body })));
  try {
    job.done = { result: packStruct(await capitals(unpackStruct(lease.input), say, job.stop.signal)) };
  } catch (error) {
    const reason = error.reason ?? "HANDLER_ERROR";
    job.done = { failure: { reason, message: error.message, retryable: !error.reason } };
  }
  if (!job.stop.signal.aborted) say({ done: job.done }); // and again after a reconnect, until it is acknowledged
}

function take(frame) {
  heardAt = Date.now();
  if (frame.message === "lease") run(frame.lease);
  else if (frame.message === "ack") forget(frame.ack.lease_token);
  else if (frame.message === "cancel") held.get(frame.cancel.lease_token.toString("base64"))?.stop.abort();
  else if (frame.message === "revoked") forget(frame.revoked.lease_token);
  else if (frame.message === "goaway") stream.cancel();
  else if (frame.message === "attached") {
    frame.attached.drop.forEach(forget);
    for (const { token, done } of held.values()) if (done) send({ done: { lease_token: token, ...done } });
    send({ credit: { count: SLOTS - held.size } });
  }
}

async function accessToken() {
  const body = JSON.stringify({ apiKey: AUTOMESH_API_KEY });
  const headers = { "content-type": "application/json" };
  const request = { method: "POST", headers, body, signal: AbortSignal.timeout(10_000) };
  const answer = await fetch(`${AUTOMESH_URL}/api/v1/auth/exchange`, request);
  if (!answer.ok) throw new Error(`no token: ${await answer.text()}`);
  return (await answer.json()).tokens.accessToken;
}

async function session() {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${await accessToken()}`);
  const client = new WorkService(AUTOMESH_ORCHESTRATOR, credentials(), NAME_OF_THE_SERVER);
  const about = { agent_id: agentId, name: "capitals", slots: SLOTS, capabilities: CAPABILITIES };
  const register = promisify(client.Register.bind(client));
  const terms = await register(about, metadata, { deadline: Date.now() + 10_000 });
  [agentId, ttl, heardAt] = [terms.agent_id, seconds(terms.lease_ttl) * 1000, Date.now()];
  stream = client.Work(metadata);
  const beat = setInterval(() => send({ heartbeat: {} }), seconds(terms.heartbeat_interval) * 750);
  send({ attach: { agent_id: agentId, session_id: randomUUID(), held: [...held.values()].map((job) => job.token) } });
  try {
    await new Promise((resolve, reject) => stream.on("data", take).on("end", resolve).on("error", reject));
  } finally {
    clearInterval(beat);
    stream = null;
    client.close();
  }
}

// Without a word from the orchestrator for so long, the leases are about to go to somebody else: stop.
setInterval(() => {
  if (Date.now() - heardAt < ttl * 0.8) return;
  [...held.values()].forEach((job) => forget(job.token));
  stream?.cancel();
}, 500);
process.once("SIGTERM", () => {
  send({ drain: {} }); // no new work; leave when what is held is done
  setInterval(() => held.size || process.exit(0), 100);
});
for (;;) {
  await session().catch((error) => console.error(error.message));
  await pause(1000);
}
