import { execFile } from "node:child_process";
import { join } from "node:path";
import { messageOf } from "../base/errors.js";
import { isThere } from "../base/is-there.js";
import { printable } from "./console.js";

const probeLimitMs = 5000;

export interface KvmVerdict {
  readonly usable: boolean;
  /** One line: "KVM self-test passed", "unusable: KVM_EXIT_INTERNAL_ERROR suberror (1)". */
  readonly reason: string;
}

/** Path of the launcher below the assets. */
export function launcherPath(assetsDir: string): string {
  return join(assetsDir, "bin", "a3s-box-launcher");
}

export function libkrunPath(assetsDir: string): string {
  return join(assetsDir, "lib", "libkrun.so.1");
}

/**
 * Runs a tiny guest in a child process: a `/dev/kvm` that opens may still be unable to run a kernel (docs/adr, "KVM
 * self-test"). A crash, silence, or anything but status 0 is "unusable".
 */
export async function probeKvm(assetsDir: string): Promise<KvmVerdict> {
  const launcher = launcherPath(assetsDir);
  if (!(await isThere("/dev/kvm"))) return { usable: false, reason: "there is no /dev/kvm" };
  if (!(await isThere(launcher))) return { usable: false, reason: `${launcher} is not built` };
  return await probeWith(launcher);
}

/** The verdict of a program that is called as the launcher is. */
export async function probeWith(launcher: string): Promise<KvmVerdict> {
  return await new Promise((resolve) => {
    const options = { timeout: probeLimitMs, killSignal: "SIGKILL", maxBuffer: 64 * 1024 } as const;
    execFile(launcher, ["probe"], options, (error, stdout) => {
      const said = printable(stdout).trim().split("\n").at(-1) ?? "";
      if (error === null) resolve({ usable: true, reason: "KVM self-test passed" });
      else resolve({ usable: false, reason: `KVM self-test failed: ${said === "" ? messageOf(error) : said}` });
    });
  });
}
