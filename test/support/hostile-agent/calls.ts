import type { AgentClient } from "../../../src/vmm/agent/agent-client.js";

const ref = { sessionId: "s", execId: "" };

const path = Buffer.from("/a");
const scope = {
  ...{ sessionId: "s", user: "", uid: 0, gid: 0, groups: [], capabilities: [], oomScoreAdj: 0 },
  ...{ base: Buffer.alloc(0), root: Buffer.alloc(0), attributes: Buffer.alloc(0) },
};

async function* noBody(): AsyncGenerator<Uint8Array, void> {}
const noStaging = () => Promise.resolve(undefined);

/** Reads to the end, and keeps nothing. */
async function readAll(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _part of source);
}

/** Every method that has an answer. */
export const calls = {
  hello: (agent, signal) => agent.hello(signal),
  configureSandbox: (agent, signal) => {
    const request = {
      hostname: "",
      wallClockNs: 0n,
      sysctls: {},
      shmSizeBytes: 0n,
      rehearsal: false,
      interfaces: [],
      entropy: new Uint8Array(),
    };
    return agent.configureSandbox(request, signal);
  },
  createSession: (agent, signal) => {
    const lists = { heldPaths: [], mirroredPaths: [], propagatedPaths: [], hugeVolumes: [], root: undefined };
    const bytes = { ociSpec: Buffer.alloc(0), seccompBpf: Buffer.alloc(0), apparmorPolicy: Buffer.alloc(0) };
    return agent.createSession({ sessionId: "s", ...lists, ...bytes, seccompFlags: 0, stdin: false }, signal);
  },
  startSession: (agent, signal) => agent.startSession("s", signal),
  startExec: (agent, signal) =>
    agent.startExec({ sessionId: "s", execId: "e", ociProcess: Buffer.alloc(0), stdin: false }, signal),
  signal: (agent, signal) => agent.signalProcess(ref, 9, false, signal),
  wait: (agent, signal) => agent.wait(ref, signal),
  output: (agent, signal) => readAll(agent.output(ref, 0n, true, signal)),
  input: (agent, signal) => agent.input(ref, signal).end(),
  resize: (agent, signal) => agent.resize(ref, 80, 25, signal),
  portForward: async (agent, signal) => {
    await readAll(await agent.connectPort(1, signal));
  },
  servePort: async (agent, signal) => {
    await readAll(await agent.servePort({ port: 1, anyAddress: false, mostConnections: 1, waitMs: 0 }, signal));
  },
  takeConnection: async (agent, signal) => {
    await readAll(await agent.takeConnection(1n, signal));
  },
  stopServing: (agent, signal) => agent.stopServing(1, signal),
  deleteSession: (agent, signal) => agent.deleteSession("s", signal),
  forgetExec: (agent, signal) => agent.forgetExec("s", "e", signal),
  updateSession: (agent, signal) =>
    agent.updateSession({ sessionId: "s", ociResources: Buffer.alloc(0), oomScoreAdj: undefined }, signal),
  listSessions: (agent, signal) => agent.listSessions(signal),
  stats: (agent, signal) => agent.stats({ sessionId: "", processes: true, brief: false }, signal),
  dropCaches: (agent, signal) => agent.dropCaches(signal),
  syncMirror: (agent, signal) => agent.syncMirror("/v/a", signal),
  syncSubmounts: (agent, signal) => agent.syncSubmounts("/v/a", [], signal),
  statFile: (agent, signal) => agent.files.stat({ scope, path, follow: true }, signal),
  listFiles: (agent, signal) => readAll(agent.files.list({ scope, path, depth: 1, limit: 1 }, signal)),
  readFile: (agent, signal) => readAll(agent.files.read({ scope, path, offset: 0n, length: undefined }, signal)),
  writeFile: (agent, signal) =>
    agent.files.write({ scope, path, mode: 0o644, parents: false, attributes: [] }, noBody(), noStaging, signal),
  makeDirectory: (agent, signal) => agent.files.makeDirectory({ scope, path, mode: 0o755 }, signal),
  moveFile: (agent, signal) => agent.files.move({ scope, from: path, to: path }, signal),
  removeFile: (agent, signal) => agent.files.remove({ scope, path, recursive: false }, signal),
  watchFiles: (agent, signal) => readAll(agent.files.watch({ scope, path, recursive: false }, signal)),
  shutdown: (agent, signal) => agent.shutdown(signal),
} satisfies Record<string, (agent: AgentClient, signal: AbortSignal) => Promise<unknown>>;
