import { expect } from "chai";
import { Dice } from "../../../support/soak/dice.js";
import { gatesOf, type Outcome, type Sample } from "../../../support/soak/gates.js";

const samples = (kib: (index: number) => Partial<Sample>): Sample[] =>
  Array.from({ length: 100 }, (_, index) => ({
    atMs: index * 1_000,
    daemonKib: 90_000,
    witnessKib: 200_000,
    ...kib(index),
  }));

const good: Outcome = {
  samples: samples(() => ({})),
  calmFromMs: 50_000,
  lives: 10,
  failures: [],
  leftovers: [],
  descriptorsAtStart: 25,
  descriptorsAtEnd: 26,
};

const failed = (change: Partial<Outcome>): string[] =>
  gatesOf({ ...good, ...change })
    .filter(({ passed }) => !passed)
    .map(({ name }) => name);

describe("A soak's gates", () => {
  it("let a soak pass that cost nothing", () => {
    expect(failed({})).to.deep.equal([]);
  });

  it("hold one with a failure, and one in which nothing was done", () => {
    expect(failed({ failures: ["x"] })).to.deep.equal(["everything that should succeed did"]);
    expect(failed({ lives: 0 })).to.deep.equal(["everything that should succeed did"]);
  });

  it("hold a daemon that grows when it is left alone; what it did before does not count", () => {
    const growing = samples((index) => ({ daemonKib: 90_000 + Math.max(0, index - 50) * 3_000 }));
    expect(failed({ samples: growing })).to.deep.equal(["memory of the daemon"]);
    const before = samples((index) => ({ daemonKib: index < 50 ? 300_000 : 90_000 }));
    expect(failed({ samples: before })).to.deep.equal([]);
  });

  it("hold a Box that grows", () => {
    const growing = samples((index) => ({ witnessKib: 100_000 + index * 2_000 }));
    expect(failed({ samples: growing })).to.deep.equal(["memory of a Box"]);
  });

  it("judge nothing by too few samples", () => {
    expect(failed({ samples: [] })).to.deep.equal(["memory of the daemon", "memory of a Box"]);
  });

  it("hold descriptors that stay open, and what is left behind", () => {
    expect(failed({ descriptorsAtEnd: 60 })).to.deep.equal(["descriptors of the daemon"]);
    expect(failed({ leftovers: ["mounts: left behind: /x"] })).to.deep.equal(["nothing left, nothing lost"]);
  });
});

describe("A soak's dice", () => {
  const thrown = (seed: number): number[] => {
    const dice = new Dice(seed);
    return Array.from({ length: 600 }, () => dice.between(1, 6));
  };

  it("fall alike for one seed, and otherwise for another", () => {
    expect(thrown(7)).to.deep.equal(thrown(7));
    expect(thrown(7)).to.not.deep.equal(thrown(8));
  });

  it("show every side", () => {
    expect([...new Set(thrown(7))].sort()).to.deep.equal([1, 2, 3, 4, 5, 6]);
  });
});
