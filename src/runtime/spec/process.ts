/**
 * What a container executes: arguments, environment, working folder.
 * Source: CRI ContainerConfig (command, args, envs, working_dir); OCI image spec, config "Entrypoint", "Cmd", "Env".
 */
import { RuntimeError } from "../../base/errors.js";
import type { ContainerConfig, KeyValue } from "../../gen/runtime/v1/api.js";
import type { ImageConfig } from "../../image/image-store.js";

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A command replaces both Entrypoint and Cmd; arguments alone replace Cmd. */
export function processArgs(config: ContainerConfig, image: ImageConfig): string[] {
  const command = config.command.length > 0 ? config.command : image.entrypoint;
  const keepCmd = config.command.length === 0 && config.args.length === 0;
  const args = [...command, ...(keepCmd ? image.cmd : config.args)];
  if (args.length === 0 || args[0] === "") {
    throw new RuntimeError("invalidArgument", "no command specified", {
      hint: "set a command: neither the container nor its image has one",
    });
  }
  for (const [index, arg] of args.entries()) refuseNul(arg, `argument ${index}`);
  return args;
}

export interface EnvInput {
  readonly hostname: string;
  readonly home: string;
  readonly terminal: boolean;
}

/**
 * Defaults, then the image's, then the container's; of one name the last wins, in the place of the first, and a name of the
 * image's without a value unsets it, as with containerd. HOME only where nobody set it.
 */
export function processEnv(config: ContainerConfig, image: ImageConfig, input: EnvInput): string[] {
  const byName = new Map<string, string>();
  const put = (assignment: string): void => {
    byName.set(assignment.split("=", 1)[0] ?? "", assignment);
  };
  put(defaultPath);
  if (input.terminal) put("TERM=xterm");
  put(`HOSTNAME=${input.hostname}`);
  for (const assignment of image.env) {
    if (assignment.includes("=")) put(assignment);
    else byName.delete(assignment);
  }
  for (const pair of config.envs) put(assignmentOf(pair));
  if (!byName.has("HOME")) put(`HOME=${input.home}`);
  return [...byName.values()];
}

/** Absolute, "/" when nobody set one. The agent makes it when it is missing. */
export function workingFolder(config: ContainerConfig, image: ImageConfig): string {
  if (config.workingDir === "") return image.workingDir.startsWith("/") ? image.workingDir : `/${image.workingDir}`;
  refuseNul(config.workingDir, "working_dir");
  if (!config.workingDir.startsWith("/")) {
    throw new RuntimeError("invalidArgument", `working_dir "${config.workingDir}" is not an absolute path`);
  }
  return config.workingDir;
}

/** KeyValue.value is bytes in the contract, but the OCI spec is JSON and has text only. */
function assignmentOf(pair: KeyValue): string {
  if (pair.key === "" || pair.key.includes("=")) {
    throw new RuntimeError("invalidArgument", `"${pair.key}" is not a name for an environment variable`);
  }
  refuseNul(pair.key, "the name of an environment variable");
  let value: string;
  try {
    value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(pair.value);
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `the value of environment variable ${pair.key} is not UTF-8`, { cause });
  }
  refuseNul(value, `the value of environment variable ${pair.key}`);
  return `${pair.key}=${value}`;
}

export function refuseNul(text: string, what: string): void {
  if (text.includes("\0")) throw new RuntimeError("invalidArgument", `${what} contains a NUL byte`);
}
