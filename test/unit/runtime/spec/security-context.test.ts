/* eslint-disable @typescript-eslint/no-deprecated -- kubelet before 1.29 and the CRI test suite still use those fields */
/** Each field of CRI's LinuxContainerSecurityContext: what goes in, and what of the OCI spec comes out. */
import { expect } from "chai";
import {
  LinuxContainerSecurityContext,
  NamespaceMode,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
} from "../../../../src/gen/runtime/v1/api.js";
import { seccompSpecOf } from "../../../../src/cri/map/seccomp.js";
import { finishSpec, planSpec } from "../../../../src/runtime/spec/build-spec.js";
import type { OciSpec } from "../../../../src/runtime/spec/oci.js";
import { image, input, secured, security, type Given } from "./support.js";

type Security = Partial<LinuxContainerSecurityContext>;

const database = {
  passwd: "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
  group: "root:x:0:\nuser:x:1000:\nextra:x:50000:user\n",
};
const { POD, NODE, CONTAINER, TARGET } = NamespaceMode;
const { Unconfined, RuntimeDefault, Localhost } = SecurityProfile_ProfileType;
const namespaces = { network: POD, pid: POD, ipc: POD, targetId: "", usernsOptions: undefined };
const usual = { addCapabilities: [], dropCapabilities: [], addAmbientCapabilities: [] };
const groupsOf = ({ process }: OciSpec): unknown => [process.user.uid, process.user.gid, process.user.additionalGids];
const choice = (members: Security): unknown => seccompSpecOf(security(members));

interface Row {
  readonly field: keyof LinuxContainerSecurityContext;
  readonly when: string;
  readonly given: Security;
  readonly members?: Given;
  /** What is looked at, and what it must be; or what the refusal says. */
  readonly out: readonly [(spec: OciSpec) => unknown, unknown] | RegExp;
}

const range = { hostId: 65_536, containerId: 0, length: 10 };
const podUserns = { mode: POD, uids: [range], gids: [{ ...range, hostId: 7 }] };
const userns = (mode: NamespaceMode, of = podUserns): Security => ({
  namespaceOptions: { ...namespaces, usernsOptions: { ...of, mode } },
});
const privileged: Given = { sandbox: { hostname: "box", privileged: true, userns: undefined } };
const inUserns: Given = { sandbox: { hostname: "box", privileged: false, userns: { ...podUserns, mode: "pod" } } };
const profileOf = ({ process }: OciSpec): unknown => process.apparmorProfile;
const ofImage = { image: { ...image, user: "user" } };

const rows: readonly Row[] = [
  {
    field: "capabilities",
    when: "drop ALL and add one",
    given: { capabilities: { ...usual, addCapabilities: ["NET_RAW"], dropCapabilities: ["all"] } },
    out: [({ process }) => process.capabilities.permitted, ["CAP_NET_RAW"]],
  },
  {
    field: "capabilities",
    when: "ambient ones go into all five sets",
    given: { capabilities: { ...usual, addAmbientCapabilities: ["SYS_TIME"], dropCapabilities: ["ALL"] } },
    out: [
      ({ process: { capabilities: of } }) => [of.bounding, of.effective, of.permitted, of.inheritable, of.ambient],
      [["CAP_SYS_TIME"], ["CAP_SYS_TIME"], ["CAP_SYS_TIME"], ["CAP_SYS_TIME"], ["CAP_SYS_TIME"]],
    ],
  },
  { field: "privileged", when: "the sandbox is not", given: { privileged: true }, out: /privileged sandbox/ },
  {
    field: "privileged",
    when: "the sandbox is: nothing is hidden",
    given: { privileged: true, maskedPaths: ["/a"], readonlyPaths: ["/b"] },
    members: privileged,
    out: [({ linux }) => [...linux.maskedPaths, ...linux.readonlyPaths], []],
  },
  {
    field: "namespaceOptions",
    when: "PIDs of its own",
    given: { namespaceOptions: { ...namespaces, pid: CONTAINER } },
    out: [({ linux }) => linux.namespaces[0], { type: "pid" }],
  },
  {
    field: "namespaceOptions",
    when: "PIDs of another container",
    given: { namespaceOptions: { ...namespaces, pid: TARGET, targetId: "x" } },
    members: { targetPid: 9 },
    out: [({ linux }) => linux.namespaces[0], { type: "pid", path: "/proc/9/ns/pid" }],
  },
  {
    field: "namespaceOptions",
    when: "the host's IPC",
    given: { namespaceOptions: { ...namespaces, ipc: NODE } },
    out: /host's IPC namespace \(use a RuntimeClass/,
  },
  {
    field: "namespaceOptions",
    when: "the pod's user namespace",
    given: userns(POD),
    members: inUserns,
    out: [
      ({ linux }) => [linux.namespaces.at(-1), linux.uidMappings, linux.gidMappings],
      [{ type: "user" }, [{ containerID: 0, hostID: 65_536, size: 10 }], [{ containerID: 0, hostID: 7, size: 10 }]],
    ],
  },
  {
    field: "namespaceOptions",
    when: "nothing said of user namespaces, in a pod that has one",
    given: { namespaceOptions: namespaces },
    members: inUserns,
    out: [({ linux }) => linux.namespaces.at(-1), { type: "user" }],
  },
  { field: "namespaceOptions", when: "a user namespace that the pod has not", given: userns(POD), out: /differ from/ },
  {
    field: "namespaceOptions",
    when: "another user namespace than the pod's",
    given: userns(POD, { ...podUserns, gids: [range] }),
    members: inUserns,
    out: /differ from those of the sandbox/,
  },
  {
    field: "namespaceOptions",
    when: "no user namespace in a pod that has one",
    given: userns(NODE),
    members: inUserns,
    out: /say NODE/,
  },
  {
    field: "namespaceOptions",
    when: "PIDs of another container in a pod with a user namespace",
    given: { namespaceOptions: { ...namespaces, pid: TARGET, targetId: "x" } },
    members: { ...inUserns, targetPid: 9 },
    out: /can't be joined/,
  },
  {
    field: "namespaceOptions",
    when: "kubelet's way to say no user namespace",
    given: userns(NODE),
    out: [({ linux }) => linux.namespaces.map(({ type }) => type), ["mount", "cgroup"]],
  },
  {
    field: "selinuxOptions",
    when: "a label, which the guest has no SELinux for",
    given: { selinuxOptions: { user: "", role: "", type: "spc_t", level: "s0:c1" } },
    out: /SELinux labels are not supported \(leave seLinuxOptions unset/,
  },
  {
    field: "selinuxOptions",
    when: "an empty label asks for nothing",
    given: { selinuxOptions: { user: "", role: "", type: "", level: "" } },
    out: [({ linux }) => linux.namespaces.map(({ type }) => type), ["mount", "cgroup"]],
  },
  { field: "runAsUser", when: "by number", given: { runAsUser: { value: 1001n } }, out: [groupsOf, [1001, 0, [0]]] },
  {
    field: "runAsUser",
    when: "over the image's user, with the groups of passwd",
    given: { runAsUser: { value: 0n } },
    members: ofImage,
    out: [groupsOf, [0, 0, [0]]],
  },
  {
    field: "runAsUsername",
    when: "by name, with its groups",
    given: { runAsUsername: "user" },
    out: [groupsOf, [1000, 1000, [1000, 50000]]],
  },
  { field: "runAsUsername", when: "a stranger", given: { runAsUsername: "nobody-here" }, out: /nobody-here/ },
  {
    field: "runAsGroup",
    when: "with a user",
    given: { runAsUser: { value: 1001n }, runAsGroup: { value: 7n } },
    out: [groupsOf, [1001, 7, [7]]],
  },
  { field: "runAsGroup", when: "without a user", given: { runAsGroup: { value: 7n } }, out: /run_as_user/ },
  {
    field: "supplementalGroups",
    when: "added to the user's own, each once",
    given: { runAsUser: { value: 1000n }, supplementalGroups: [1234n, 50000n] },
    out: [({ process }) => [...process.user.additionalGids].sort(), [1000, 1234, 50000]],
  },
  {
    field: "supplementalGroupsPolicy",
    when: "Strict: the listed ones and the primary only",
    given: {
      runAsUser: { value: 1000n },
      supplementalGroups: [1234n],
      supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
    },
    out: [({ process }) => [...process.user.additionalGids].sort(), [1000, 1234]],
  },
  {
    field: "readonlyRootfs",
    when: "set: the root and nothing else",
    given: { readonlyRootfs: true },
    out: [({ root }) => root.readonly, true],
  },
  {
    field: "noNewPrivs",
    when: "set",
    given: { noNewPrivs: true },
    out: [({ process }) => process.noNewPrivileges, true],
  },
  {
    field: "maskedPaths",
    when: "given: as they are",
    given: { maskedPaths: ["/bin/ls", "/proc/kcore"] },
    out: [({ linux }) => linux.maskedPaths, ["/bin/ls", "/proc/kcore"]],
  },
  {
    field: "readonlyPaths",
    when: "given: as they are",
    given: { readonlyPaths: ["/tmp"] },
    out: [({ linux }) => linux.readonlyPaths, ["/tmp"]],
  },
  {
    field: "seccomp",
    when: "an empty message is the default profile",
    given: { seccomp: { profileType: RuntimeDefault, localhostRef: "" } },
    out: [() => choice({ seccomp: { profileType: RuntimeDefault, localhostRef: "" } }), { kind: "default" }],
  },
  {
    field: "seccomp",
    when: "a profile of the host",
    given: {},
    out: [
      () => choice({ seccomp: { profileType: Localhost, localhostRef: "localhost//p.json" } }),
      { kind: "localhost", path: "/p.json" },
    ],
  },
  {
    field: "seccompProfilePath",
    when: "the old field, when the new one is unset",
    given: {},
    out: [() => choice({ seccompProfilePath: "runtime/default" }), { kind: "default" }],
  },
  {
    field: "apparmor",
    when: "a profile of the node, by its name, also with the old field's word before it",
    given: { apparmor: { profileType: Localhost, localhostRef: "localhost/p" } },
    out: [profileOf, "p"],
  },
  {
    field: "apparmor",
    when: "the default one",
    given: { apparmor: { profileType: RuntimeDefault, localhostRef: "" } },
    out: [profileOf, "a3s-box-default"],
  },
  {
    field: "apparmor",
    when: "the default one, privileged: none, as with containerd",
    given: { privileged: true, apparmor: { profileType: RuntimeDefault, localhostRef: "" } },
    members: privileged,
    out: [profileOf, undefined],
  },
  {
    field: "apparmor",
    when: "a profile of the node, privileged: it was asked for by name",
    given: { privileged: true, apparmor: { profileType: Localhost, localhostRef: "p" } },
    members: privileged,
    out: [profileOf, "p"],
  },
  ...["", ":ns:p", "a//&b", "&a", " a", "a ", "a\nb", "x".repeat(513)].map((localhostRef) => ({
    field: "apparmor" as const,
    when: `${JSON.stringify(localhostRef.slice(0, 20))}: no name`,
    given: { apparmor: { profileType: Localhost, localhostRef } },
    out: /names no AppArmor profile/,
  })),
  {
    field: "apparmorProfile",
    when: "the old field, overruled by the new one",
    given: { apparmorProfile: "localhost/p", apparmor: { profileType: Unconfined, localhostRef: "" } },
    out: [profileOf, undefined],
  },
  { field: "apparmorProfile", when: "alone", given: { apparmorProfile: "localhost/p" }, out: [profileOf, "p"] },
  {
    field: "apparmorProfile",
    when: "the runtime's",
    given: { apparmorProfile: "runtime/default" },
    out: [profileOf, "a3s-box-default"],
  },
  { field: "apparmorProfile", when: "none", given: { apparmorProfile: "unconfined" }, out: [profileOf, undefined] },
  { field: "apparmorProfile", when: "another word", given: { apparmorProfile: "p" }, out: /is no profile.*localhost/ },
];

describe("the security context, field by field", () => {
  for (const { field, when, given, members, out } of rows) {
    it(`${field}: ${when}`, () => {
      const build = (): OciSpec =>
        finishSpec(planSpec(input({ config: secured(given), database, ...members })), "/r", [], "/shm");
      if (out instanceof RegExp) {
        expect(build).to.throw(out);
      } else {
        const [look, expected] = out;
        expect(look(build())).to.deep.equal(expected);
      }
    });
  }

  it("has a line for every field that CRI has", () => {
    const fields = Object.keys(LinuxContainerSecurityContext.fromPartial({}));
    expect([...new Set(rows.map(({ field }) => field as string))].sort()).to.deep.equal(fields.sort());
  });
});
