import { EventEmitter } from "node:events";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { expect } from "chai";
import { ByteBudget } from "../../../src/llm/limits/byte-budget.js";
import { readBody } from "../../../src/llm/request/body.js";
import { bytesOneByOne, memoryOf } from "../../support/heap.js";

const mib = 1024 * 1024;
const count = mib / 4;
const limits = { maxBytes: 32 * mib, idleMs: 10_000, totalMs: 10_000 };

/** A request whose body the test sends. */
function request(): IncomingMessage {
  const message = new IncomingMessage(new Socket());
  message.headers["transfer-encoding"] = "chunked";
  return message;
}

describe("a request's body", function () {
  this.timeout(20_000); // memory is measured, on a machine that may be busy

  it("is held in about as much memory as it has bytes, however it is cut", async () => {
    const message = request();
    const budget = new ByteBudget(32 * mib, 32 * mib);
    const { bytes, result } = await memoryOf(() => {
      const reading = readBody(message, limits, budget, "box", () => undefined);
      for (const piece of bytesOneByOne(count)) EventEmitter.prototype.emit.call(message, "data", piece);
      return { reading };
    });
    expect(bytes).to.be.below(4 * mib);
    message.emit("end");
    expect((await result.reading).bytes.length).to.equal(count);
  });
});
