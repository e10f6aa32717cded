/** An image's /etc/passwd and /etc/group, which the daemon reads to know whom to run a container as. */
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { resolveUser } from "../../../../src/runtime/spec/user.js";
import { inheritedNames } from "../../../support/fuzz.js";
import { fuzz } from "../../../support/fuzzing/run.js";

const passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:50:App:/home/app:/bin/sh\nnobody:x:65534:65534::/:\n";
const group = "root:x:0:\nstaff:x:50:\nextra:x:50000:app,other\n7:x:77:\n";
const maxId = 4294967294;
const asked = { user: "", group: "", supplementalGroups: [], hasGroupsOfImage: true };

describe("damaged users of an image", () => {
  it("are ids that there are, or refused", async function () {
    this.timeout(0);
    await fuzz({
      name: "image-users",
      // USER, /etc/passwd and /etc/group.
      seeds: ["app", "app:extra", "1000:7", "0", ""].map((user) => [user, passwd, group].join("\f")),
      words: [":", "::", "\n", "\f", ",", ...inheritedNames],
      tried: (input) => {
        const [user = "", ...database] = input.toString().split("\f");
        const files = { passwd: database[0] ?? "", group: database[1] ?? "" };
        try {
          const { oci, home } = resolveUser(asked, user, files);
          for (const id of [oci.uid, oci.gid, ...oci.additionalGids]) {
            expect(Number.isInteger(id) && id >= 0 && id <= maxId, String(id)).to.equal(true);
          }
          expect(new Set(oci.additionalGids).size).to.equal(oci.additionalGids.length);
          expect(oci.additionalGids[0]).to.equal(oci.gid);
          expect(home).to.not.equal("");
          const strict = { ...asked, hasGroupsOfImage: false };
          expect(resolveUser(strict, user, files).oci.additionalGids).to.deep.equal([oci.gid]);
          return true;
        } catch (thrown) {
          if (!(thrown instanceof RuntimeError) || thrown.code !== "invalidArgument") throw thrown;
          return false;
        }
      },
    });
  });
});
