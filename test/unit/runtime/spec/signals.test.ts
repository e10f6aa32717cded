import { expect } from "chai";
import { Signal } from "../../../../src/gen/runtime/v1/api.js";
import { criSignal, signalNameOf } from "../../../../src/cri/map/signals.js";
import { parseSignal, stopSignal } from "../../../../src/runtime/spec/signals.js";

describe("a container's stop signal", () => {
  const cases: readonly [name: string, wish: Signal, image: string, number: number, reported: Signal][] = [
    ["SIGTERM by default", Signal.RUNTIME_DEFAULT, "", 15, Signal.SIGTERM],
    ["the image's", Signal.RUNTIME_DEFAULT, "SIGQUIT", 3, Signal.SIGQUIT],
    ["the image's by number", Signal.RUNTIME_DEFAULT, "9", 9, Signal.SIGKILL],
    ["the image's real-time signal", Signal.RUNTIME_DEFAULT, "SIGRTMIN+3", 37, Signal.SIGRTMINPLUS3],
    ["SIGTERM for an image's nonsense", Signal.RUNTIME_DEFAULT, "SIGFOO", 15, Signal.SIGTERM],
    ["the container's before the image's", Signal.SIGUSR1, "SIGQUIT", 10, Signal.SIGUSR1],
    ["Linux's number, not the enum's", Signal.SIGKILL, "", 9, Signal.SIGKILL],
    ["counted from the last real-time signal", Signal.SIGRTMAXMINUS2, "", 62, Signal.SIGRTMAXMINUS2],
  ];
  for (const [name, wish, image, number, cri] of cases) {
    it(`is ${name}`, () => {
      expect(stopSignal(signalNameOf(wish), image)).to.equal(number);
      expect(criSignal(signalNameOf(wish), number)).to.equal(cri);
    });
  }

  it("has a Linux number for every member of the enum", () => {
    for (const signal of Object.values(Signal)) expect(stopSignal(signalNameOf(signal), "")).to.be.within(1, 64);
  });

  it("is read with and without SIG, and not from what is none", () => {
    expect([parseSignal("term"), parseSignal("0"), parseSignal("65"), parseSignal("SIGRTMIN+99")]).to.deep.equal([
      15,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
