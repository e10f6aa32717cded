/* eslint-disable @typescript-eslint/no-deprecated -- kubelet before 1.29 and the CRI test suite still use those fields */
/** Each field of CRI's LinuxSandboxSecurityContext: what goes in, and what comes of it. */
import { expect } from "chai";
import {
  LinuxSandboxSecurityContext,
  NamespaceMode,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
} from "../../../../src/gen/runtime/v1/api.js";
import { configOf } from "../../../../src/config/load.js";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import { namespaceOptionOf } from "../../../../src/cri/map/namespaces.js";
import type { PodSpec } from "../../../../src/runtime/pod/pod-spec.js";
import { checkPodSpec } from "../../../../src/runtime/pod/check-spec.js";
import { idMapOf, userNamespaceOf } from "../../../../src/runtime/pod/user-namespace.js";
import { linuxConfig, podRequest } from "./fakes.js";

type Security = Partial<LinuxSandboxSecurityContext>;
const { POD, NODE, CONTAINER } = NamespaceMode;
const { RuntimeDefault, Localhost, Unconfined } = SecurityProfile_ProfileType;
const namespaces = { network: POD, pid: POD, ipc: POD, targetId: "", usernsOptions: undefined };
const mapping = { hostId: 65_536, containerId: 0, length: 65_536 };
const userns = { ...namespaces, usernsOptions: { mode: POD, uids: [mapping], gids: [{ ...mapping, hostId: 9 }] } };

interface Row {
  readonly field: keyof LinuxSandboxSecurityContext;
  readonly when: string;
  readonly given: Security;
  /** What the refusal says; absent: it is accepted. */
  readonly refusal?: RegExp;
}

/** A Box has no pause container: what would be its user, groups and root is accepted, and there is nothing to apply it to. */
const noPause = "of the pause container, which a Box has not";

const rows: readonly Row[] = [
  { field: "namespaceOptions", when: "the pod's own", given: { namespaceOptions: namespaces } },
  {
    field: "namespaceOptions",
    when: "a pid namespace for each container",
    given: { namespaceOptions: { ...namespaces, pid: CONTAINER } },
  },
  {
    field: "namespaceOptions",
    when: "the host's network",
    given: { namespaceOptions: { ...namespaces, network: NODE } },
    refusal: /network NODE/,
  },
  { field: "namespaceOptions", when: "a user namespace", given: { namespaceOptions: userns } },
  {
    field: "selinuxOptions",
    when: "a label",
    given: { selinuxOptions: { user: "", role: "", type: "spc_t", level: "" } },
    refusal: /SELinux labels are not supported/,
  },
  {
    field: "selinuxOptions",
    when: "an empty one",
    given: { selinuxOptions: { user: "", role: "", type: "", level: "" } },
  },
  { field: "runAsUser", when: noPause, given: { runAsUser: { value: 1000n } } },
  { field: "runAsGroup", when: noPause, given: { runAsUser: { value: 1n }, runAsGroup: { value: 1000n } } },
  { field: "readonlyRootfs", when: noPause, given: { readonlyRootfs: true } },
  { field: "supplementalGroups", when: noPause, given: { supplementalGroups: [5n] } },
  {
    field: "supplementalGroupsPolicy",
    when: noPause,
    given: { supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict },
  },
  { field: "privileged", when: "lets containers be privileged", given: { privileged: true } },
  { field: "seccomp", when: noPause, given: { seccomp: { profileType: RuntimeDefault, localhostRef: "" } } },
  { field: "seccompProfilePath", when: noPause, given: { seccompProfilePath: "runtime/default" } },
  {
    field: "apparmor",
    when: noPause,
    given: { apparmor: { profileType: Localhost, localhostRef: "p" } },
  },
  { field: "apparmor", when: "none", given: { apparmor: { profileType: Unconfined, localhostRef: "" } } },
];

/** What a pod is made with, and what CRI is told of it later. */
const kept = ({ privileged, namespaces: has }: PodSpec): Security => ({
  privileged,
  ...(has === undefined ? {} : { namespaceOptions: namespaceOptionOf(has) }),
});
const shown = ({ privileged, namespaceOptions }: Security): Security => ({
  ...(privileged === undefined ? {} : { privileged }),
  ...(namespaceOptions === undefined ? {} : { namespaceOptions }),
});

describe("the sandbox's security context, field by field", () => {
  const configWith = (given: Security) => ({
    linux: linuxConfig({ securityContext: { ...LinuxSandboxSecurityContext.fromPartial({}), ...given } }),
  });
  const daemonConfig = configOf(new Map());
  const boxes = { driver: "qemu", idMapping: () => ({ by: "server" as const }) } as const;

  for (const { field, when, given, refusal } of rows) {
    it(`${field}: ${when}`, () => {
      const check = () => checkPodSpec(podSpecOf(podRequest(configWith(given))), daemonConfig, boxes);
      if (refusal === undefined) expect(kept(check().spec)).to.deep.include(shown(given));
      else expect(check).to.throw(refusal);
    });
  }

  it("has a line for every field that CRI has", () => {
    const fields = Object.keys(LinuxSandboxSecurityContext.fromPartial({}));
    expect([...new Set(rows.map(({ field }) => field as string))].sort()).to.deep.equal(fields.sort());
  });

  it("has the share show owners as the user namespace has them, where the driver can", () => {
    const config = podSpecOf(podRequest(configWith({ namespaceOptions: userns })));
    const qemu = { driver: "qemu" as const, idMapping: () => ({ by: "server" as const }) };
    expect(idMapOf(config, qemu, undefined)).to.deep.equal({
      idMap: { uids: { first: 65_536, count: 65_536 }, gids: { first: 9, count: 65_536 } },
    });
    const krun = { driver: "krun" as const, idMapping: () => ({ by: "none" as const, why: "it is so" }) };
    expect(() => idMapOf(config, krun, undefined)).to.throw(/driver krun: it is so .*driver qemu/);
    const plain = podSpecOf(podRequest(configWith({})));
    expect([idMapOf(plain, krun, undefined), userNamespaceOf(plain)]).to.deep.equal([{}, undefined]);
  });
});
