/** What the churn of pods looks at a daemon by: it must see each thing that one pod could leave. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { holdingsOf, leftSince, type Holdings } from "../../support/churn/holdings.js";
import { probeEnvironment } from "../../support/churn/samples.js";

/** Makes one more of everything for each line of its input, and says so. */
const program = `
import { openSync, watch } from "node:fs";
import { createInterface } from "node:readline";
class Kept {}
const all = new Map();
let watched = 0;
const makers = {
  watch: () => watch(["/proc/self", process.env.WATCHED][watched++], { persistent: false }, () => {}),
  timer: () => setTimeout(() => {}, 1e6).unref(),
  descriptor: () => openSync("/dev/zero"),
  object: () => new Kept(),
};
const keep = { watch: [], timer: [], descriptor: [], object: [] };
for await (const line of createInterface({ input: process.stdin })) {
  for (const kind of line.split(" ")) {
    if (kind === "entry") all.set(all.size, 1);
    else if (kind !== "nothing") keep[kind].push(makers[kind]());
  }
  console.log("done");
}
`;

describe("what a daemon holds", function () {
  this.timeout(60_000);
  let scratch: string;
  let probe: string;
  let child: ChildProcess;
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), "a3s-holdings-"));
    probe = join(scratch, "held");
    const env = { ...process.env, WATCHED: scratch, ...probeEnvironment(probe, true) };
    const args = ["--input-type=module", "--eval", program];
    child = spawn(process.execPath, args, { env, stdio: ["pipe", "pipe", "inherit"] });
    await make("watch timer entry descriptor object"); // what is made with the first is there
    await look();
  });
  afterEach(async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    await rm(scratch, { recursive: true });
  });

  const make = async (what: string): Promise<void> => {
    const said = once(child.stdout ?? child, "data");
    child.stdin?.write(`${what}\n`);
    await said;
  };
  const look = (): Promise<Holdings> => holdingsOf(child.pid ?? 0, probe);

  it("is the same where nothing was left", async () => {
    const before = await look();
    await make("nothing");
    expect(leftSince(before, await look(), 3)).to.deep.equal([]);
  });

  const lines = [
    ["watch", "watches of inotify: 1, then 2"],
    ["timer", "timers: 1, then 2"],
    ["entry", "entries of maps"],
    ["descriptor", "descriptor /dev/zero: 1, then 2"],
    ["object object object", "Kept: 1, then 4"],
  ] as const;
  for (const [what, told] of lines) {
    it(`has one more, and says of which kind, when there is: ${what}`, async () => {
      const before = await look();
      await make(what);
      const left = leftSince(before, await look(), 3);
      expect(left.filter((line) => line.startsWith(told))).to.have.length(1);
    });
  }
});
