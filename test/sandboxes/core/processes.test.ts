import { expect } from "chai";
import type { Processes } from "../../../src/sandboxes/core/process.js";
import { neverAborted } from "../../../src/base/signals.js";
import { freshCore, openCore, someCaller, wantedSandbox, type TestCore } from "../../support/sandboxes/open-core.js";
import { eventually } from "../../support/wait.js";
import { within } from "../../vmm/bench-of-boxes.js";
import { collect, run, seen, shell, wanted } from "../process-bench.js";

describe("processes of a sandbox, in the engine", () => {
  let core: TestCore;
  let id: string;
  let processes: Processes;
  before(async () => {
    core = await freshCore();
    const env = { OWN: "sandbox", HOME: "/of-sandbox" };
    const asked = wantedSandbox({ env, user: "user", workingDir: "/tmp" });
    ({ id } = await core.sandboxes.create(someCaller, asked, neverAborted));
    processes = core.sandboxes.processes(someCaller, id);
  });
  after(async () => {
    await core.remove();
  });

  it("are the sandbox's user's, in its directory and environment, where nothing else is asked for", async () => {
    const script = shell('echo "$(id -un) $(pwd) $OWN $HOME $USER"');
    expect((await run(processes, script)).stdout).to.equal("user /tmp sandbox /of-sandbox user\n");
    const root = { ...script, user: "root", workingDir: "/etc", env: { OWN: "mine" } };
    expect((await run(processes, root)).stdout).to.equal("root /etc mine /of-sandbox root\n");
    const unknown = await processes.start({ ...script, user: "nobody-here" }, within(10_000)).catch((e: unknown) => e);
    expect(unknown).to.have.property("code", "invalidArgument");
  });

  it("go on while the daemon is started again, which ends other execs", async () => {
    const script = "echo one; read x; echo two; read x";
    const { id: number } = await processes.start(shell(script, { stdin: true }), within(10_000));
    await seen(processes, number, "one\n");
    const ended = await processes.start(shell("echo ended; exit 4"), within(10_000));
    await collect(processes.connect(ended.id, "start", within(10_000)));
    await core.close();

    core = await openCore(core.base);
    processes = await takenUp();
    // Its client has learned of the exit before the disk: where that was too late the guest's agent has it still.
    const exit4 = await eventually("its exit is there again", 20_000, () => processes.get(ended.id).exit);
    expect(exit4.code).to.equal(4);
    await processes.write(number, Buffer.from("\n"), within(20_000));
    await seen(processes, number, "one\ntwo\n");
    await processes.write(number, Buffer.from("\n"), within(5_000));
    const { stdout, exit } = await collect(processes.connect(number, "start", within(20_000)));
    expect([stdout, exit?.code, exit?.lost]).to.deep.equal(["one\ntwo\n", 0, undefined]);
    expect((await collect(processes.connect(ended.id, "start", within(5_000)))).stdout).to.equal("ended\n");
    expect((await run(processes, wanted(["true"]))).exit?.code).to.equal(0);
  });

  it("end with their sandbox, and leave nothing", async () => {
    const { id: number } = await processes.start(wanted(["sleep", "1000"]), within(10_000));
    const reading = collect(processes.connect(number, "start", within(60_000))).catch((thrown: unknown) => thrown);
    await core.sandboxes.end(someCaller, id, within(60_000));
    const end = await reading;
    expect(end).to.satisfy((one: object) => "code" in one || ("exit" in one && one.exit !== undefined));
    expect(() => core.sandboxes.processes(someCaller, id))
      .to.throw()
      .with.property("code", "notFound");
  });

  /** Of a daemon that has just begun. */
  async function takenUp(): Promise<Processes> {
    return await eventually("the sandbox is taken up", 20_000, () => {
      try {
        return core.sandboxes.processes(someCaller, id);
      } catch {
        return undefined;
      }
    });
  }
});
