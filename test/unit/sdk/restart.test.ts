/** The port goes and comes back under calls, as when the daemon restarts; sandboxes and programs stay, as they do then. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Sandbox, UnavailableError } from "../../../sdk/typescript/src/index.js";
import { DoubleSandboxes } from "../../support/sandboxes/double.js";
import { eventually } from "../../support/wait.js";
import type { Bed } from "../sandboxes/listen/bed.js";
import { failure, openSandboxes } from "./bed.js";

describe("the SDK over a restart of the runtime", function () {
  this.timeout(30_000);
  let scratch: string;
  let toml: string;
  let sandboxes: DoubleSandboxes;
  let bed: Bed;
  let sandbox: Sandbox;

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-sdk-again-"));
    toml = `listen = ["unix://${scratch}/s"]`;
    sandboxes = await DoubleSandboxes.open();
    bed = await openSandboxes(sandboxes, toml);
    sandbox = await Sandbox.create({ endpoint: `unix://${scratch}/s`, reconnectMs: 10_000 });
  });

  afterEach(async () => {
    await bed.close();
    await sandboxes.close();
    await rm(scratch, { recursive: true });
  });

  const restart = async (): Promise<void> => {
    await bed.close();
    bed = await openSandboxes(sandboxes, toml);
  };

  const processes = (): ReturnType<DoubleSandboxes["processes"]> =>
    sandboxes.processes({ tenant: "_node", name: "uid 0" }, sandbox.sandboxId);

  it("goes on with a command, and loses no byte of it", async () => {
    const told: string[] = [];
    const counting = sandbox.commands.run("for i in $(seq 1 40); do echo $i; sleep 0.05; done; exit 0", {
      onStdout: (text) => void told.push(text),
    });
    await eventually("it has begun", 10_000, () => (told.length > 0 ? true : undefined));
    await restart();
    const { stdout } = await counting;
    expect(stdout).to.equal(Array.from({ length: 40 }, (_, at) => `${at + 1}\n`).join(""));
    expect(told.join("")).to.equal(stdout);
  });

  it("starts a program once, where the answer of its start is lost", async () => {
    const own = processes();
    const start = own.start.bind(own);
    const asked: (string | undefined)[] = [];
    own.start = async (wanted, signal) => {
      asked.push(wanted.startId);
      const view = await start(wanted, signal);
      if (asked.length === 1) await bed.close(); // it is done, and its answer never comes
      return view;
    };
    const running = sandbox.commands.run("echo x >> starts; cat starts");
    await eventually("it is started, and the port is gone", 10_000, () =>
      existsSync(bed.directory) ? undefined : asked.length,
    );
    bed = await openSandboxes(sandboxes, toml);
    expect((await running).stdout).to.equal("x\n");
    expect(asked[0]).to.have.length(36);
    expect(asked).to.deep.equal([asked[0], asked[0]]);
  });

  it("repeats what does nothing twice, and says of the rest that it may have been done", async () => {
    await bed.close();
    const [info, write] = [sandbox.getInfo(), sandbox.files.write("a", "whole")];
    bed = await openSandboxes(sandboxes, toml);
    expect((await info).state).to.equal("running");
    expect((await write).name).to.equal("a");
    const cat = await sandbox.commands.start("cat", { stdin: true });
    processes().write = async () => {
      await bed.close();
    };
    const lost = await failure(cat.sendStdin("input"));
    expect(lost).to.be.instanceOf(UnavailableError);
    expect(String(lost)).to.contain("it may have been done");
  });

  it("ends a watch, which may have missed something, and says so", async () => {
    let ended: Error | undefined;
    await sandbox.files.watchDir(".", () => undefined, {
      onExit: (error) => {
        ended = error;
      },
    });
    await restart();
    const error = await eventually("the watch has ended", 10_000, () => ended);
    expect(error).to.be.instanceOf(UnavailableError);
    expect(error.message).to.contain("may have been missed");
  });

  it("is waited for no longer than is said", async () => {
    const impatient = await Sandbox.connect(sandbox.sandboxId, { endpoint: `unix://${scratch}/s`, reconnectMs: 200 });
    await bed.close();
    expect(await failure(impatient.getInfo())).to.be.instanceOf(UnavailableError);
    bed = await openSandboxes(sandboxes, toml);
  });
});
