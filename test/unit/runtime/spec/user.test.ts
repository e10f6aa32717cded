import { expect } from "chai";
import { SupplementalGroupsPolicy } from "../../../../src/gen/runtime/v1/api.js";
import { userSpecOf } from "../../../../src/cri/map/user.js";
import { resolveUser } from "../../../../src/runtime/spec/user.js";
import { complaint, security } from "./support.js";

const database = {
  passwd: [
    "root:x:0:0:root:/root:/bin/sh",
    "app:x:1000:50:App:/home/app:/bin/sh",
    "broken line",
    "huge:x:99999999999:0::/:",
    "nobody:x:65534:65534::/nonexistent:",
  ].join("\n"),
  group: ["root:x:0:", "staff:x:50:", "extra:x:50000:app,other", "7:x:77:"].join("\n"),
};

interface Case {
  readonly name: string;
  readonly context: Parameters<typeof security>[0];
  readonly image: string;
  readonly expected: readonly [uid: number, gid: number, groups: number[]] | string;
}

const uid = (value: number) => ({ value: BigInt(value) });

const cases: Case[] = [
  { name: "root when nobody says anything", context: {}, image: "", expected: [0, 0, [0]] },
  { name: "the image's uid, its group from passwd", context: {}, image: "1000", expected: [1000, 50, [50, 50000]] },
  { name: "the image's name", context: {}, image: "app", expected: [1000, 50, [50, 50000]] },
  { name: "the image's uid and gid", context: {}, image: "1000:9", expected: [1000, 9, [9, 50000]] },
  { name: "the image's name and group name", context: {}, image: "app:extra", expected: [1000, 50000, [50000]] },
  { name: "a group whose name is a number, by name", context: {}, image: "app:7", expected: [1000, 77, [77, 50000]] },
  { name: "a uid that is not in passwd", context: {}, image: "4242", expected: [4242, 0, [0]] },
  { name: "run_as_user over the image", context: { runAsUser: uid(5) }, image: "app:9", expected: [5, 0, [0]] },
  {
    name: "run_as_username over run_as_user",
    context: { runAsUser: uid(5), runAsUsername: "app" },
    image: "",
    expected: [1000, 50, [50, 50000]],
  },
  {
    name: "run_as_group with run_as_user",
    context: { runAsUser: uid(1001), runAsGroup: uid(1002) },
    image: "",
    expected: [1001, 1002, [1002]],
  },
  {
    name: "supplemental groups merged with the image's, each once",
    context: { runAsUser: uid(1000), supplementalGroups: [1234n, 50000n, 1234n] },
    image: "",
    expected: [1000, 50, [50, 1234, 50000]],
  },
  {
    name: "only the listed groups and the primary under Strict",
    context: {
      runAsUser: uid(1000),
      supplementalGroups: [1234n],
      supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
    },
    image: "",
    expected: [1000, 50, [50, 1234]],
  },
  { name: "no run_as_group without a user", context: { runAsGroup: uid(5) }, image: "", expected: "run_as_group" },
  { name: "no unknown name", context: { runAsUsername: "ghost" }, image: "", expected: '"ghost" is not in' },
  { name: "no unknown group", context: {}, image: "app:ghosts", expected: '"ghosts" is not in' },
  { name: "no negative uid", context: { runAsUser: { value: -1n } }, image: "", expected: "outside 0" },
  { name: "no uid that means 'unchanged'", context: { runAsUser: uid(4294967295) }, image: "", expected: "outside 0" },
];

describe("a container's user", () => {
  for (const { name, context, image, expected } of cases) {
    it(`is ${name}`, () => {
      const run = () => resolveUser(userSpecOf(security(context)), image, database);
      if (typeof expected === "string") {
        expect(complaint(run)).to.include(expected);
        return;
      }
      const { oci } = run();
      expect([oci.uid, oci.gid, oci.additionalGids]).to.deep.equal(expected);
    });
  }

  it("has the home that passwd gives it, and / without one", () => {
    expect(resolveUser(userSpecOf(security({})), "app", database).home).to.equal("/home/app");
    expect(resolveUser(userSpecOf(security({})), "4242", database).home).to.equal("/");
  });
});
