/** Devices of the host for containers that share its kernel. Source: CRI Device; OCI runtime spec config-linux.md. */
import { lstat, readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { RuntimeError, isNotFound } from "../../base/errors.js";
import type { ContainerSpec, DeviceSpec } from "../container/container-spec.js";
import type { OciDevice, OciDeviceRule } from "./oci.js";

export interface HostDevices {
  /** Those that the container names, and what it may do with them. */
  readonly asked: readonly OciDevice[];
  readonly rules: readonly OciDeviceRule[];
  /** All of the host, for a privileged one. */
  readonly all: readonly OciDevice[];
}

/** Have mounts of their own, or are the container's. */
const notHost = new Set(["pts", "shm", "fd", "mqueue", "console", "core", ".lxc", ".lxd-mounts", ".udev"]);
/** What every runtime makes. */
const standard = new Set(["null", "zero", "full", "random", "urandom", "tty", "ptmx"].map((name) => `/dev/${name}`));

export async function hostDevices({ devices, security: { privileged } }: ContainerSpec): Promise<HostDevices> {
  const asked = (await Promise.all(devices.map(askedDevices))).flat();
  return {
    asked: asked.map(({ device }) => device),
    rules: asked.map(({ device, access }) => ruleOf(device, access)),
    all: privileged ? (await devicesBelow("/dev", "/dev")).filter(({ path }) => !standard.has(path)) : [],
  };
}

interface AskedDevice {
  readonly device: OciDevice;
  readonly access: string;
}

/** A directory is all devices in it. */
async function askedDevices(device: DeviceSpec, index: number): Promise<AskedDevice[]> {
  const { hostPath, containerPath, permissions } = device;
  const refuse = (why: string): never => {
    throw new RuntimeError("invalidArgument", `devices[${index}]: ${why}`, {
      hint: "name a device of the host by its full path",
    });
  };
  if (!hostPath.startsWith("/") || !containerPath.startsWith("/")) refuse("a path is not absolute");
  if (!/^[rwm]*$/.test(permissions)) refuse(`permissions "${permissions.slice(0, 20)}" are not of r, w and m`);
  const path = await realpath(hostPath).catch(() => refuse(`${hostPath} does not exist on the host`));
  const isDirectory = (await lstat(path)).isDirectory();
  const one = isDirectory ? undefined : await deviceAt(path, containerPath);
  const found = isDirectory ? await devicesBelow(path, containerPath) : one === undefined ? [] : [one];
  if (found.length === 0) refuse(`${hostPath} is no device`);
  return found.map((each) => ({ device: each, access: permissions === "" ? "rwm" : permissions }));
}

function ruleOf({ type, major, minor }: OciDevice, access: string): OciDeviceRule {
  return { allow: true, type, major, minor, access };
}

async function devicesBelow(directory: string, seenAt: string): Promise<OciDevice[]> {
  const found: OciDevice[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (notHost.has(entry.name)) continue;
    const [path, seen] = [join(directory, entry.name), join(seenAt, entry.name)];
    if (entry.isDirectory()) found.push(...(await devicesBelow(path, seen)));
    if (!entry.isBlockDevice() && !entry.isCharacterDevice()) continue;
    const device = await deviceAt(path, seen);
    if (device !== undefined) found.push(device);
  }
  return found;
}

/** Undefined for what is none, and for one that has gone meanwhile. */
async function deviceAt(path: string, seenAt: string): Promise<OciDevice | undefined> {
  const stats = await lstat(path).catch((thrown: unknown) => {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  });
  if (stats === undefined || !(stats.isBlockDevice() || stats.isCharacterDevice())) return undefined;
  const { rdev, mode, uid, gid } = stats;
  const type = stats.isBlockDevice() ? "b" : "c";
  return { type, path: seenAt, major: majorOf(rdev), minor: minorOf(rdev), fileMode: mode & 0o7777, uid, gid };
}

/** makedev(3): 12 bits of the major number and 20 of the minor are what Linux uses. */
function majorOf(rdev: number): number {
  return (rdev >>> 8) & 0xfff;
}

function minorOf(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
}
