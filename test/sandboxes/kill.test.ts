/**
 * The daemon killed under sandboxes with programs that print, and a file half way in: by the port, as clients see it. Four
 * sandboxes with three programs each; `A3S_KILLED_SANDBOXES=10` for more, which takes two minutes on two cores.
 */
import { expect } from "chai";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Edge } from "../../src/cli/client/connect.js";
import { findEndpoint } from "../../src/cli/client/endpoint.js";
import { FileServiceService as files, type WriteFileRequest } from "../../src/gen/sandboxes/v1/files.js";
import { ProcessServiceService as processes } from "../../src/gen/sandboxes/v1/processes.js";
import { SandboxServiceService as service } from "../../src/gen/sandboxes/v1/sandboxes.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { eventually, limit } from "../support/wait.js";

const sandboxCount = Number(process.env["A3S_KILLED_SANDBOXES"] ?? "4");
const programsOfEach = 3;
/** Printed by each program, a second between two: the daemon dies and comes back meanwhile. */
const lines = 12;

interface Program {
  readonly sandboxId: string;
  readonly id: number;
  /** What its client has, up to the death of the daemon. */
  text: string;
  offset: bigint;
}

describe("a daemon that is killed", function () {
  this.timeout(limit(180_000));
  let scratch: string;
  let address: string;
  let daemon: Daemon;
  let edge: Edge;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-kill-"));
    address = `unix://${scratch}/sandboxes.sock`;
    const config = [
      ...["[sandboxes]", `listen = ["${address}"]`, 'pull = "never"', "life_ms = 600000", ""],
      ...["[templates.base]", `image = "${busyboxImage}"`, "vcpus = 1", "memory_mib = 256", ""],
    ];
    daemon = await Daemon.start({ images: [await busybox()], config: config.join("\n") });
    edge = await Edge.connect(await findEndpoint(address, {}));
  });
  after(async () => {
    const { sandboxes } = await edge.call(service.listSandboxes, nothingSaid);
    await Promise.all(sandboxes.map(({ id }) => edge.call(service.endSandbox, { sandboxId: id })));
    edge[Symbol.dispose]();
    await daemon.remove();
    await rm(scratch, { recursive: true });
  });

  it("leaves sandboxes and programs as they are: no byte is lost or doubled, and half a file is none", async () => {
    const ids = await Promise.all(Array.from({ length: sandboxCount }, () => created(edge)));
    const programs = (await Promise.all(ids.map((id) => begun(edge, id)))).flat();
    const reading = programs.map((program) => read(edge, program));
    const upload = edge.send(files.writeFile, half(ids[0] ?? "")).catch((thrown: unknown) => thrown);
    await eventually("all have printed, and the file is on its way", 30_000, async () => {
      const { entries } = await edge.call(files.listFiles, inTmp(ids[0] ?? ""));
      return entries.length > 0 && programs.every(({ text }) => text.length > 0) ? true : undefined;
    });
    await daemon.stop("SIGKILL");
    await Promise.all(reading);
    expect(await upload).to.be.instanceOf(Error);
    edge[Symbol.dispose]();

    await daemon.launch();
    edge = await Edge.connect(await findEndpoint(address, {}));
    const { sandboxes } = await edge.call(service.listSandboxes, nothingSaid);
    expect(sandboxes.map(({ id }) => id)).to.have.members(ids);
    const codes = await Promise.all(programs.map((program) => read(edge, program)));
    expect(new Set(codes)).to.deep.equal(new Set([7]));
    const whole = Array.from({ length: lines }, (_, at) => `${String(at + 1)}\n`).join("");
    for (const { text } of programs) expect(text).to.equal(whole);
    await eventually("nothing is left of the file", 20_000, async () => {
      const { entries } = await edge.call(files.listFiles, inTmp(ids[0] ?? ""));
      return entries.length === 0 ? true : undefined;
    });
  });
});

const nothingSaid = {
  ...{ metadata: {}, states: [], template: "", startedAfter: undefined, pageSize: 0, pageToken: "" },
};

function inTmp(sandboxId: string) {
  return { sandboxId, path: "/tmp", user: "", depth: 1, limit: 10 };
}

async function created(edge: Edge): Promise<string> {
  const said = { template: "base", env: {}, metadata: {}, mounts: [] };
  const { sandbox } = await edge.call(service.createSandbox, { ...said, network: 0, atEnd: 0 });
  return sandbox?.id ?? "";
}

async function begun(edge: Edge, sandboxId: string): Promise<Program[]> {
  const line = `i=0; while [ $i -lt ${String(lines)} ]; do i=$((i+1)); echo $i; sleep 1; done; exit 7`;
  const start = { sandboxId, args: ["sh", "-c", line], env: {}, workingDir: "", user: "", terminal: undefined };
  const asked = { ...start, stdin: false, tag: "", limitMs: 0n, startId: "" };
  return await Promise.all(
    Array.from({ length: programsOfEach }, async () => {
      const { process } = await edge.call(processes.startProcess, asked);
      return { sandboxId, id: process?.id ?? 0, text: "", offset: 0n };
    }),
  );
}

/** From where its client has come to; to its end, whose code is the answer, or to the daemon's. */
async function read(edge: Edge, program: Program): Promise<number | undefined> {
  const { sandboxId, id, offset } = program;
  const request = { sandboxId, process: { id, tag: undefined }, offset };
  try {
    for await (const { event } of edge.events(processes.connectProcess, request)) {
      if (event?.output !== undefined) {
        expect(event.output.offset).to.equal(program.offset);
        program.text += Buffer.from(event.output.data).toString();
        program.offset += BigInt(event.output.data.length);
      }
      if (event?.exit !== undefined) return event.exit.code;
    }
  } catch {
    // The daemon has gone.
  }
  return undefined;
}

/** A megabyte of a file that has more, and never comes to its end. */
async function* half(sandboxId: string): AsyncGenerator<WriteFileRequest> {
  yield { open: { sandboxId, path: "/tmp/half", user: "", mode: undefined, parents: false } };
  for (let part = 0; part < 16; part += 1) yield { data: Buffer.alloc(64 * 1024, "x") };
  await new Promise<never>(() => undefined);
}
