import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { AskedOnce } from "../../../../src/runtime/container/asked-once.js";
import type { Box } from "../../../../src/vmm/box.js";

const never = new AbortController().signal;

describe("what a Box is asked once", () => {
  const box = {} as unknown as Box;

  it("is answered to all who wait, also when the one who asked first has left", async () => {
    let answer: (value: string) => void = () => undefined;
    let asked = 0;
    const once = new AskedOnce<string>((_box, signal) => {
      asked += 1;
      return new Promise((resolve, reject) => {
        answer = resolve;
        signal.addEventListener("abort", () => {
          reject(new RuntimeError("canceled", "the first caller's doing"));
        });
      });
    });
    const first = new AbortController();
    const left = once.of(box, first.signal).then(String, String);
    const stays = once.of(box, never).then(String, String);
    first.abort(new RuntimeError("canceled", "gone"));
    expect(await left).to.equal("RuntimeError: gone");
    answer("has 2 MiB pages");
    expect([await stays, await once.of(box, never), asked]).to.deep.equal(["has 2 MiB pages", "has 2 MiB pages", 1]);
  });

  it("is asked again after a failure", async () => {
    let tries = 0;
    const once = new AskedOnce<number>(() => {
      tries += 1;
      return tries === 1 ? Promise.reject(new RuntimeError("unavailable", "no answer")) : Promise.resolve(tries);
    });
    expect(await once.of(box, never).then(String, String)).to.match(/no answer$/);
    expect(await once.of(box, never)).to.equal(2);
  });
});
