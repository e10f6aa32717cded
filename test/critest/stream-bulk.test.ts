/** Much at once, with clients of others: it arrives whole, and nobody's memory grows with it. */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { expect } from "chai";
import { runtime } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { containerStatus, exited, removeContainer, removePod, runPod, shell, startContainer } from "../support/pods.js";
import type { Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { forwardedPort, KubeClient, needsKubeClient } from "../support/streaming/kube-client.js";
import { MemoryWatch } from "../support/streaming/memory-watch.js";
import { eventually } from "../support/wait.js";

const mib = Number(process.env["A3S_TEST_STREAM_MIB"] ?? "4");
const bytes = mib << 20;
/** What a daemon, a VMM, a file server and a client may come to hold of it. */
const growthMib = 128;
/** An emulated guest moves some MiB a second, and 256 are to pass in time too. */
const limitMs = 60_000 + mib * 2_000;
const nothing = { tty: false, stdin: false, stdout: false, stderr: false };

describe(`streaming of ${mib} MiB each way`, function () {
  this.timeout(limitMs * 2);
  let daemon: Daemon;
  let pod: Pod | undefined;
  let container: string;
  before(async function () {
    needsKubeClient(this);
    daemon = await sharedDaemon();
    const made = await runPod(daemon);
    pod = made;
    const echo = "while :; do nc -l -p 4567 -e cat; done";
    container = await startContainer(daemon, made, { command: ["sh", "-c", echo] });
  });
  after(async () => {
    if (pod !== undefined) await removePod(daemon, pod);
  });

  const podOf = (): Pod => {
    if (pod === undefined) throw new Error("there is no pod");
    return pod;
  };

  /** Memory, the client's too, stays where it was. */
  async function flat(what: string, run: () => Promise<readonly number[]>): Promise<void> {
    const watch = await MemoryWatch.start(daemon);
    const startMs = performance.now();
    const clientsKib = await run();
    const growth = await watch.stop();
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    const clients = clientsKib.map((kib) => `client ${Math.round(kib / 1024)}`);
    const used = growth.map((one) => {
      return `${one.name} ${one.beforeMib} to ${one.peakMib} (${one.cpuSeconds.toFixed(1)} s of cpu)`;
    });
    const told = [...used, ...clients];
    process.stdout.write(`      ${what}: ${mib} MiB in ${seconds} s; MiB resident: ${told.join(", ")}\n`);
    for (const { name, beforeMib, peakMib } of growth) expect(peakMib - beforeMib, name).to.be.lessThan(growthMib);
    for (const kib of clientsKib) expect(kib / 1024, "client").to.be.lessThan(growthMib);
  }

  for (const transport of ["spdy", "websocket"]) {
    it(`exec over ${transport}: cat gives back what it gets`, async () => {
      await flat(`exec over ${transport}`, async () => {
        const wanted = { ...nothing, stdin: true, stdout: true };
        const { url } = await daemon.cri.call(runtime.exec, { ...wanted, containerId: container, cmd: ["cat"] });
        const flags = ["-url", url, "-transport", transport, "-pattern", String(bytes), "-digest"];
        const told = await new KubeClient(["command", ...flags], limitMs).ended;
        expect(told).to.include({ error: "", exitCode: 0 });
        expect(told.sent.bytes).to.equal(bytes);
        expect(told.stdout).to.deep.equal(told.sent);
        return [told.peakRssKiB];
      });
    });

    it(`attach over ${transport}, with kubelet's reader following the log: both have it all`, async () => {
      const id = await startContainer(daemon, podOf(), { command: ["cat"], stdin: true, stdinOnce: true });
      const { logPath } = await containerStatus(daemon, id);
      await flat(`attach over ${transport} and logs -f`, async () => {
        const { url } = await daemon.cri.call(runtime.attach, {
          ...nothing,
          stdin: true,
          stdout: true,
          containerId: id,
        });
        const from = ["-endpoint", `unix://${daemon.socket}`, "-container", id, "-path", logPath, "-follow"];
        const follower = new KubeClient(["logs", ...from], limitMs);
        const flags = ["-url", url, "-transport", transport, "-pattern", String(bytes), "-digest"];
        const told = await new KubeClient(["command", ...flags], limitMs).ended;
        const followed = await follower.ended;
        expect(told).to.include({ error: "", exitCode: 0 });
        expect(told.sent.bytes).to.equal(bytes);
        expect(told.stdout).to.deep.equal(told.sent);
        expect(followed.error).to.equal("");
        expect(followed.stdout).to.deep.equal(told.sent);
        return [told.peakRssKiB, followed.peakRssKiB];
      });
      expect((await exited(daemon, id)).exitCode).to.equal(0);
      await removeContainer(daemon, id);
      await rm(logPath);
    });

    it(`cp over ${transport}: a tar in and a tar out, the same file`, async () => {
      const directory = await mkdtemp(join(tmpdir(), "a3s-t"));
      try {
        await mkdir(join(directory, "out"));
        const source = join(directory, "file");
        await randomFile(source, bytes);
        await shell(daemon, container, `rm -rf /cp-${transport}; mkdir /cp-${transport}`);
        await flat(`cp over ${transport}`, async () => {
          const place = `/cp-${transport}`;
          const into = await daemon.cri.call(runtime.exec, {
            ...nothing,
            ...{ stdin: true, stdout: true, stderr: true },
            containerId: container,
            cmd: ["tar", "xf", "-", "-C", place],
          });
          const copy = ["command", "-transport", transport, "-stdout", "-stderr", "-url"];
          const sender = new KubeClient([...copy, into.url, "-stdin"], limitMs);
          const pack = spawn("tar", ["cf", "-", "-C", directory, "file"], { stdio: ["ignore", "pipe", "inherit"] });
          await pipeline(pack.stdout, sender.stdin);
          const sent = await sender.ended;
          expect({ ...sent, said: sender.stderr }).to.include({ error: "", exitCode: 0, said: "" });
          const back = await daemon.cri.call(runtime.exec, {
            ...nothing,
            ...{ stdout: true, stderr: true },
            containerId: container,
            cmd: ["tar", "cf", "-", "-C", place, "file"],
          });
          const unpack = spawn("tar", ["xf", "-", "-C", join(directory, "out")], {
            stdio: ["pipe", "inherit", "inherit"],
          });
          const unpacked = once(unpack, "close");
          const receiver = new KubeClient([...copy, back.url], limitMs, { output: unpack.stdin });
          const received = await receiver.ended;
          expect({ ...received, said: receiver.stderr }).to.include({ error: "", exitCode: 0, said: "" });
          expect((await unpacked)[0]).to.equal(0);
          return [sent.peakRssKiB, received.peakRssKiB];
        });
        expect(await digestOf(join(directory, "out/file"))).to.equal(await digestOf(source));
        await shell(daemon, container, `rm -r /cp-${transport}`);
      } finally {
        await rm(directory, { recursive: true });
      }
    });
  }

  for (const transport of ["spdy", "tunnel"]) {
    it(`port-forward over ${transport}: an echo gives back what it gets`, async () => {
      await eventually("the echo listens", 20_000, async () => {
        return (await shell(daemon, container, "netstat -ltn")).includes(":4567") ? true : undefined;
      });
      await flat(`port-forward over ${transport}`, async () => {
        const { url } = await daemon.cri.call(runtime.portForward, { podSandboxId: podOf().id, port: [] });
        const flags = ["-url", url, "-transport", transport, "-port", "4567"];
        const { port, client } = await forwardedPort(flags, limitMs);
        expect(await echoed(port, bytes)).to.equal(bytes);
        client.stdin.end();
        const told = await client.ended;
        expect(told.error).to.equal("");
        return [told.peakRssKiB];
      });
    });
  }
});

const block = randomBytes(1 << 20);

async function randomFile(path: string, size: number): Promise<void> {
  await using file = await open(path, "wx");
  for (let at = 0; at < size; at += block.length) {
    block.writeUInt32LE(at / block.length);
    await file.write(block.subarray(0, Math.min(block.length, size - at)));
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Sends so many bytes and compares what comes back; answers how many came that were right. */
async function echoed(port: number, size: number): Promise<number> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [sent, received] = [createHash("sha256"), createHash("sha256")];
  const send = async (): Promise<void> => {
    for (let at = 0; at < size; at += block.length) {
      const part = Buffer.from(block.subarray(0, Math.min(block.length, size - at)));
      part.writeUInt32LE(at / block.length);
      sent.update(part);
      if (!socket.write(part)) await once(socket, "drain");
    }
    socket.end();
  };
  const sending = send();
  let count = 0;
  for await (const part of socket) {
    const some = part as Buffer;
    received.update(some);
    count += some.length;
  }
  await sending;
  return received.digest("hex") === sent.digest("hex") ? count : 0;
}
