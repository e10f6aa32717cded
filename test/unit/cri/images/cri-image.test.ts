import { expect } from "chai";
import { imageUser } from "../../../../src/cri/images/cri-image.js";

describe("the user of an image, for kubelet", () => {
  for (const [user, uid, username] of [
    ["", undefined, ""],
    ["0", 0n, ""],
    ["1000", 1000n, ""],
    ["1000:1000", 1000n, ""],
    ["4294967295:x", 4_294_967_295n, ""],
    ["web", undefined, "web"],
    ["web:staff", undefined, "web"],
    [":staff", undefined, ""],
  ] as const) {
    it(`is ${username === "" ? String(uid) : username} for USER "${user}"`, () => {
      const expected = { uid: uid === undefined ? undefined : { value: uid }, username };
      expect(imageUser(user)).to.deep.equal(expected);
    });
  }
});
