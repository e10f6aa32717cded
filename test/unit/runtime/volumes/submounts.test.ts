import { expect } from "chai";
import { parseMountinfo } from "../../../../src/base/mountinfo.js";
import { submountName, submountPrefix, submountsOf } from "../../../../src/runtime/volumes/submounts.js";

const mounts = parseMountinfo(
  [
    "20 1 8:1 / / rw - ext4 /dev/sda1 rw",
    "21 20 0:30 / /srv/volume rw - tmpfs tmpfs rw",
    "25 21 0:31 / /srv/volume/b rw - tmpfs tmpfs rw",
    "26 25 0:32 / /srv/volume/b/deep rw - tmpfs tmpfs rw",
    "27 21 0:33 / /srv/volume/a\\040b rw - tmpfs tmpfs rw",
    "28 21 0:34 / /srv/volume/b rw - tmpfs tmpfs rw",
    "29 21 0:35 / /srv/volume/auto rw - autofs systemd-1 rw",
    "30 20 0:36 / /srv/volumes rw - tmpfs tmpfs rw",
    "31 20 0:37 / /run/a3s-box/boxes/1/share/v/x rw - tmpfs tmpfs rw",
  ].join("\n"),
);
const place = { hostPath: "/run/a3s-box/boxes/1/share/v/rw-alone-1", guestPath: "/v/rw-alone-1" };

describe("submounts of a volume", () => {
  it("are the mounts below its source, parents first, of several on one directory the last", () => {
    const found = submountsOf(mounts, "/srv/volume", []);
    expect(found.map(({ at, mountId }) => [at, mountId])).to.deep.equal([
      ["a b", 27],
      ["b", 28],
      ["b/deep", 26],
    ]);
  });

  it("are never those of the daemon's own directories, also when all of the host is the volume", () => {
    const found = submountsOf(mounts, "/", ["/run/a3s-box"]);
    expect(found.map(({ at }) => at)).to.deep.equal([
      "srv/volume",
      "srv/volume/a b",
      "srv/volume/b",
      "srv/volume/b/deep",
      "srv/volumes",
    ]);
  });

  it("have names that tell the volume, the place and the file system", () => {
    const [one, other] = submountsOf(mounts, "/srv/volume", []);
    const again = submountsOf(mounts.slice(0, 5), "/srv/volume", [])[0];
    if (one === undefined || other === undefined || again === undefined) throw new Error("no submounts");
    expect(submountName(place, one).startsWith(submountPrefix(place.hostPath))).to.equal(true);
    expect(submountName(place, one)).to.not.equal(submountName(place, other));
    expect([again.at, again.key === one.key]).to.deep.equal(["a b", true]);
    expect(submountPrefix("/other/v/place")).to.not.equal(submountPrefix(place.hostPath));
  });
});
