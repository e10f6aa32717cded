import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { createLogger } from "../../../../src/base/log.js";
import type { Pod } from "../../../../src/runtime/pod/pod.js";
import { ServedPorts } from "../../../../src/runtime/served-ports/served-ports.js";
import type { WaitingConnection } from "../../../../src/vmm/agent/agent-client.js";
import type { Box, BoxExit } from "../../../../src/vmm/box.js";
import { eventually } from "../../../support/wait.js";

/** What one call that has an agent listen comes to. */
type Answer = () => Promise<AsyncGenerator<WaitingConnection, void>>;

const noAgent: Answer = () => Promise.reject(new RuntimeError("unavailable", "no agent"));

// eslint-disable-next-line @typescript-eslint/require-await -- a stream without anything
async function* nothing(): AsyncGenerator<WaitingConnection, void> {
  yield* [];
}

/** A pod with one port, of an agent that answers as it is told. */
class Scene {
  readonly lines: string[] = [];
  readonly closing = new AbortController();
  readonly record: { served: unknown; end?: BoxExit } = {
    served: [{ service: "echo", ports: [{ port: 80, address: "loopback", mostConnections: 8 }] }],
  };
  calls = 0;
  answer: Answer = noAgent;
  gone: (exit: BoxExit) => void = () => undefined;
  readonly #ports: ServedPorts;

  constructor() {
    this.#ports = new ServedPorts(
      createLogger("debug", { write: (line) => this.lines.push(line) }),
      this.closing.signal,
    );
  }

  serves(): void {
    const open = () => ({ connected: () => undefined, ended: () => undefined });
    this.#ports.register({ name: "echo", portsFor: () => [], open });
  }

  takeUp(): void {
    const servePort: Answer = async () => {
      this.calls += 1;
      return await this.answer();
    };
    const exited = new Promise<BoxExit>((resolve) => {
      this.gone = resolve;
    });
    const box = { agent: { servePort, stopServing: noAgent }, exited };
    this.#ports.takeUp({ id: "p", record: this.record } as unknown as Pod, box as unknown as Box);
  }

  called(times: number): Promise<true> {
    return eventually(`call ${String(times)}`, 10_000, () => (this.calls >= times ? true : undefined));
  }

  warnings(): string[] {
    return this.lines.filter((line) => (JSON.parse(line) as { level: unknown }).level === "warn");
  }
}

describe("the ports of a pod that the host serves", () => {
  let scene: Scene;

  beforeEach(() => {
    scene = new Scene();
  });

  afterEach(() => {
    scene.gone({ atNs: 1n, reason: "the test is over" });
  });

  it("are told of once where they can't be reached", async () => {
    scene.serves();
    scene.takeUp();
    await scene.called(4);
    expect(scene.warnings()).to.have.length(1);
  });

  it("are not told of where the agent's connection is lost and made again", async () => {
    scene.serves();
    scene.takeUp();
    await scene.called(1);
    scene.answer = async () => await new Promise<never>(() => undefined);
    await scene.called(2);
    expect(scene.warnings()).to.deep.equal([]);
  });

  it("are not told of where the pod ends, the agent of which goes before its Box", async () => {
    scene.serves();
    scene.record.end = { atNs: 1n, reason: "stopped by request" };
    scene.takeUp();
    await scene.called(3);
    expect(scene.warnings()).to.deep.equal([]);
  });

  it("are told of once, and asked ever more rarely, where the agent listens and hangs up at once", async () => {
    scene.serves();
    scene.answer = () => Promise.resolve(nothing());
    scene.takeUp();
    await delay(1_200);
    expect(scene.calls).to.be.within(3, 4); // at 0, 100, 300 and 700 ms
    expect(scene.warnings()).to.have.length(1);
  });

  it("are left alone by a daemon that stops already", async () => {
    scene.serves();
    scene.closing.abort();
    scene.takeUp();
    await delay(250);
    expect(scene.calls).to.equal(0);
  });

  for (const [what, ends] of [
    ["the pod ends", (): void => void (scene.record.end = { atNs: 1n, reason: "stopped by request" })],
    [
      "the daemon stops",
      (): void => {
        scene.closing.abort();
      },
    ],
  ] as const) {
    it(`that nobody serves any more are no matter where ${what}`, async () => {
      scene.takeUp();
      ends();
      await delay(20);
      expect(scene.warnings()).to.deep.equal([]);
    });
  }

  it("that nobody serves any more are told of where the agent goes on to listen", async () => {
    scene.takeUp();
    await eventually("a warning", 2_000, () => (scene.warnings().length > 0 ? true : undefined));
  });
});
