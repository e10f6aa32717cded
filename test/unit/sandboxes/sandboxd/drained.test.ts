import { EventEmitter } from "node:events";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { neverAborted } from "../../../../src/base/signals.js";
import { drained } from "../../../../src/sandboxes/sandboxd/drained.js";

async function reason(work: Promise<void>): Promise<unknown> {
  return await work.then(
    () => "drained",
    (thrown: unknown) => thrown,
  );
}

describe("a stream that is full", () => {
  it("is given up once its client has read nothing for so long, and says so", async () => {
    const thrown = await reason(drained(new EventEmitter(), 10, neverAborted));
    expect(thrown).to.be.instanceOf(RuntimeError);
    expect(thrown).to.include({ code: "deadlineExceeded", message: "the client has read nothing for 10 ms" });
  });

  it("goes on when it has room, and leaves no listener and no timer", async () => {
    const stream = new EventEmitter();
    const ended = reason(drained(stream, 60_000, neverAborted));
    stream.emit("drain");
    expect(await ended).to.equal("drained");
    expect(stream.eventNames()).to.deep.equal([]);
  });

  it("without a limit waits for its signal", async () => {
    const gone = new AbortController();
    const ended = reason(drained(new EventEmitter(), undefined, gone.signal));
    gone.abort();
    expect(await ended).to.have.property("name", "AbortError");
  });
});
