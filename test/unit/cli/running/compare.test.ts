import { expect } from "chai";
import { containerId, digest, boxId } from "../../../../src/base/ids.js";
import { compare } from "../../../../src/cli/running/compare.js";
import type { Found } from "../../../../src/cli/running/found.js";
import type { Known } from "../../../../src/cli/running/known.js";
import { configOf } from "../../../../src/config/load.js";
import type { BoxRecord } from "../../../../src/vmm/box-directory.js";
import { containerSpecOf } from "../../../../src/cri/map/container-spec.js";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import { ContainerConfig } from "../../../../src/gen/runtime/v1/api.js";
import { podRequest } from "../../runtime/pod/fakes.js";
import type { ContainerRecord } from "../../../../src/runtime/container/container-record.js";
import type { PodRecord } from "../../../../src/runtime/pod/pod-record.js";

const config = configOf(new Map([["state", { value: "/run/t", from: "the test" }]]));
const id = boxId("a".repeat(64));
const other = "b".repeat(24);
const boxPath = `/run/t/boxes/${id.slice(0, 24)}`;
const entry = `${boxPath}/share/c/root-1`;
const cgroup = `/sys/fs/cgroup/a3s-box/${id}`;

const sandbox: PodRecord = {
  version: 3,
  id,
  label: "default/one",
  spec: podSpecOf(podRequest()),
  boundary: "machine",
  createdAtNs: 1n,
  netnsPath: `/run/t/netns/${id.slice(0, 24)}`,
  box: {
    driver: "qemu",
    processes: [
      { role: "vmm", pid: 100, startTime: 7n },
      { role: "fs", pid: 101, startTime: 8n },
    ],
    directory: boxPath,
    cgroups: [cgroup, "/sys/fs/cgroup/a3s-box"],
  },
  readyAtNs: 2n,
};

const container: ContainerRecord = {
  version: 2,
  id: containerId("c".repeat(64)),
  sandboxId: id,
  label: "main",
  spec: containerSpecOf(ContainerConfig.create({})),
  image: { id: digest(`sha256:${"d".repeat(64)}`), reference: "busybox", name: "busybox" },
  logPath: "",
  process: {
    terminal: false,
    user: { uid: 0, gid: 0, additionalGids: [] },
    args: [],
    env: [],
    cwd: "/",
    capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
    rlimits: [],
    noNewPrivileges: false,
  },
  stopSignal: 15,
  sharedPaths: [entry],
  mirroredPaths: [],
  followed: [],
  createdAtNs: 3n,
  startedAtNs: 4n,
};

const known: Known = { sandboxes: [sandbox], containers: [container], unreadable: [] };

const found: Found = {
  served: true,
  boxDirectories: new Map([[id.slice(0, 24), undefined]]),
  mounts: [`${boxPath}/share`, `${boxPath}/share/base`, entry, `${boxPath}/log`, sandbox.netnsPath],
  halfMade: { paths: [], ids: new Set() },
  young: new Set(),
  netns: [id.slice(0, 24)],
  podDirectories: [id],
  snapshots: [container.id],
  processes: [
    { pid: 100, parent: 1, program: "qemu-system-x86_64", box: id.slice(0, 24) },
    { pid: 101, parent: 1, program: "virtiofsd", box: id.slice(0, 24) },
    { pid: 102, parent: 101, program: "virtiofsd", box: id.slice(0, 24) },
  ],
  emptyCgroups: [],
  startTimes: new Map([
    [100, 7n],
    [101, 8n],
  ]),
  cgroupsThere: new Set([cgroup, "/sys/fs/cgroup/a3s-box"]),
};

function problems(change: Partial<Found>, records: Partial<Known> = {}): string[] {
  const troubles = compare({ ...known, ...records }, { ...found, ...change }, config);
  return troubles.map(({ kind, what, problem }) => `${kind} ${what}: ${problem}`);
}

describe("check --running: records against the machine", () => {
  it("has nothing to say of a pod that is whole", () => {
    expect(problems({})).to.deep.equal([]);
  });

  const lost: readonly (readonly [string, Partial<Found>, string])[] = [
    ["a VMM that has gone", { startTimes: new Map([[101, 8n]]) }, "its vmm, process 100, has gone"],
    [
      "a process whose number another has now",
      {
        startTimes: new Map([
          [100, 7n],
          [101, 99n],
        ]),
      },
      "its fs, process 101, has gone",
    ],
    ["a share", { mounts: found.mounts.filter((path) => path !== `${boxPath}/share`) }, "its share"],
    ["a namespace", { mounts: found.mounts.filter((path) => !path.includes("netns")) }, "its network namespace"],
    ["a cgroup", { cgroupsThere: new Set() }, "its cgroup"],
    ["a container's mount", { mounts: found.mounts.filter((path) => path !== entry) }, `${entry} is not mounted`],
  ];
  for (const [what, change, said] of lost) {
    it(`misses ${what}`, () => {
      const all = problems(change);
      expect(all).to.have.lengthOf(1);
      expect(all[0]).to.include(said);
    });
  }

  it("misses nothing of a sandbox that has ended", () => {
    const ended = { ...sandbox, end: { atNs: 5n, reason: "stopped" } };
    const gone = { mounts: [], startTimes: new Map(), cgroupsThere: new Set<string>(), processes: [] };
    expect(problems(gone, { sandboxes: [ended] })).to.deep.equal([]);
  });

  it("names a half-made sandbox only when no daemon runs", () => {
    const { readyAtNs: _, ...creating } = sandbox;
    expect(problems({}, { sandboxes: [creating] })).to.deep.equal([]);
    expect(problems({ served: false }, { sandboxes: [creating] })).to.deep.equal([
      `sandbox ${id}: half made, and no daemon runs`,
    ]);
  });

  it("names what a template is made of only when no daemon runs", () => {
    const path = `/run/t/templates/boxes/${other}`;
    const change = {
      halfMade: { paths: [path], ids: new Set(["f".repeat(64)]) },
      mounts: [...found.mounts, `${path}/log`],
      emptyCgroups: [`/sys/fs/cgroup/a3s-box/${"f".repeat(64)}`],
    };
    expect(problems(change)).to.deep.equal([]);
    expect(problems({ ...change, served: false })).to.deep.equal([`template ${path}: half made, and no daemon runs`]);
  });

  it("names a container whose sandbox has no record, and a record that can't be read", () => {
    const unreadable = [{ file: "records/sandboxes/x.json", reason: "torn" }];
    const all = problems(
      { ...found, processes: [], mounts: [], boxDirectories: new Map(), netns: [], podDirectories: [] },
      {
        sandboxes: [],
        unreadable,
      },
    );
    expect(all).to.deep.equal([
      "record records/sandboxes/x.json: can't be read: torn",
      `container ${container.id}: its sandbox ${id} has no record`,
    ]);
  });

  const orphans: readonly (readonly [string, Partial<Found>, string])[] = [
    [
      "a VMM",
      { processes: [...found.processes, { pid: 200, parent: 1, program: "qemu-system-x86_64", box: other }] },
      `process 200: qemu-system-x86_64 of Box ${other}: no record names it`,
    ],
    [
      "a second VMM of a known Box",
      { processes: [...found.processes, { pid: 200, parent: 1, program: "virtiofsd", box: id.slice(0, 24) }] },
      `process 200: virtiofsd of Box ${id.slice(0, 24)}: no record names it`,
    ],
    [
      "a Box's directory",
      { boxDirectories: new Map([...found.boxDirectories, [other, undefined]]) },
      `directory /run/t/boxes/${other}: no record names it`,
    ],
    [
      "a mount of an unknown Box",
      { mounts: [...found.mounts, `/run/t/boxes/${other}/share`] },
      `mount /run/t/boxes/${other}/share: no record names it`,
    ],
    [
      "an entry of a share",
      { mounts: [...found.mounts, `${boxPath}/share/v/ro-1`] },
      `mount ${boxPath}/share/v/ro-1: no record names it`,
    ],
    ["a namespace", { netns: [...found.netns, other] }, `namespace /run/t/netns/${other}: no record names it`],
    [
      "a cgroup",
      { emptyCgroups: [`/sys/fs/cgroup/x/${other}`] },
      `cgroup /sys/fs/cgroup/x/${other}: no record names it`,
    ],
    ["a pod's directory", { podDirectories: [id, other] }, `directory sandboxes/${other}: no record names it`],
    ["a snapshot", { snapshots: [container.id, other] }, `snapshot ${other}: no record names it`],
  ];
  for (const [what, change, said] of orphans) {
    it(`names ${what} that is left over`, () => {
      expect(problems(change)).to.deep.equal([said]);
    });
  }

  it("takes what is young for a creation under way", () => {
    const mount = `${boxPath}/share/v/ro-1`;
    const change = {
      mounts: [...found.mounts, mount],
      snapshots: [container.id, other],
      young: new Set([mount, other]),
    };
    expect(problems(change)).to.deep.equal([]);
  });

  it("lets the processes of a Box that is being made be named by its directory's record", () => {
    const record = {
      version: 1,
      id,
      driver: "qemu",
      processes: [{ role: "vmm", pid: 300, startTime: 1n }],
      cgroups: [],
    } as const;
    const change = {
      processes: [...found.processes, { pid: 300, parent: 1, program: "qemu-system-x86_64", box: id.slice(0, 24) }],
      boxDirectories: new Map([[id.slice(0, 24), record]]),
    };
    expect(problems(change)).to.deep.equal([]);
  });

  describe("of Boxes that are ready", () => {
    const readyId = boxId("e".repeat(64));
    const name = readyId.slice(0, 24);
    const processes = [{ role: "vmm" as const, pid: 300, startTime: 5n }];
    const made = { version: 1 as const, id: readyId, driver: "qemu" as const, processes };
    const group = `/sys/fs/cgroup/a3s-box/pool/${readyId}`;
    const withOne = (record: Partial<BoxRecord>): Partial<Found> => ({
      boxDirectories: new Map([...found.boxDirectories, [name, { ...made, cgroups: [group], ...record }]]),
      mounts: [...found.mounts, `/run/t/boxes/${name}/share`, `/run/t/netns/${name}`],
      netns: [...found.netns, name],
      processes: [...found.processes, { pid: 300, parent: 1, program: "qemu-system-x86_64", box: name }],
      startTimes: new Map([...found.startTimes, [300, 5n]]),
    });
    const pool = { key: "k", sinceNs: 1n };

    it("has nothing to say where one is whole, or being made by a daemon", () => {
      expect(problems(withOne({ pool }))).to.deep.equal([]);
      expect(problems({ ...withOne({ pool }), served: false })).to.deep.equal([]);
      expect(problems(withOne({}))).to.deep.equal([]);
    });

    it("names one that was being made when the daemon died, and one that is no pod's any more", () => {
      const left = [
        `directory /run/t/boxes/${name}`,
        `mount /run/t/boxes/${name}/share`,
        `namespace /run/t/netns/${name}`,
      ];
      for (const change of [
        { ...withOne({}), served: false },
        withOne({ cgroups: [`/sys/fs/cgroup/kubepods/${readyId}`, group] }),
      ]) {
        const all = problems(change).join("\n");
        for (const one of left) expect(all).to.contain(`${one}: no record names it`);
      }
    });

    it("misses a VMM that has gone, a namespace, and its group once it is empty", () => {
      expect(problems({ ...withOne({ pool }), startTimes: found.startTimes })).to.deep.equal([
        `ready Box ${readyId}: its vmm, process 300, has gone`,
      ]);
      expect(problems({ ...withOne({ pool }), mounts: [...found.mounts, `/run/t/boxes/${name}/share`] })).to.deep.equal(
        [`ready Box ${readyId}: its network namespace /run/t/netns/${name} is not mounted`],
      );
      expect(problems({ ...withOne({ pool }), emptyCgroups: [group] })).to.deep.equal([
        `cgroup ${group}: no record names it`,
      ]);
    });
  });
});
