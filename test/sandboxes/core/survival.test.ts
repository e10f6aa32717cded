import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect } from "chai";
import * as z from "zod";
import { neverAborted } from "../../../src/base/signals.js";
import { execAndWait } from "../../../src/runtime/exec/exec.js";
import { projectDirectory } from "../../support/project.js";
import { makeBase, openCore, someCaller, type TestCore } from "../../support/sandboxes/open-core.js";
import { eventually, limit } from "../../support/wait.js";

const said = z.array(z.object({ id: z.string(), podId: z.string(), containerId: z.string(), endsAtMs: z.number() }));
const lives = [600_000, 600_000, 5000];

/** A process that has made sandboxes, killed. */
async function madeAndKilled(base: string): Promise<z.infer<typeof said>> {
  const wanted = lives.map((lifeMs, index) => JSON.stringify({ lifeMs, metadata: { index: String(index) } }));
  const args = ["--import=tsx", "test/support/sandboxes/core-host.ts", base, ...wanted];
  const child = spawn(process.execPath, args, { cwd: projectDirectory, stdio: ["ignore", "pipe", "inherit"] });
  try {
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) return said.parse(JSON.parse(line));
    throw new Error("it has made nothing");
  } finally {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
}

describe("sandboxes of a daemon that was killed", function () {
  this.timeout(limit(240_000));
  let core: TestCore | undefined;
  after(async () => {
    await core?.remove();
  });

  it("run on to their end, and what no record names goes", async () => {
    const base = await makeBase();
    const [stays, stray, short] = await madeAndKilled(base);
    if (stays === undefined || stray === undefined || short === undefined) throw new Error("too few");
    await rm(join(base, "root/records/agent-sandboxes", `${stray.id}.json`));

    core = await openCore(base);
    const { engine, sandboxes } = core;
    expect(sandboxes.get(someCaller, stays.id)).to.include({ state: "running", endsAtMs: stays.endsAtMs });
    const container = engine.containers.require(stays.containerId);
    const { stdout } = await execAndWait(container, ["echo", "alive"], limit(30_000), engine, neverAborted);
    expect(stdout.toString()).to.equal("alive\n");
    await eventually("the stray's pod and the one whose time is over have gone", 60_000, () => {
      return engine.sandboxes.find(stray.podId) === undefined && engine.sandboxes.find(short.podId) === undefined
        ? true
        : undefined;
    });
    expect(sandboxes.list(someCaller, {}, { limit: 10 }).items.map(({ id }) => id)).to.deep.equal([stays.id]);

    const box = engine.sandboxes.require(stays.podId).box;
    for (const { pid } of box?.handle.processes ?? []) process.kill(pid, "SIGKILL");
    await eventually("one whose Box has gone is not there", 20_000, () => {
      return sandboxes.list(someCaller, {}, { limit: 10 }).items.length === 0 ? true : undefined;
    });
    await eventually("nor is its pod", 30_000, () => (engine.sandboxes.all().length === 0 ? true : undefined));
    // An end is told once all of it has gone.
    const { log } = core;
    const ends = await eventually("both ends are told", 20_000, () => {
      const told = log.filter(({ msg }) => msg === "sandbox ended").map(({ reason }) => reason);
      return told.length >= 2 ? told : undefined;
    });
    expect(ends).to.have.members(["time", "lost"]);
    await eventually("nothing of their logs is left, the stray's among them", 20_000, async () => {
      return (await readdir(join(base, "root/sandbox-logs"))).length === 0 ? true : undefined;
    });
  });
});
