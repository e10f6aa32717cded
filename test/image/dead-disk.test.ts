/** The disk of the image store dies under it: calls end with their callers, and take no more than a thread or two. */
import { readdirSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { expect } from "chai";
import { codeOf, messageOf } from "../../src/base/errors.js";
import { tellLateSteps, type LateStep } from "../../src/base/hold.js";
import { canDie, DeadMount } from "../support/faults/dead-mount.js";
import { makeTestStore, registryOptions, type TestStore } from "../support/image-store.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { skipBecause } from "../support/skip.js";
import { buildLayer } from "../support/tar-builder.js";
import { eventually, slowness } from "../support/wait.js";

const never = new AbortController().signal;
const stallMs = 400;
/** For a pull to have asked the registry. */
const untilItWritesMs = 1_000 * slowness;
const overMs = 1_000 * slowness;

/** "code: message" of what it throws; fails when that takes longer than its limit and a second. */
async function refusedWithin(limitMs: number, call: Promise<unknown>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, limitMs + overMs, "no answer");
  });
  const refused = call.then(
    () => "no error",
    (thrown: unknown) => `${codeOf(thrown)}: ${messageOf(thrown)}`,
  );
  const said = await Promise.race([refused, late]);
  clearTimeout(timer);
  return said;
}

/** Of this process, in FUSE. */
function waitingThreads(): number {
  const wchan = (task: string): string => readFileSync(`/proc/self/task/${task}/wchan`, "utf8");
  return readdirSync("/proc/self/task").filter((task) => /^(?:fuse|request_wait)/.test(wchan(task))).length;
}

describe("An image store whose disk is dead", function () {
  this.timeout(30_000 * slowness);
  let registry: TestRegistry;
  let reference: string;
  let test: TestStore;
  let dead: DeadMount | undefined;
  let late: LateStep[];

  before(async function () {
    if (!canDie) skipBecause(this, "no /dev/fuse here, by which a file system can be dead");
    registry = await startRegistry();
    const layers = [buildLayer([{ name: "a", content: "a" }])];
    reference = (await pushImage(registry.host, "team/app", "v1", { layers })).reference;
  });
  after(async () => {
    await registry.stop();
  });
  beforeEach(() => {
    late = [];
    tellLateSteps((step) => late.push(step));
  });
  afterEach(async () => {
    dead?.uncover();
    dead = undefined;
    tellLateSteps(() => undefined);
    await test.close();
  });

  it("keeps two threads for all who ask what there is, so that the rest of the process goes on", async () => {
    test = await makeTestStore();
    dead = DeadMount.over(test.directory);
    const asked = Array.from({ length: 24 }, () => [
      test.store.list(),
      test.store.find("app"),
      test.store.imageUsage(),
      test.store.containerUsage(),
      test.store.remove("app", AbortSignal.timeout(stallMs)),
    ]).flat();
    for (const call of asked) call.catch(() => undefined);
    const other = stat(tmpdir()).then(() => "answered");
    expect(
      await refusedWithin(
        0,
        other.then((said) => Promise.reject(new Error(said))),
      ),
    ).to.equal("internal: answered");
    await eventually("they wait", 5_000, () => (waitingThreads() > 0 ? true : undefined));
    expect(waitingThreads()).to.be.at.most(2);
    dead.uncover();
    const ends = await Promise.allSettled(asked);
    expect(new Set(ends.map(({ status }) => status)).has("fulfilled")).to.equal(true);
    expect(await test.store.list()).to.deep.equal([]);
  });

  for (const place of ["", "/blobs"]) {
    it(`ends a pull that nobody gives up${place === "" ? "" : `, with ${place.slice(1)} alone dead`}; the key is held until the step has settled`, async () => {
      const stall = place === "/blobs" ? 60_000 : stallMs; // the watch looks in "ingest"
      test = await makeTestStore({ registry: registryOptions({ stallMs: stall }) });
      dead = DeadMount.over(`${test.directory}${place}`);
      const caller = new AbortController();
      const pull = (signal: AbortSignal): Promise<unknown> => test.store.pull(reference, undefined, signal);
      if (place === "/blobs") {
        setTimeout(() => {
          caller.abort();
        }, untilItWritesMs);
      }
      const said = await refusedWithin(stallMs + untilItWritesMs, pull(place === "/blobs" ? caller.signal : never));
      expect(said).to.match(place === "/blobs" ? /^canceled: / : /^deadlineExceeded: .*has not answered for \d+ ms/);
      expect(late.filter(({ outcome }) => outcome === "given up").map(({ name }) => name)).not.to.deep.equal([]);
      expect(await refusedWithin(0, pull(never))).to.match(
        /^(unavailable|deadlineExceeded): .*(still busy with|has not answered)/,
      );
      dead.uncover();
      await eventually("the image is pulled", 10_000, async () => {
        await pull(never);
        return true;
      });
      expect(late.filter(({ outcome }) => outcome === "given up").length).to.equal(
        late.filter(({ outcome }) => outcome !== "given up").length,
      );
      await eventually("nothing is left", 5_000, async () =>
        (await test.leftovers()).length === 0 ? true : undefined,
      );
    });
  }

  it("ends a removal with its caller, each time, and removes once the disk is back", async () => {
    test = await makeTestStore();
    await test.store.pull(reference, undefined, never);
    dead = DeadMount.over(test.directory);
    const remove = (): Promise<string> =>
      refusedWithin(stallMs, test.store.remove(reference, AbortSignal.timeout(stallMs)));
    expect(await remove()).to.match(/drop the image's names: /);
    expect(await remove()).to.match(/drop the image's names: /);
    dead.uncover();
    await eventually("the image is removed", 10_000, async () => {
      await test.store.remove(reference, never);
      return (await test.store.list()).length === 0 ? true : undefined;
    });
  });
});
