import { expect } from "chai";
import { parseMountinfo } from "../../../src/base/mountinfo.js";
import { requireNodes } from "../../../src/cli/go-outside.js";

const mountOf = (root: string, target: string, type: string, options: string): string =>
  `30 20 0:27 ${root} ${target} rw - ${type} cgroup rw,${options}`;
const unified = (root: string): string => mountOf(root, "/sys/fs/cgroup", "cgroup2", "nsdelegate");
const look = (mounts: readonly string[], groups: readonly string[]) => () => {
  requireNodes(parseMountinfo(mounts.join("\n")), groups.join("\n"));
};

describe("whose control groups a container has mounted", () => {
  it("are the node's below its root, where the container has the node's namespace", () => {
    expect(look([unified("/")], ["0::/kubepods/pod1/c1"])).to.not.throw();
  });

  it("are the node's where they begin above the container's namespace", () => {
    expect(look([unified("/../../..")], ["0::/"])).to.not.throw();
  });

  it("are the container's own where they begin with its namespace, or are its group in the node's", () => {
    expect(look([unified("/")], ["0::/"])).to.throw(/a container's own.*hostPath/);
    expect(look([unified("/kubepods/pod1/c1")], ["0::/kubepods/pod1/c1"])).to.throw("begins at /kubepods/pod1/c1");
  });

  it("are told of by the last mount at a place, which covers those before", () => {
    expect(look([unified("/"), unified("/../..")], ["0::/"])).to.not.throw();
    expect(look([unified("/../.."), unified("/kubepods")], ["0::/"])).to.throw("begins at /kubepods");
  });

  it("are the node's in version 1 where one hierarchy says so, and none says otherwise", () => {
    const memory = mountOf("/", "/sys/fs/cgroup/memory", "cgroup", "memory");
    const named = mountOf("/", "/sys/fs/cgroup/systemd", "cgroup", "name=systemd");
    const empty = mountOf("/", "/sys/fs/cgroup/unified", "cgroup2", "relatime");
    expect(look([memory, named, empty], ["5:memory:/docker/c1", "1:name=systemd:/", "0::/"])).to.not.throw();
    expect(look([memory, named, empty], ["5:memory:/", "1:name=systemd:/", "0::/"])).to.throw("none of the mounted");
  });

  it("are none where nothing is mounted", () => {
    expect(look([], ["0::/"])).to.throw("none of the mounted cgroups");
  });
});
