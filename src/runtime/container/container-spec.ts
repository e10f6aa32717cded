/** What a container is to be, as plain frozen values. Each member names the CRI field behind it where that has another name. */
import * as z from "zod";
import { idMapping, namespaceSpec } from "../pod/namespace-spec.js";
import { resourceSpec } from "./resource-spec.js";

const strings = z.array(z.string()).readonly();
const words = z.record(z.string(), z.string()).readonly();
const linuxId = z.int().min(0).max(4_294_967_294);

/** CRI ImageSpec. What the engine uses is `name`; the rest is kept to be shown as it was given. */
export const imageSpec = z
  .object({
    /** Reference or id of an image of this node. */
    name: z.string(),
    annotations: words,
    /** What the user wrote, before kubelet resolved it. */
    userSpecified: z.string(),
    handler: z.string(),
    reference: z.string(),
  })
  .readonly();
export type ImageSpec = z.infer<typeof imageSpec>;

/** CRI Mount. */
const mountSpec = z
  .object({
    containerPath: z.string(),
    /** "" where an image is mounted. */
    hostPath: z.string(),
    /** A directory of the host, resolved, that what is mounted has to be in, whoever may write there. Absent: anywhere. */
    within: z.string().exactOptional(),
    /** The mount itself; `recursiveReadonly`: and all that is mounted below it. */
    readonly: z.boolean(),
    recursiveReadonly: z.boolean(),
    /** Of mounts below it, made later: to nobody, from the host to the container, or both ways. */
    propagation: z.enum(["private", "hostToContainer", "bidirectional"]),
    /** CRI Mount.mount_options. */
    options: strings,
    /** The image that is mounted, and the path in it ("": all of it). */
    image: imageSpec.exactOptional(),
    imageSubPath: z.string(),
    uidMappings: z.array(idMapping).readonly(),
    gidMappings: z.array(idMapping).readonly(),
    /** CRI Mount.selinux_relabel: nothing is done about it; kept to be shown as it was given. */
    selinuxRelabel: z.boolean(),
  })
  .readonly();
export type MountSpec = z.infer<typeof mountSpec>;
export type MountPropagation = MountSpec["propagation"];

/** CRI Device: `permissions` of "r", "w" and "m", "" for all. */
const deviceSpec = z.object({ hostPath: z.string(), containerPath: z.string(), permissions: z.string() }).readonly();
export type DeviceSpec = z.infer<typeof deviceSpec>;

/** CRI SecurityProfile, or the deprecated seccomp_profile_path. `path`: absolute, a JSON profile on the host. */
const seccompSpec = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("none") }).readonly(),
  z.object({ kind: z.literal("default") }).readonly(),
  z.object({ kind: z.literal("localhost"), path: z.string() }).readonly(),
]);
export type SeccompSpec = z.infer<typeof seccompSpec>;

/** CRI SecurityProfile, or the deprecated apparmor_profile. `name`: of a profile of the node. */
const apparmorSpec = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("none") }).readonly(),
  z.object({ kind: z.literal("default") }).readonly(),
  z.object({ kind: z.literal("localhost"), name: z.string() }).readonly(),
]);
export type ApparmorSpec = z.infer<typeof apparmorSpec>;

/** CRI run_as_user, run_as_username, run_as_group, supplemental_groups and its policy. */
const userSpec = z
  .object({
    /** Name or decimal id; "": the image's, with the image's group. */
    user: z.string(),
    /** Decimal id; "": the user's own. */
    group: z.string(),
    supplementalGroups: z.array(linuxId).readonly(),
    /** The groups that the image's /etc/group has the user in count too (SupplementalGroupsPolicy Merge). */
    hasGroupsOfImage: z.boolean(),
  })
  .readonly();
export type UserSpec = z.infer<typeof userSpec>;

/** CRI LinuxContainerSecurityContext. SELinux there is none of. */
const securitySpec = z
  .object({
    privileged: z.boolean(),
    readonlyRootfs: z.boolean(),
    noNewPrivileges: z.boolean(),
    /** Names with or without "CAP_", "ALL" for all. */
    capabilities: z.object({ add: strings, drop: strings, ambient: strings }).readonly(),
    namespaces: namespaceSpec,
    user: userSpec,
    seccomp: seccompSpec,
    /** Absent: as the configuration has it for those that don't ask. */
    apparmor: apparmorSpec.exactOptional(),
    maskedPaths: strings,
    readonlyPaths: strings,
  })
  .readonly();
export type SecuritySpec = z.infer<typeof securitySpec>;

/** What a container may write to its root and to what its image declares as volumes, together. No client of CRI can say so. */
const diskSpec = z
  .object({
    sizeBytes: z.bigint(),
    /** A project quota of the image store's file system, a file of that size, or the first of them that is possible. */
    by: z.enum(["auto", "quota", "file"]),
  })
  .readonly();

/** CRI ContainerConfig. */
export const containerSpec = z
  .object({
    /** CRI ContainerMetadata: unique in the pod together. */
    name: z.string(),
    attempt: z.int(),
    labels: words,
    annotations: words,
    image: imageSpec,
    /** In place of the image's Entrypoint and Cmd; empty: the image's. */
    command: strings,
    /** In place of the image's Cmd. */
    args: strings,
    /** "": the image's. */
    workingDir: z.string(),
    env: z.array(z.object({ name: z.string(), value: z.string() }).readonly()).readonly(),
    mounts: z.array(mountSpec).readonly(),
    devices: z.array(deviceSpec).readonly(),
    /** Names of CDI devices. */
    cdiDevices: strings,
    /** Relative to the pod's log directory; "": no log. */
    logPath: z.string(),
    stdin: z.boolean(),
    /** stdin is closed when the first client's ends. */
    stdinOnce: z.boolean(),
    tty: z.boolean(),
    security: securitySpec,
    resources: resourceSpec.exactOptional(),
    /** Absent: whatever is free on the file system of the image store. */
    disk: diskSpec.exactOptional(),
    /** "SIGQUIT", "SIGRTMINPLUS3"; absent: the image's. */
    stopSignal: z.string().exactOptional(),
  })
  .readonly();
export type ContainerSpec = z.infer<typeof containerSpec>;
