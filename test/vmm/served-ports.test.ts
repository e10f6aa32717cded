/** Ports of a pod that the host serves: by the real agent, in a Box and on this machine, where clients are many and quick. */
import { expect } from "chai";
import { setMaxListeners } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { codeOf, messageOf } from "../../src/base/errors.js";
import { createLogger } from "../../src/base/log.js";
import { Places } from "../../src/runtime/served-ports/places.js";
import type { PortStream } from "../../src/runtime/served-ports/port-stream.js";
import { Rate } from "../../src/runtime/served-ports/rate.js";
import { servePort } from "../../src/runtime/served-ports/serve-port.js";
import type { AgentClient } from "../../src/vmm/agent/agent-client.js";
import { freePort } from "../support/free-port.js";
import { startHostAgent, type HostAgent } from "../support/host-agent.js";
import { eventually, limit } from "../support/wait.js";
import { BoxBench, within } from "./bench-of-boxes.js";
import { busyboxSpec } from "./busybox-spec.js";
import { startSession } from "./sessions.js";

const log = createLogger("error");
const mib = 1 << 20;
/** 10,000 by hand: a guest has no more at a time however many it tries. */
const connections = Number(process.env["A3S_SERVED_CONNECTIONS"] ?? "2000");

interface Wanted {
  readonly port: number;
  readonly mostConnections?: number;
  readonly places?: number;
}

/** Serves until the controller aborts. */
async function serve(
  agent: AgentClient,
  { port, mostConnections = 256, places = 256 }: Wanted,
  connected: (stream: PortStream, peer: string) => void,
): Promise<AbortController> {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const serving = { agent, places: new Places(places), rate: new Rate(100_000, 100_000), log, connected };
  const isEnding = (): boolean => false;
  await servePort({ ...serving, isEnding, port: { port, address: "loopback", mostConnections } }, stop.signal);
  return stop;
}

/** Answers with what has come when all of it has. */
function tellLength(stream: PortStream): void {
  let bytes = 0;
  stream
    .on("data", (chunk: Uint8Array) => (bytes += chunk.length))
    .once("end", () => stream.end(`${String(bytes)} bytes`));
}

describe("ports of a pod that the host serves", function () {
  this.timeout(limit(120_000));

  describe("in a Box without a network", () => {
    let bench: BoxBench;
    before(async () => {
      bench = await BoxBench.open();
    });
    after(async () => {
      await bench[Symbol.asyncDispose]();
    });

    it("are at the loopback of each container, end one way at a time, and are refused when a program has them", async () => {
      const box = await bench.boot();
      const ran = async (script: string): Promise<string> => {
        const session = await startSession(box, bench, { spec: (root) => busyboxSpec(root, script) });
        const { stdout, stderr } = await session.ended();
        await session.remove();
        return stdout + stderr;
      };
      // the configuration of the sandbox brings the loopback up
      const nothing = {
        hostname: "",
        wallClockNs: 0n,
        sysctls: {},
        shmSizeBytes: 0n,
        rehearsal: false,
        interfaces: [],
        entropy: new Uint8Array(),
      };
      await box.agent.configureSandbox(nothing, within(30_000));
      const peers: string[] = [];
      const stop = await serve(box.agent, { port: 4089 }, (stream, peer) => {
        peers.push(peer.replace(/:\d+$/, ""));
        tellLength(stream);
      });
      expect(await ran("dd if=/dev/zero bs=65536 count=48 2>/dev/null | nc 127.0.0.1 4089")).to.equal("3145728 bytes");
      expect(await ran("echo hello | nc ::1 4089")).to.equal("6 bytes");
      expect(peers).to.deep.equal(["127.0.0.1", "[::1]"]);
      // a connection to the agent that breaks is another daemon's time: who connects meanwhile waits
      box.agent.hangUp();
      expect(await ran("echo hello | nc 127.0.0.1 4089")).to.equal("6 bytes");

      const listener = await startSession(box, bench, {
        spec: (root) => busyboxSpec(root, "until nc -l -p 5000; do sleep 0.1; done"),
      });
      const taken = await eventually("a program has the port", 30_000, async () => {
        const refused = await serve(box.agent, { port: 5000 }, tellLength).catch((thrown: unknown) => thrown);
        if (!(refused instanceof AbortController)) return refused;
        refused.abort();
        await box.agent.stopServing(5000, within(10_000));
        return undefined;
      });
      expect([codeOf(taken), messageOf(taken)]).to.deep.equal([
        "alreadyExists",
        "agent serve port: serve port: port 5000 is in use in the pod",
      ]);
      await listener.remove();

      stop.abort();
      await box.agent.stopServing(4089, within(10_000));
      expect(await ran("echo hello | nc 127.0.0.1 4089")).to.match(/refused/);
      await bench.discard(box.id);
    });
  });

  describe("of an agent that is asked for much", () => {
    let agent: HostAgent;
    let port: number;
    beforeEach(async () => {
      agent = await startHostAgent();
      port = await freePort();
    });
    afterEach(async () => {
      await agent[Symbol.asyncDispose]();
    });

    it(`take ${String(connections)} connections a few at a time, reset the others, and stay of use`, async () => {
      let [open, most, taken] = [0, 0, 0];
      await serve(agent.client, { port, mostConnections: 100, places: 40 }, (stream) => {
        [open, taken] = [open + 1, taken + 1];
        most = Math.max(most, open);
        stream.once("close", () => (open -= 1));
        tellLength(stream);
      });
      const outcomes = new Map<string, number>();
      for (let round = 0; round < connections / 500; round += 1) {
        const ends = await Promise.all(Array.from({ length: 500 }, () => outcomeOf(client(port))));
        for (const end of ends) outcomes.set(end, (outcomes.get(end) ?? 0) + 1);
      }
      expect([...outcomes.keys()]).to.have.members(["0 bytes", "ECONNRESET"]);
      expect(outcomes.get("0 bytes")).to.equal(taken);
      expect(most).to.be.at.most(40);
      expect(await outcomeOf(client(port))).to.equal("0 bytes");
    });

    it("keep no more of one that nobody reads than its windows, either way, and serve others meanwhile", async () => {
      const streams: PortStream[] = [];
      await serve(agent.client, { port }, (stream) => {
        if (streams.push(stream) > 1) tellLength(stream);
      });
      const endless = connect({ port, host: "127.0.0.1" });
      let sent = 0;
      const more = (): void => {
        while (!endless.destroyed && endless.write(Buffer.alloc(65_536))) sent += 65_536;
      };
      endless
        .on("drain", more)
        .on("error", () => undefined)
        .once("connect", more);
      const [stalled] = await eventually("it is taken", 10_000, () => (streams.length > 0 ? streams : undefined));
      if (stalled === undefined) throw new Error("none");
      // and nothing that the client reads
      endless.pause();
      let written = 0;
      const push = (): void => {
        while (!stalled.destroyed && stalled.write(Buffer.alloc(65_536))) written += 65_536;
      };
      stalled.on("drain", push);
      push();
      await standsStill(() => sent + written);
      // what the kernel's buffers of a loopback hold is the guest's
      expect(sent).to.be.below(24 * mib);
      expect(stalled.writableLength + stalled.readableLength).to.be.below(mib);
      expect(await outcomeOf(client(port))).to.equal("0 bytes");
      endless.destroy();
      stalled.resume(); // what has come meanwhile is before the end
      await new Promise((resolve) => stalled.once("close", resolve));
    });

    it("reset a connection that the host destroys, and let the rest of an answer through that it ends", async () => {
      let destroy = false;
      await serve(agent.client, { port }, (stream) => {
        stream.write("half");
        // not before it has come: libuv takes data that comes with a reset for the end
        if (destroy) stream.once("data", () => stream.destroy());
        else stream.end(" and half");
      });
      expect(await text(connect({ port, host: "127.0.0.1" }))).to.equal("half and half");
      destroy = true;
      const cut = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      cut.once("readable", () => cut.write("go"));
      expect(await outcomeOf(cut)).to.equal("ECONNRESET");
    });

    it("keep who connects while there is no daemon, and end what the one before had taken", async () => {
      const first: PortStream[] = [];
      const stop = await serve(agent.client, { port }, (stream) => first.push(stream));
      const before = outcomeOf(connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
      await eventually("it is taken", 10_000, () => (first.length > 0 ? true : undefined));
      stop.abort();
      const next = agent.reconnect();
      expect(await before).to.equal("ECONNRESET");
      const waiting = outcomeOf(client(port));
      await serve(next, { port }, tellLength);
      expect(await waiting).to.equal("0 bytes");
    });
  });
});

/** Says nothing, and waits for the answer. */
function client(port: number): Socket {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  return socket.end();
}

/** What it has read, or the error that has ended it. */
async function outcomeOf(socket: Socket): Promise<string> {
  try {
    return await text(socket);
  } catch (thrown) {
    return thrown instanceof Error && "code" in thrown ? String(thrown.code) : String(thrown);
  }
}

async function standsStill(count: () => number): Promise<void> {
  let [last, since] = [-1, performance.now()];
  await eventually("nothing moves any more", 30_000, () => {
    if (count() !== last) [last, since] = [count(), performance.now()];
    return performance.now() - since > 500 ? true : undefined;
  });
}
