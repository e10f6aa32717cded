/**
 * The same pods, containers and calls through containerd with runc and through this runtime, in a Box and under `native`:
 * whatever a process or a CRI client sees must be the same, but for what README.md lists with its reason.
 */
import { expect } from "chai";
import { containerdDirectory } from "../support/containerd.js";
import { startBed, type Bed, type Side, type SideName } from "../support/beside/bed.js";
import type { Case } from "../support/beside/case.js";
import { allCases } from "../support/beside/cases/all.js";
import { isKnown, knownDifferences, rowName, shown, type Found, type Known } from "../support/beside/known.js";
import { differences, type Seen } from "../support/beside/seen.js";
import { removePod, runPod, type Pod } from "../support/pods.js";
import { sharedPodConfig } from "../support/beside/shared-pod.js";
import { skipBecause } from "../support/skip.js";
import { limit } from "../support/wait.js";

/** `A3S_BESIDE=box` or `all`: in a Box too. */
const inBoxes = ["box", "all"].includes(process.env["A3S_BESIDE"] ?? "");
const ours = inBoxes ? (["box", "native"] as const) : (["native"] as const);

/** While a test looks at one, the next are under way. */
const ahead = 2;

describe("beside containerd", function () {
  this.timeout(limit(120_000));
  let bed: Bed;
  let known: Known[];
  const pods = new Map<SideName, Pod>();
  const observed = new Map<Case, Promise<Found[]>>();

  before("both runtimes serve", async function () {
    const programs = containerdDirectory();
    if (programs === undefined) skipBecause(this, "there is no containerd: install Go, and run the set-up again");
    known = await knownDifferences();
    bed = await startBed(programs);
    const run = async (side: Side): Promise<void> => {
      pods.set(side.name, await runPod(side, sharedPodConfig, side.handler));
    };
    await Promise.all((["containerd", ...ours] as const).map((name) => run(bed.sides[name])));
  });

  after("nothing is left", async () => {
    await Promise.allSettled(observed.values());
    try {
      for (const [name, pod] of pods) await removePod(bed.sides[name], pod);
    } finally {
      await bed.remove();
    }
  });

  afterEach(async function () {
    if (this.currentTest?.state === "failed") process.stderr.write(await bed.logTail());
  });

  const seen = async (one: Case, name: SideName): Promise<Seen> => {
    const pod = pods.get(name);
    if (pod === undefined) throw new Error(`${name} has no pod`);
    return await one.see(bed.sides[name], pod);
  };

  const observe = async (one: Case): Promise<Found[]> => {
    const sides = ours.filter((side) => one.sides?.includes(side) ?? true);
    const [theirs, ...others] = await Promise.all(["containerd" as const, ...sides].map((name) => seen(one, name)));
    expect(Object.keys(theirs ?? {}), "fields").to.have.length.greaterThan(0);
    return sides.flatMap((side, index) =>
      differences(theirs ?? {}, others[index] ?? {}).map((found) => ({ ...found, case: one.name, side })),
    );
  };

  const found = async (one: Case): Promise<Found[]> => {
    const under = observed.get(one) ?? observe(one);
    observed.set(one, under);
    under.catch(() => undefined);
    return await under;
  };

  for (const [index, one] of allCases.entries()) {
    it(`${one.name}: no other differences than those that are listed`, async () => {
      for (const next of allCases.slice(index + 1, index + 1 + ahead)) void found(next).catch(() => undefined);
      const unknown = (await found(one)).filter((difference) => !known.some((row) => isKnown(difference, row)));
      expect(unknown.map(shown)).to.deep.equal([]);
    });
  }

  it("every difference that is listed is there", async () => {
    const all: Found[] = [];
    for (const one of allCases) all.push(...(await found(one)));
    const asked = known.filter((row) => !row.byMachine && ours.some((side) => row.sides.includes(side)));
    const missing = asked.filter((row) => !all.some((difference) => isKnown(difference, row)));
    expect(missing.map(rowName)).to.deep.equal([]);
  });

  it("every difference that is listed has its reason", () => {
    expect(known).to.have.length.greaterThan(10);
    for (const row of known) {
      expect(row.why, rowName(row)).to.match(/\S+ \S+/);
      expect([row.cases.length, row.fields.length, row.sides.length], rowName(row)).to.not.include(0);
    }
  });
});
