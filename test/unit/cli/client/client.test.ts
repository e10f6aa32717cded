/** The commands for people, against a port of sandboxes whose core is in memory. */
import { execFile, spawn, type SpawnOptionsWithoutStdio } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
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
/** Where these tests are root's, a user who may not do all. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

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
    await chmod(directory, 0o755);
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

  it("copy directories that nobody may write into, with what is in them, as a user who is not root", async () => {
    const { id } = await core.create(caller, wanted);
    const away = await modesOf(core.files(caller, id));
    const [from, back] = [join(directory, "closed"), join(directory, "back")];
    await mkdir(join(from, "in/deep"), { recursive: true });
    await mkdir(back, { mode: 0o777 });
    await chmod(back, 0o777);
    const paths = ["in/deep/file", "in/deep", "in", "empty", ""];
    await writeFile(join(from, "in/deep/file"), "x");
    await mkdir(join(from, "empty"));
    const modes = [0o444, 0o555, 0o775, 0o500, 0o555];
    for (const [at, path] of paths.entries()) await chmod(join(from, path), modes[at] ?? 0);
    core.files = () => away.files;
    try {
      expect(await cp([...endpoint(), from, `${id}:there`])).to.equal(0);
      for (const [at, path] of paths.entries()) expect(await away.mode(join("there", path)), path).to.equal(modes[at]);
      const copied = await command(["cp", ...endpoint(), `${id}:there`, join(back, "new/there")], undefined, nobody);
      expect(copied).to.deep.equal({ status: 0, stdout: "", stderr: "" });
      for (const [at, path] of paths.entries()) {
        const { mode } = await stat(join(back, "new/there", path));
        expect(mode & 0o7777, path).to.equal(modes[at]);
      }
      // What is above it is as any directory that is made.
      await mkdir(join(directory, "any"));
      expect((await stat(join(back, "new"))).mode).to.equal((await stat(join(directory, "any"))).mode);
    } finally {
      core.files = DoubleSandboxes.prototype.files.bind(core);
      for (const path of ["there", join(back, "new/there")]) await away.open(path).catch(() => undefined); // for who takes it away
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

/** Root of this machine is a user like any other there: who may not write into a directory does not. */
async function modesOf(real: Files): Promise<{
  readonly files: Files;
  mode(path: string): Promise<number>;
  open(path: string): Promise<void>;
}> {
  const scope = { user: "", base: "" };
  const { path: home } = await real.stat(".", scope, true, signal);
  const mayWriteBeside = async (path: string): Promise<void> => {
    const above = await stat(dirname(resolve(home, path)));
    if ((above.mode & 0o300) !== 0o300) throw new RuntimeError("permissionDenied", `${path}: permission denied`);
  };
  const asUser = (entry: FileEntry): FileEntry => ({ ...entry, uid: 1000 });
  const bound = <K extends keyof Files>(name: K): Files[K] => real[name].bind(real) as Files[K];
  const files: Files = {
    ...{ stat: bound("stat"), list: bound("list"), read: bound("read"), move: bound("move"), watch: bound("watch") },
    remove: async (path) => {
      await mayWriteBeside(path);
      await rmdir(resolve(home, path));
    },
    makeDirectory: async (path, of, mode, limit) => {
      await mayWriteBeside(path);
      const made = await real.makeDirectory(path, of, mode, limit);
      await chmod(made.path, mode);
      return asUser({ ...made, mode });
    },
    write: async (path, of, body, how, limit) => {
      await mayWriteBeside(path);
      const written = await real.write(path, of, body, how, limit);
      await chmod(written.path, how.mode ?? 0o644);
      return asUser(written);
    },
  };
  return {
    files,
    mode: async (path) => (await real.stat(path, scope, true, signal)).mode,
    open: async (path) => {
      await promisify(execFile)("chmod", ["-R", "u+rwx", resolve(home, path)]);
    },
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
  as: Pick<SpawnOptionsWithoutStdio, "uid" | "gid"> = {},
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, ["--import=tsx", "src/main.ts", ...words], { cwd: projectDirectory, ...as });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  begun?.(child.stdout);
  const end = setTimeout(() => child.kill("SIGKILL"), limit(15_000));
  await once(child, "close");
  clearTimeout(end);
  return { status: child.exitCode, stdout, stderr };
}
