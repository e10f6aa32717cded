/** The commands for people, against a port of sandboxes whose core is in memory. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { createLogger } from "../../../../src/base/log.js";
import { cp } from "../../../../src/cli/client/cp.js";
import { run } from "../../../../src/cli/client/run.js";
import type { FileEntry, Files } from "../../../../src/sandboxes/core/file.js";
import { sandboxdProtocols } from "../../../../src/sandboxes/sandboxd/sandboxd.js";
import { projectDirectory } from "../../../support/project.js";
import { DoubleSandboxes } from "../../../support/sandboxes/double.js";
import { eventually, limit } from "../../../support/wait.js";
import { openBed, portOf, type Bed } from "../../sandboxes/listen/bed.js";

const caller = { tenant: "_local", name: "loopback" };
const wanted = { template: "base", env: {}, mounts: [], metadata: {} };
const signal = new AbortController().signal;

describe("the commands for people", function () {
  this.timeout(limit(30_000));
  let core: DoubleSandboxes;
  let bed: Bed;
  let directory: string;

  before(async () => {
    core = await DoubleSandboxes.open();
    const log = createLogger("error", { write: () => undefined });
    const { grpc } = sandboxdProtocols({ sandboxes: core, log, stopping: signal });
    bed = await openBed('listen = ["tcp://127.0.0.1:0"]', { protocolsGrpc: grpc });
    directory = await mkdtemp(join(tmpdir(), "a3s-client-"));
  });

  after(async () => {
    await bed.close();
    await core.close();
    await rm(directory, { recursive: true });
  });

  const endpoint = (): string[] => ["--endpoint", `127.0.0.1:${String(portOf(bed))}`];

  it("copy into the directory that is named, whatever a sandbox calls what it sends", async () => {
    const { id } = await core.create(caller, wanted);
    const real = core.files(caller, id);
    const target = join(directory, "outer", "target");
    await mkdir(target, { recursive: true });
    core.files = () => hostile(real);
    try {
      const copied = await cp([...endpoint(), `${id}:/out`, target]).catch((thrown: unknown) => String(thrown));
      expect(copied).to.match(/"\.\." is no name of a file/);
      expect(await readdir(join(directory, "outer"))).to.deep.equal(["target"]);
    } finally {
      core.files = DoubleSandboxes.prototype.files.bind(core);
    }
  });

  it("leave a sandbox whose program runs when the connection breaks, unless it was to be removed", async () => {
    for (const [flags, left] of [
      [[], 1],
      [["--rm"], 0],
    ] as const) {
      const way = await cuttable(portOf(bed));
      try {
        const metadata = { name: `cut ${String(left)}` };
        const there = () => core.list(caller, { metadata }, { limit: 2 }).items;
        const at = ["--endpoint", `127.0.0.1:${String(way.port)}`, "--name", metadata.name];
        const running = run([...at, ...flags, "base", "sleep", "60"]).then(
          () => "it ended",
          () => "it failed",
        );
        // Passing signals on is what a client begins with when it has heard that the program runs.
        await eventually("its program", 10_000, () => (process.listenerCount("SIGQUIT") > 0 ? true : undefined));
        way.cut();
        expect(await running).to.equal("it failed");
        expect(there()).to.have.length(left);
      } finally {
        way.close();
      }
    }
  });

  it("show what a program has written, and end, however busy it is", async () => {
    const { id } = await core.create(caller, wanted);
    const line = "echo first; while :; do echo more; sleep 0.05; done";
    const program = { args: ["/bin/sh", "-c", line], env: {}, workingDir: "", user: "", stdin: false };
    await core.processes(caller, id).start({ ...program, tag: "main", limitMs: 0 }, signal);
    const { stdout, status } = await command(["logs", ...endpoint(), id]);
    expect(status).to.equal(0);
    expect(stdout).to.match(/^first\n(more\n)*$/);
  });

  it("end without a trace of themselves when nobody reads what they print", async () => {
    const { stderr, status } = await command(["config", "default"], (output) => {
      output.destroy();
    });
    expect([stderr, status]).to.deep.equal(["", 0]);
  });
});

/** Its directory is "..", with one file in it. */
function hostile(real: Files): Files {
  const entry = (path: string, kind: FileEntry["kind"]): FileEntry => ({
    ...{ name: path.slice(path.lastIndexOf("/") + 1), path, kind, sizeBytes: 0, mode: 0o755, uid: 0, gid: 0 },
    ...{ owner: "root", group: "root", modifiedAtMs: 0 },
  });
  const above = entry("/out/..", "directory");
  return {
    ...real,
    stat: () => Promise.resolve(above),
    list: () => Promise.resolve({ directory: above, entries: [entry("/out/../planted", "file")], truncated: false }),
    read: () =>
      Promise.resolve({
        entry: entry("/out/../planted", "file"),
        data: (async function* () {
          yield await Promise.resolve(Buffer.from("planted"));
        })(),
      }),
  };
}

/** A way to a port that can be cut, and found again. */
async function cuttable(to: number): Promise<{ readonly port: number; cut(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    const far = connect(to, "127.0.0.1");
    for (const one of [socket, far]) {
      sockets.add(one);
      one.on("error", () => undefined).once("close", () => sockets.delete(one));
    }
    socket.pipe(far).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: address.port,
    cut,
    close: () => {
      server.close();
      cut();
    },
  };
}

async function command(
  words: readonly string[],
  begun?: (output: NodeJS.ReadableStream & { destroy(): void }) => void,
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, ["--import=tsx", "src/main.ts", ...words], { cwd: projectDirectory });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  begun?.(child.stdout);
  const end = setTimeout(() => child.kill("SIGKILL"), limit(15_000));
  await once(child, "close");
  clearTimeout(end);
  return { status: child.exitCode, stdout, stderr };
}
