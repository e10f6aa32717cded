import { RuntimeError } from "../../../base/errors.js";
import { deviceMacOf } from "../../box-ids.js";
import { givenNumbers, kernelCommandLine, rootTag, type StartRequest } from "../driver.js";

export interface KrunPrograms {
  /** Absolute paths. */
  readonly launcher: string;
  readonly libkrun: string;
  readonly kernel: string;
}

/** Only `reboot=k` ends the VMM under KVM. */
const kernelParameters = ["reboot=k"] as const;

/** What the launcher is told: lines of `key=value`, launcher/config.h. */
export function launcherConfig(request: StartRequest, programs: KrunPrograms): string {
  const { spec, directory } = request;
  const values: [string, string][] = [
    ["libkrun", programs.libkrun],
    ["kernel", programs.kernel],
    ["cmdline", kernelCommandLine(kernelParameters, request)],
    ["vcpus", String(spec.vcpus)],
    ["memory_mib", String(spec.memoryMib)],
    ["share", String(givenNumbers.share)],
    ["base", String(givenNumbers.base)],
    ["tag", rootTag],
    ["console", directory.console],
    ["socket_directory", directory.sockets],
  ];
  if (request.userNamespace !== null) values.push(["userns", String(givenNumbers.userNamespace)]);
  if (spec.tap !== null) values.push(["tap", spec.tap], ["mac", deviceMacOf(spec.id)]);
  for (const [key, value] of values) {
    if (/[\n\0]/.test(value)) throw new RuntimeError("internal", `${key} of the launcher has a line break in it`);
  }
  return values.map(([key, value]) => `${key}=${value}\n`).join("");
}
