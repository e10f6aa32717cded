/**
 * Devices of a guest that a container may ask for by the name that they have on any Linux. The host's own are on the other
 * side of the hardware boundary. Source: CRI Device; linux, Documentation/admin-guide/devices.txt.
 */
import { posix } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import type { ContainerSpec, DeviceSpec } from "../container/container-spec.js";
import type { OciDevice, OciDeviceRule } from "./oci.js";

/** Major and minor number; all of them are character devices. Whether the guest's kernel has one its agent knows. */
const known: Readonly<Record<string, readonly [number, number]>> = {
  "/dev/null": [1, 3],
  "/dev/zero": [1, 5],
  "/dev/full": [1, 7],
  "/dev/random": [1, 8],
  "/dev/urandom": [1, 9],
  "/dev/kmsg": [1, 11],
  "/dev/tty": [5, 0],
  "/dev/ptmx": [5, 2],
  "/dev/net/tun": [10, 200],
  "/dev/fuse": [10, 229],
  "/dev/loop-control": [10, 237],
};

const mode = 0o666;

export interface GuestDevices {
  readonly nodes: readonly OciDevice[];
  readonly rules: readonly OciDeviceRule[];
}

/** Throws `invalidArgument` for what no guest has. */
export function guestDevices({ devices }: Pick<ContainerSpec, "devices">): GuestDevices {
  const found = devices.map(guestDevice);
  return { nodes: found.map(({ node }) => node), rules: found.map(({ rule }) => rule) };
}

function guestDevice({ hostPath, containerPath, permissions }: DeviceSpec, index: number): GuestDevice {
  const what = `devices[${index}]`;
  const numbers = Object.hasOwn(known, hostPath) ? known[hostPath] : undefined;
  if (numbers === undefined) {
    throw new RuntimeError("invalidArgument", `${what}: device ${hostPath} of the host can't be given to a Box`, {
      hint: `use a RuntimeClass whose pods share the host's kernel; a Box has of its own ${Object.keys(known).join(", ")}`,
    });
  }
  if (!containerPath.startsWith("/") || containerPath.includes("\0") || posix.normalize(containerPath) === "/") {
    throw new RuntimeError("invalidArgument", `${what}: container_path is not an absolute path below /`);
  }
  if (!/^[rwm]*$/.test(permissions)) {
    throw new RuntimeError(
      "invalidArgument",
      `${what}: permissions "${permissions.slice(0, 20)}" are not of r, w and m`,
    );
  }
  const [major, minor] = numbers;
  const access = permissions === "" ? "rwm" : permissions;
  return {
    node: { type: "c", path: containerPath, major, minor, fileMode: mode, uid: 0, gid: 0 },
    rule: { allow: true, type: "c", major, minor, access },
  };
}

interface GuestDevice {
  readonly node: OciDevice;
  readonly rule: OciDeviceRule;
}
