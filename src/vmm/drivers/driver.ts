import type { SpawnedProcess } from "../../native/addon.js";
import type { BoxSpec, DriverName } from "../box.js";
import type { BoxFolder } from "../box-folder.js";
import type { ProcessRole } from "../box-processes.js";

export interface StartRequest {
  readonly spec: BoxSpec;
  /** Has its share; the driver adds sockets and logs. */
  readonly folder: BoxFolder;
  readonly cgroupProcs: readonly string[];
  /** Takes over each process as soon as it runs, and its pidfd with it. */
  readonly started: (role: ProcessRole, process: SpawnedProcess) => Promise<void>;
}

/** A VM that has been started. */
export interface StartedVm {
  /** Settles when dialling the agent makes sense; fails when the signal of `start` aborts before. */
  readonly dialable: Promise<void>;
}

/** What differs between the ways to make a Box. Both leave the agent to be dialled at `folder.agentSocket`. */
export interface Driver {
  readonly name: DriverName;
  /**
   * Starts the file server, where it is a process of its own, and the VMM. What has been started is the caller's to
   * kill, also when this fails half way. The signal lasts for the whole boot.
   */
  start(request: StartRequest, signal: AbortSignal): Promise<StartedVm>;
}

/** Descriptors that a VMM and its file server may hold: one for each cached inode of an overlay (virtiofsd's own limit). */
export const vmmMaxOpenFiles = 1_048_576;

/** Kernel parameters that every driver passes; the console and the way to reboot are the driver's. */
export const commonKernelParameters = [
  "rootfstype=virtiofs",
  "root=podroot",
  // Submounts inherit the flags of the mount they hang on: "ro" would make container roots read-only. The host keeps
  // the top read-only.
  "rw",
  "quiet",
  "panic=-1",
  "noreplace-smp",
  "selinux=0",
  "random.trust_cpu=on",
] as const;

/** Name of the virtio-fs device, the kernel's `root=`. */
export const rootTag = "podroot";

/** Agent binary in the guest. */
export const guestInit = "/base/bin/agent";
