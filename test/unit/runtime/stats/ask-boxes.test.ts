import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { createLogger } from "../../../../src/base/log.js";
import type { Deps } from "../../../../src/runtime/deps.js";
import { askBoxes } from "../../../../src/runtime/stats/ask-boxes.js";

interface FakePod {
  state: "ready" | "notReady";
  isPaused: boolean;
  box?: unknown;
}

/** Asks one Box, which does not answer, while something becomes of its pod; gives what was warned of. */
async function warnings(meanwhile: (pod: FakePod, caller: AbortController) => void): Promise<string[]> {
  const lines: string[] = [];
  const caller = new AbortController();
  const pod: FakePod = { state: "ready", isPaused: false };
  const stats = (): Promise<never> => {
    meanwhile(pod, caller);
    return Promise.reject(new RuntimeError("unavailable", "no agent"));
  };
  pod.box = { agent: { stats } };
  const log = createLogger("warn", { write: (line) => lines.push(line) });
  const deps = { log, sandboxes: { find: () => pod } } as unknown as Deps;
  expect((await askBoxes(["p"], deps, caller.signal)).size).to.equal(0);
  return lines;
}

describe("the stats of Boxes", () => {
  it("are left out with a warning where a Box that ought to answer does not", async () => {
    const [line, ...others] = await warnings(() => undefined);
    expect(line).to.include("no stats of a box");
    expect(others).to.deep.equal([]);
  });

  for (const [what, becomes] of [
    ["is being stopped", (pod: FakePod) => (pod.state = "notReady")],
    ["is paused", (pod: FakePod) => (pod.isPaused = true)],
    [
      "is of no matter to a caller who has left",
      (_pod: unknown, caller: AbortController) => {
        caller.abort();
      },
    ],
  ] as const) {
    it(`are left out without a word of a pod that ${what} meanwhile`, async () => {
      expect(await warnings(becomes)).to.deep.equal([]);
    });
  }
});
