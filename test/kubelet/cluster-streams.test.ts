/**
 * Much through kubectl, API server, kubelet and the daemon's own server: it arrives whole, and the daemon's memory does
 * not grow with it. `A3S_CLUSTER_STREAM_MIB` says how much (2). Needs `npm run setup -- cluster`; else it is skipped.
 */
import type { ChildProcess } from "node:child_process";
import { createHash, randomBytes, type Hash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { expect } from "chai";
import { hasControlPlane } from "../support/control-plane.js";
import { startCluster, type Cluster } from "../support/cluster.js";
import { MemoryWatch } from "../support/streaming/memory-watch.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";
import { container, idle, pod, shell } from "./objects.js";

const mib = Number(process.env["A3S_CLUSTER_STREAM_MIB"] ?? "2");
const bytes = mib << 20;
/** What the daemon, a VMM or a file server may come to hold of it. */
const growthMib = 128;
const limitMs = 120_000 + mib * 4_000;
const forwardedPort = 18_082;

async function hashOf(source: Readable): Promise<string> {
  const hash: Hash = createHash("sha256");
  for await (const chunk of source) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

describe(`${String(mib)} MiB each way through a cluster`, function () {
  this.timeout(limit(limitMs));
  let cluster: Cluster;
  let directory: string;
  let file: string;
  let digest: string;
  const kubectl = (...args: readonly string[]): Promise<string> => cluster.kubectl(...args);

  before(async function () {
    this.timeout(limit(600_000));
    if (!hasControlPlane()) skipBecause(this, "no control plane: npm run setup -- cluster builds one, in half an hour");
    directory = await mkdtemp(join(tmpdir(), "a3s-u"));
    file = join(directory, "lines");
    await writeLines(file);
    digest = await hashOf(createReadStream(file));
    cluster = await startCluster({ kubelet: { containerLogMaxSize: "4Gi" } });
    const work = { volumeMounts: [{ name: "work", mountPath: "/data" }] };
    const echo = { name: "echo", ...container, ...work, command: shell("while :; do nc -l -p 4567 -e cat; done") };
    const reader = { name: "reader", ...container, stdin: true, stdinOnce: true, command: ["cat"] };
    const says = `while [ ! -e /data/go ]; do sleep 0.2; done; cat /data/lines; ${idle}`;
    const writer = { name: "writer", ...container, ...work, command: shell(says) };
    const volumes = [{ name: "work", emptyDir: {} }];
    await cluster.plane.apply(pod("bulk", { restartPolicy: "Never", containers: [echo, reader, writer], volumes }));
    await cluster.wait("pod/bulk", "condition=Ready", 240);
  });
  after(async function () {
    this.timeout(limit(240_000));
    await (cluster as Cluster | undefined)?.remove();
    if ((directory as string | undefined) !== undefined) await rm(directory, { recursive: true, force: true });
  });

  /** Tells how long it took and what the daemon and its Box came to hold, and fails where that is much. */
  async function flat(what: string, run: () => Promise<void>): Promise<void> {
    const watch = await MemoryWatch.start(cluster.daemon);
    const startMs = performance.now();
    let growth: Awaited<ReturnType<MemoryWatch["stop"]>>;
    try {
      await run();
    } finally {
      growth = await watch.stop();
    }
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    const used = growth.map(({ name, beforeMib, peakMib }) => `${name} ${String(beforeMib)} to ${String(peakMib)}`);
    process.stdout.write(`      ${what}: ${String(mib)} MiB in ${seconds} s; MiB resident: ${used.join(", ")}\n`);
    for (const { name, beforeMib, peakMib } of growth) expect(peakMib - beforeMib, name).to.be.lessThan(growthMib);
  }

  /** Sends the file to a kubectl's input, and ends it; answers the hash of what comes back. */
  async function through(...args: readonly string[]): Promise<string> {
    const child = cluster.plane.spawnKubectl(...args);
    const { stdin, stdout } = streamsOf(child);
    const ended = endOf(child);
    const [back] = await Promise.all([hashOf(stdout), pipeline(createReadStream(file), stdin)]);
    await ended;
    return back;
  }

  for (const websockets of ["true", "false"]) {
    it(`exec: cat gives back what it gets (WebSocket: ${websockets})`, async () => {
      process.env["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = websockets;
      try {
        await flat(`exec, WebSocket ${websockets}`, async () => {
          expect(await through("exec", "-i", "bulk", "-c", "echo", "--", "cat")).to.equal(digest);
        });
      } finally {
        delete process.env["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"];
      }
    });
  }

  it("cp: there and back", async () => {
    await flat("cp there", async () => {
      await kubectlFor("cp", file, "bulk:/data/lines", "-c", "echo");
    });
    const said = await kubectlFor("exec", "bulk", "-c", "echo", "--", "sha256sum", "/data/lines");
    expect(said.split(" ")[0]).to.equal(digest);
    await flat("cp back", async () => {
      await kubectlFor("cp", "bulk:/data/lines", `${file}.back`, "-c", "echo");
    });
    expect(await hashOf(createReadStream(`${file}.back`))).to.equal(digest);
    await rm(`${file}.back`);
  });

  it("attach: cat gives back what it gets, and the pod's log has it too", async () => {
    await flat("attach", async () => {
      expect(await through("attach", "-i", "bulk", "-c", "reader")).to.equal(digest);
    });
    const child = cluster.plane.spawnKubectl("logs", "bulk", "-c", "reader");
    const ended = endOf(child);
    expect(await hashOf(streamsOf(child).stdout)).to.equal(digest);
    await ended;
  });

  it("logs -f: all that a container prints meanwhile", async () => {
    await flat("logs -f", async () => {
      const child = cluster.plane.spawnKubectl("logs", "-f", "bulk", "-c", "writer");
      const ended = endOf(child).catch(() => undefined);
      const hash = createHash("sha256");
      let seen = 0;
      streamsOf(child).stdout.on("data", (chunk: Buffer) => {
        hash.update(chunk);
        seen += chunk.length;
      });
      try {
        await kubectl("exec", "bulk", "-c", "echo", "--", "touch", "/data/go");
        await eventually("all of it has come", limitMs / 2, () => (seen >= bytes ? true : undefined));
      } finally {
        child.kill("SIGKILL");
        await ended;
      }
      expect(seen).to.equal(bytes);
      expect(hash.digest("hex")).to.equal(digest);
    });
  });

  it("port-forward: a server gives back what it gets", async () => {
    const child = cluster.plane.spawnKubectl("port-forward", "pod/bulk", `${String(forwardedPort)}:4567`);
    const ended = endOf(child).catch(() => undefined);
    try {
      // A connection to try would be one that the server has to end first, and one that fails ends kubectl.
      await eventually("the server listens", 60_000, async () =>
        (await kubectl("exec", "bulk", "-c", "echo", "--", "netstat", "-ltn")).includes(":4567") ? true : undefined,
      );
      let said = "";
      streamsOf(child).stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
      await eventually("kubectl listens", 60_000, () => (said.includes("Forwarding from") ? true : undefined));
      await flat("port-forward", async () => {
        const socket = await connected();
        const back = await echo(socket, file).finally(() => socket.destroy());
        expect(back).to.equal(digest);
      });
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  });

  /** kubectl with as long as so many bytes may take. */
  async function kubectlFor(...args: readonly string[]): Promise<string> {
    const child = cluster.plane.spawnKubectl(...args);
    let said = "";
    streamsOf(child).stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await endOf(child);
    return said;
  }
});

/** Lines that are all different, and no run of bytes that packs. */
async function writeLines(path: string): Promise<void> {
  await pipeline(function* () {
    for (let left = bytes; left > 0;) {
      const lines = randomBytes(1 << 16)
        .toString("base64")
        .replace(/.{75}/g, "$&\n");
      const part = lines.slice(0, Math.min(left, lines.length));
      left -= part.length;
      yield left > 0 ? part : `${part.slice(0, -1)}\n`;
    }
  }, createWriteStream(path));
}

function streamsOf({ stdin, stdout }: ChildProcess): {
  stdin: NonNullable<typeof stdin>;
  stdout: NonNullable<typeof stdout>;
} {
  if (stdin === null || stdout === null) throw new Error("started without pipes");
  return { stdin, stdout };
}

/** Rejects with what it said on standard error when it fails. */
async function endOf(child: ChildProcess): Promise<void> {
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2_000)));
  const timer = setTimeout(() => child.kill("SIGKILL"), limit(limitMs));
  try {
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        if (code === 0) resolve();
        else reject(new Error(`${child.spawnargs.slice(3).join(" ")} ended with ${String(signal ?? code)}: ${said}`));
      });
    });
  } finally {
    clearTimeout(timer);
  }
}

async function connected(): Promise<Socket> {
  const socket = connect(forwardedPort, "127.0.0.1");
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return socket;
}

/** Sends the file and answers the hash of as many bytes that come back. A pipeline would wait for a socket that has gone. */
async function echo(socket: Socket, path: string): Promise<string> {
  const hash = createHash("sha256");
  let seen = 0;
  const back = new Promise<void>((resolve, reject) => {
    socket.on("error", () => undefined); // "close" follows
    socket.once("close", () => {
      reject(new Error(`the connection has gone after ${String(seen)} bytes`));
    });
    socket.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      seen += chunk.length;
      if (seen >= bytes) resolve();
    });
  });
  const send = async (): Promise<void> => {
    for await (const chunk of createReadStream(path)) {
      if (!socket.write(chunk as Buffer)) await Promise.race([once(socket, "drain"), back]);
    }
  };
  await Promise.all([back, send()]);
  return hash.digest("hex");
}
