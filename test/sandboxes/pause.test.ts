/** Sandboxes that stand still and go on, by the port and at a terminal, with the daemon killed meanwhile: real Boxes. */
import { expect } from "chai";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { boxId } from "../../src/base/ids.js";
import { procStat } from "../../src/base/proc-stat.js";
import { Edge } from "../../src/cli/client/connect.js";
import { findEndpoint } from "../../src/cli/client/endpoint.js";
import { FileServiceService as files } from "../../src/gen/sandboxes/v1/files.js";
import { ProcessServiceService as processes } from "../../src/gen/sandboxes/v1/processes.js";
import {
  AtEnd,
  SandboxServiceService as service,
  SandboxState,
  type Sandbox,
} from "../../src/gen/sandboxes/v1/sandboxes.js";
import { boxDirectoryOf, readBoxRecord } from "../../src/vmm/box-directory.js";
import { command, Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { eventually, limit } from "../support/wait.js";

/** A number each twentieth of a second. */
const counter = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";

describe("A sandbox that is paused", function () {
  this.timeout(limit(180_000));
  let scratch: string;
  let address: string;
  let daemon: Daemon;
  let edge: Edge;
  /** The one that is paused, and the one beside it. */
  let id: string;
  let other: string;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-pause-"));
    address = `unix://${scratch}/sandboxes.sock`;
    const config = [
      ...[
        'metrics.address = "127.0.0.1:0"',
        "[sandboxes]",
        `listen = ["${address}"]`,
        'pull = "never"',
        "life_ms = 600000",
        "",
      ],
      ...["[templates.base]", `image = "${busyboxImage}"`, "vcpus = 1", "memory_mib = 256", ""],
    ];
    daemon = await Daemon.start({ images: [await busybox()], config: config.join("\n") });
    edge = await Edge.connect(await findEndpoint(address, {}));
    [id, other] = await Promise.all([created(), created()]);
  });

  after(async () => {
    await Promise.all([id, other].map((sandboxId) => edge.call(service.endSandbox, { sandboxId })));
    edge[Symbol.dispose]();
    await daemon.remove();
    await rm(scratch, { recursive: true });
  });

  const created = async (atEnd: AtEnd = AtEnd.UNSPECIFIED): Promise<string> => {
    const said = { template: "base", env: {}, metadata: {}, mounts: [] };
    return (await edge.call(service.createSandbox, { ...said, network: 0, atEnd })).sandbox?.id ?? "";
  };
  const seen = async (sandboxId = id): Promise<Sandbox> => {
    const { sandbox } = await edge.call(service.getSandbox, { sandboxId });
    if (sandbox === undefined) throw new Error("no sandbox in the answer");
    return sandbox;
  };
  const start = async (line: string, sandboxId = id): Promise<number> => {
    const asked = { sandboxId, args: ["sh", "-c", line], env: {}, workingDir: "", user: "", terminal: undefined };
    return (
      (await edge.call(processes.startProcess, { ...asked, stdin: false, tag: "", limitMs: 0n, startId: "" })).process
        ?.id ?? 0
    );
  };
  /** What a process has written, from its beginning: as far as `enough` wants it, or to its end. */
  const written = async (process: number, enough: (text: string) => boolean, sandboxId = id): Promise<string> => {
    let text = "";
    const request = { sandboxId, process: { id: process, tag: undefined }, offset: 0n };
    for await (const { event } of edge.events(processes.connectProcess, request)) {
      if (event?.output !== undefined) text += Buffer.from(event.output.data).toString();
      if (event?.exit !== undefined || enough(text)) break;
    }
    return text;
  };
  const out = async (line: string, sandboxId = id): Promise<string> =>
    await written(await start(line, sandboxId), () => false, sandboxId);
  const lastOf = (text: string): number => Number(text.trimEnd().split("\n").at(-1));
  const vmmOf = async (sandboxId = id): Promise<number> => {
    const record = await readBoxRecord(boxDirectoryOf(daemon.state, boxId((await seen(sandboxId)).podId)));
    const vmm = record?.processes.find(({ role }) => role === "vmm");
    if (vmm === undefined) throw new Error(`no VMM of ${sandboxId}`);
    return vmm.pid;
  };
  const refusal = async (work: Promise<unknown>): Promise<unknown> =>
    await work.then(
      () => "done",
      (thrown: unknown) => thrown,
    );

  it("takes no processor time, and says so; the one beside it runs on", async () => {
    const process = await start(counter);
    await written(process, (text) => text.length > 0);
    const vmm = await vmmOf();
    await edge.call(service.pauseSandbox, { sandboxId: id });
    expect((await seen()).state).to.equal(SandboxState.PAUSED);
    const before = await procStat(vmm);
    expect(before?.state).to.equal("T");
    expect(await out("echo beside", other)).to.equal("beside\n");
    await delay(300);
    expect((await procStat(vmm))?.cpuTicks).to.equal(before?.cpuTicks);
    const usage = await edge.call(service.getSandboxUsage, { sandboxId: id });
    expect(usage.cpuPercent).to.equal(0);
    expect(Number(usage.memoryUsedBytes)).to.be.greaterThan(0);
    await edge.call(service.pauseSandbox, { sandboxId: id }); // paused is paused
    await edge.call(service.resumeSandbox, { sandboxId: id });
    expect((await seen()).state).to.equal(SandboxState.RUNNING);
    const text = await written(process, (now) => lastOf(now) > 20);
    const numbers = text.trimEnd().split("\n").map(Number);
    expect(numbers).to.deep.equal(numbers.map((_, at) => at + 1));
    await edge.call(processes.signalProcess, {
      sandboxId: id,
      process: { id: process, tag: undefined },
      signal: 9,
      all: true,
    });
  });

  it("refuses what is asked of its inside with a reason, and serves it when it goes on, its clock right", async () => {
    await edge.call(service.pauseSandbox, { sandboxId: id });
    const stat = { sandboxId: id, path: "/", user: "", follow: true };
    for (const work of [start("true"), edge.call(files.statFile, stat)]) {
      const refused = await refusal(work);
      expect(refused).to.include({ code: "failedPrecondition" });
      expect(String(refused)).to.contain("is paused").and.contain("resume it first");
    }
    await delay(1_100);
    await edge.call(service.resumeSandbox, { sandboxId: id });
    const clock = Number(await out("date +%s"));
    expect(Math.abs(clock - Date.now() / 1000)).to.be.lessThan(limit(5));
    await edge.call(service.resumeSandbox, { sandboxId: id }); // what runs, runs
  });

  it("is paused still after the daemon was killed, and goes on then with all that was in it", async () => {
    const process = await start(counter);
    await written(process, (text) => text.length > 0);
    const vmm = await vmmOf();
    await edge.call(service.pauseSandbox, { sandboxId: id });
    await daemon.stop("SIGKILL");
    edge[Symbol.dispose]();
    await daemon.launch();
    edge = await Edge.connect(await findEndpoint(address, {}));
    expect((await seen()).state).to.equal(SandboxState.PAUSED);
    expect((await seen(other)).state).to.equal(SandboxState.RUNNING);
    expect(await out("echo beside", other)).to.equal("beside\n");
    expect(await vmmOf()).to.equal(vmm);
    expect((await procStat(vmm))?.state).to.equal("T");
    expect(await refusal(start("true"))).to.include({ code: "failedPrecondition" });
    await edge.call(service.resumeSandbox, { sandboxId: id });
    expect(await out("echo inside")).to.equal("inside\n");
    const counted = await written(process, (text) => text.length > 0);
    const text = await written(process, (now) => lastOf(now) > lastOf(counted) + 10);
    const numbers = text.trimEnd().split("\n").map(Number);
    expect(numbers).to.deep.equal(numbers.map((_, at) => at + 1));
  });

  it("is paused at its end where it was asked for, kept past it, and ends when it is told to", async () => {
    const kept = await created(AtEnd.PAUSE);
    const vmm = await vmmOf(kept);
    await edge.call(service.extendSandbox, { sandboxId: kept, lifeMs: 1n, onlyLater: false });
    await eventually("it is paused", 30_000, async () =>
      (await seen(kept)).state === SandboxState.PAUSED ? true : undefined,
    );
    expect((await seen(kept)).endsAt?.getTime()).to.be.lessThan(Date.now());
    await edge.call(service.resumeSandbox, { sandboxId: kept });
    const { state, endsAt } = await seen(kept);
    expect(state).to.equal(SandboxState.RUNNING);
    expect(endsAt?.getTime()).to.be.greaterThan(Date.now() + 300_000);
    await edge.call(service.pauseSandbox, { sandboxId: kept });
    await edge.call(service.endSandbox, { sandboxId: kept });
    expect(await refusal(seen(kept))).to.include({ code: "notFound" });
    // Where its launcher has gone before it, the machine's number 1 reaps it, a moment later.
    await eventually("its VMM has gone", 5_000, async () => ((await procStat(vmm)) === undefined ? true : undefined));
    const left = await daemon.command("check --running");
    expect(left.stdout).to.equal("Everything is as the records have it.\n");
  });

  it("is paused and resumed at a terminal, which lists it so", async () => {
    const said = ["--endpoint", address];
    expect(await command(["pause", ...said, id])).to.include({ status: 0, stdout: `${id}\n` });
    expect((await command(["ps", ...said])).stdout).to.match(new RegExp(`^${id} .*\\bpaused\\b`, "m"));
    expect((await command(["resume", ...said, id])).status).to.equal(0);
    expect((await command(["ps", ...said])).stdout).to.match(new RegExp(`^${id} .*\\brunning\\b`, "m"));
    const wrong = await command(["pause", ...said, "none-such"]);
    expect(wrong.status).to.equal(1);
    expect(wrong.stderr).to.contain('no sandbox "none-such"');
  });
});
