/**
 * What a container executes: arguments, environment, working directory.
 * Source: CRI ContainerConfig (command, args, envs, working_dir); OCI image spec, config "Entrypoint", "Cmd", "Env".
 */
import { RuntimeError } from "../../base/errors.js";
import type { ImageConfig } from "../../image/image-store.js";
import type { ContainerSpec } from "../container/container-spec.js";

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A command replaces both Entrypoint and Cmd; arguments alone replace Cmd. */
export function processArgs(spec: ContainerSpec, image: ImageConfig): string[] {
  const command = spec.command.length > 0 ? spec.command : image.entrypoint;
  const keepCmd = spec.command.length === 0 && spec.args.length === 0;
  const args = [...command, ...(keepCmd ? image.cmd : spec.args)];
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
  /** What the pod has for its containers, where neither they nor their images say otherwise. */
  readonly ofPod?: Readonly<Record<string, string>>;
}

/**
 * Defaults, what the pod has for all of its containers, then the image's, then the container's; of one name the last wins, in the place of the first, and a name of the
 * image's without a value unsets it, as with containerd. HOME only where nobody set it.
 */
export function processEnv(spec: ContainerSpec, image: ImageConfig, input: EnvInput): string[] {
  const byName = new Map<string, string>();
  const put = (assignment: string): void => {
    byName.set(assignment.split("=", 1)[0] ?? "", assignment);
  };
  put(defaultPath);
  if (input.terminal) put("TERM=xterm");
  put(`HOSTNAME=${input.hostname}`);
  for (const [name, value] of Object.entries(input.ofPod ?? {})) put(`${name}=${value}`);
  for (const assignment of image.env) {
    if (assignment.includes("=")) put(assignment);
    else byName.delete(assignment);
  }
  for (const variable of spec.env) put(assignmentOf(variable));
  if (!byName.has("HOME")) put(`HOME=${input.home}`);
  return [...byName.values()];
}

/** Absolute, "/" when nobody set one. The agent makes it when it is missing. */
export function workingDirectory(spec: ContainerSpec, image: ImageConfig): string {
  if (spec.workingDir === "") return image.workingDir.startsWith("/") ? image.workingDir : `/${image.workingDir}`;
  refuseNul(spec.workingDir, "working_dir");
  if (!spec.workingDir.startsWith("/")) {
    throw new RuntimeError("invalidArgument", `working_dir "${spec.workingDir}" is not an absolute path`);
  }
  return spec.workingDir;
}

export function assignmentOf({ name, value }: ContainerSpec["env"][number]): string {
  if (name === "" || name.includes("=")) {
    throw new RuntimeError("invalidArgument", `"${name}" is not a name for an environment variable`);
  }
  refuseNul(name, "the name of an environment variable");
  refuseNul(value, `the value of environment variable ${name}`);
  return `${name}=${value}`;
}

export function refuseNul(text: string, what: string): void {
  if (text.includes("\0")) throw new RuntimeError("invalidArgument", `${what} contains a NUL byte`);
}
