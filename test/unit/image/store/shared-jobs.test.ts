import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { SharedJobs } from "../../../../src/image/store/shared-jobs.js";

const never = new AbortController().signal;

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => {
      reject(new RuntimeError("canceled", "ended"));
    });
  });
}

describe("SharedJobs", () => {
  it("gives callers of one key one result of one run", async () => {
    const jobs = new SharedJobs<string, number>();
    let runs = 0;
    const start = async (): Promise<number> => {
      runs += 1;
      return await Promise.resolve(runs);
    };
    expect(await Promise.all([jobs.run("a", never, start), jobs.run("a", never, start)])).to.deep.equal([1, 1]);
    expect(await jobs.run("a", never, start)).to.equal(2);
  });

  it("goes on while one caller is left, and ends with the last", async () => {
    const jobs = new SharedJobs<string, void>();
    const [first, second] = [new AbortController(), new AbortController()];
    let ended = false;
    const start = async (signal: AbortSignal): Promise<void> => {
      await whenAborted(signal).catch(() => {
        ended = true;
        throw new RuntimeError("canceled", "ended");
      });
    };
    const calls = [first, second].map((caller) =>
      jobs.run("a", caller.signal, start).catch((thrown: unknown) => thrown),
    );
    first.abort();
    expect(await calls[0]).to.have.property("code", "canceled");
    expect(ended).to.equal(false);
    second.abort();
    expect(await calls[1]).to.have.property("code", "canceled");
    expect(ended).to.equal(true);
  });

  it("begins anew for a caller that joined what others gave up", async () => {
    const jobs = new SharedJobs<string, string>();
    let runs = 0;
    const start = async (): Promise<string> => {
      runs += 1;
      if (runs === 1) throw new RuntimeError("canceled", "ended");
      return await Promise.resolve("done");
    };
    const first = jobs.run("a", never, start).catch((thrown: unknown) => thrown);
    const second = jobs.run("a", never, start);
    expect(await first).to.have.property("code", "canceled");
    expect(await second).to.equal("done");
  });

  it("ends all work at close, and begins none for those who waited", async () => {
    const jobs = new SharedJobs<string, void>();
    let runs = 0;
    const start = async (signal: AbortSignal): Promise<void> => {
      runs += 1;
      await whenAborted(signal);
    };
    const calls = [1, 2].map(() => jobs.run("a", never, start).catch((thrown: unknown) => thrown));
    await jobs.close();
    for (const call of calls) expect(await call).to.have.property("code", "canceled");
    expect(runs).to.equal(1);
  });
});
