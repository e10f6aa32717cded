/** A port of the agents' edge, with protocols and pods of the tests' own; all else is real. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { type HealthCheckResponse, HealthClient } from "../../../../src/gen/grpc/health/v1/health.js";
import { createLogger } from "../../../../src/base/log.js";
import { configOf, parseFile } from "../../../../src/config/load.js";
import { Metrics } from "../../../../src/metrics/metrics.js";
import { openSandboxPort, type SandboxPort } from "../../../../src/sandboxes/listen/open-port.js";
import type { SandboxPortOptions } from "../../../../src/sandboxes/listen/options.js";
import type { HttpProtocol } from "../../../../src/sandboxes/listen/protocol.js";

export interface Bed {
  readonly directory: string;
  readonly port: SandboxPort;
  readonly metrics: Metrics;
  /** Of the log. */
  readonly lines: string[];
  close(): Promise<void>;
}

/** Who connects is this process: what the kernel tells of others is for `test/native/peer.test.ts`. */
const ownProcess: SandboxPortOptions["native"] = {
  peerCredentials: () => ({ pid: process.pid, uid: 0, gid: 0 }),
  openPeer: () => 0,
  signalProcess: () => Promise.resolve(true),
  closeFd: () => Promise.resolve(),
  bindVsock: () => -1,
  joinAccepted: () => ({ close: () => undefined }),
};

/** Says who calls, and about what. */
export const mirror: HttpProtocol = {
  name: "mirror",
  takes: ({ url }) => url.pathname.startsWith("/who"),
  handle: async ({ address, caller, message }, response) => {
    let bytes = 0;
    for await (const chunk of message) bytes += Buffer.from(chunk).length;
    response.end(JSON.stringify({ caller, address, bytes }));
  },
};

/** `toml`: of `[sandboxes]`; DIRECTORY in it is a directory of the test's own. */
export async function openBed(toml: string, more: Partial<SandboxPortOptions> = {}): Promise<Bed> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-port-"));
  const lines: string[] = [];
  const log = createLogger("info", { write: (line) => void lines.push(line) });
  const metrics = new Metrics();
  const config = configOf(parseFile(`[sandboxes]\n${toml.replaceAll("DIRECTORY", directory)}`, "test")).sandboxPort;
  const port = await openSandboxPort({
    ...{ config, log, figures: metrics.port, health: () => undefined, native: ownProcess },
    pods: { byUid: () => undefined, byBox: () => undefined },
    protocolsHttp: [mirror],
    protocolsGrpc: [],
    ...more,
  });
  return {
    ...{ directory, port, metrics, lines },
    close: async () => {
      await port.close(0);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The TCP port of the only listener. */
export function portOf({ port }: Bed): number {
  return Number(/:(\d+)$/.exec(port.urls[0] ?? "")?.[1]);
}

/** All that comes back for what is sent, in these pieces. */
export async function exchange(to: NetConnectOpts, pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const socket = connect(to);
  const answer = read(socket);
  await once(socket, "connect");
  for (const piece of pieces) {
    await new Promise((resolve) => socket.write(piece, resolve));
  }
  return await answer;
}

export async function read(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.on("error", () => undefined);
  await once(socket, "close", { signal: AbortSignal.timeout(20_000) });
  return Buffer.concat(chunks).toString("latin1");
}

/** curl, with what it says of the answer's status last. */
export async function curl(...words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("curl", ["-sS", "-m", "20", "-w", " %{http_code}", ...words]);
  return stdout;
}

/** What `grpc.health.v1` says of the whole server. */
export function healthOf(target: string, with_ = credentials.createInsecure()): Promise<HealthCheckResponse> {
  const client = new HealthClient(target, with_);
  return new Promise<HealthCheckResponse>((resolve, reject) => {
    client.check({ service: "" }, (error, answer) => {
      client.close();
      if (error === null) resolve(answer);
      else reject(error);
    });
  });
}
