import { expect } from "chai";
import * as fc from "fast-check";
import { WriteFileRequest as AgentsRequest } from "../../../src/gen/agent/v1/agent.js";
import { ReadFileResponse, WriteFileRequest } from "../../../src/gen/sandboxes/v1/files.js";
import { dataMessage } from "../../../src/grpc/data-message.js";

describe("a message of bytes alone", () => {
  it("is what the generated encoders write", () => {
    const sizes = [1, 127, 128, 16_383, 16_384, 256 * 1024, 3_000_000];
    for (const data of sizes.map((size) => Buffer.alloc(size, size))) {
      const message = dataMessage(2, data);
      const { length } = data;
      expect(message.equals(WriteFileRequest.encode({ data }).finish()), String(length)).to.equal(true);
      expect(message.equals(ReadFileResponse.encode({ data }).finish()), String(length)).to.equal(true);
      const ofAgent = AgentsRequest.encode({
        open: undefined,
        data,
        end: false,
        staging: "",
        staged: undefined,
      }).finish();
      expect(message.equals(ofAgent), String(length)).to.equal(true);
    }
  });

  it("comes out as it went in", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 500 }), (data) => {
        expect(WriteFileRequest.decode(dataMessage(2, data)).data).to.deep.equal(data);
      }),
    );
  });
});
