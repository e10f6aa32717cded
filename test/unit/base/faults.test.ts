import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { faultsIn } from "../../../src/base/faults.js";

const never = new AbortController().signal;

describe("faults on purpose", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-faults-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });
  const arm = async (line: string): Promise<void> => {
    await writeFile(join(directory, "armed"), `${line}\n`);
  };
  const failureAt = async (step: string, signal = never): Promise<unknown> =>
    await faultsIn(directory)
      .at("begin", step, signal)
      .then(() => undefined)
      .catch((thrown: unknown) => thrown);

  it("happen once, at the moment and step that are armed, whatever the ids", async () => {
    await arm("fail begin boot box ID");
    expect(await failureAt("make netns")).to.equal(undefined);
    expect(await failureAt("boot box 0123456789ab"))
      .to.be.instanceOf(Error)
      .and.to.have.property("stage");
    expect(existsSync(join(directory, "armed"))).to.equal(false);
    expect(await failureAt("boot box 0123456789ab")).to.equal(undefined);
  });

  it("write down each place that is passed", async () => {
    await failureAt("boot box 0123456789ab");
    await faultsIn(directory).at("end", "make netns", never);
    expect(await readFile(join(directory, "passed"), "utf8")).to.equal("begin boot box ID\nend make netns\n");
  });

  it("stick whatever the signal says, until the test lets go", async () => {
    await arm("stick end make netns");
    let [over, expired] = [false, false];
    const stuck = faultsIn(directory)
      .at("end", "make netns", AbortSignal.abort(), () => (expired = true))
      .then(() => (over = true));
    await new Promise(setImmediate);
    expect([existsSync(join(directory, "armed")), existsSync(join(directory, "stuck")), over, expired]).to.deep.equal([
      false,
      true,
      false,
      true,
    ]);
    await rm(join(directory, "stuck"));
    await stuck;
  });

  it("cap a step's limit for as long as that is armed", async () => {
    await arm("cap 900 make share\ncap 700 boot box ID");
    expect(await failureAt("boot box 0123456789ab")).to.equal(undefined);
    expect(faultsIn(directory).limitOf("boot box 0123456789ab", 20_000)).to.equal(700);
    expect(faultsIn(directory).limitOf("make netns", 20_000)).to.equal(20_000);
  });

  it("hang until the step's own limit, which is a short one then", async () => {
    await arm("hang begin make netns");
    expect(faultsIn(directory).limitOf("make netns", 20_000)).to.be.lessThan(1_000);
    expect(faultsIn(directory).limitOf("boot box", 20_000)).to.equal(20_000);
    const limit = AbortSignal.timeout(30);
    expect(await failureAt("make netns", limit)).to.equal(limit.reason);
  });
});
