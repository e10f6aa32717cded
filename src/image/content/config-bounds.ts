/**
 * What a config may have. Whoever wrote the image chose it, and each member costs the host something; an honest image stays
 * far below (docs/adr/0089).
 */
import { RuntimeError } from "../../base/errors.js";

/** Large honest ones have 100 KiB. What this runtime doesn't read, "ExposedPorts" above all, is bounded by it alone. */
export const maxConfigBytes = 1024 * 1024;
/** As many as a manifest may have layers. */
const maxLayers = 512;

/** Members below `config`: how many of each. */
const counts = {
  /** Each is a mount of its own on the host and in the guest, for every container. */
  Volumes: 64,
  /** Each goes to every process of a container; execve(2) takes 2 MiB of them and of arguments. */
  Env: 1024,
  Entrypoint: 1024,
  Cmd: 1024,
  Labels: 1024,
} as const;

/** Bytes of a member that is one text. */
const lengths = { User: 256, WorkingDir: 4096, StopSignal: 64 } as const;
/** PATH_MAX, limits.h. */
const maxPathBytes = 4096;
/** MAX_ARG_STRLEN, execve(2). */
const maxArgumentBytes = 128 * 1024;

/** Before anything walks through it. */
export function checkConfigBounds(json: unknown): void {
  const config = member(json, "config");
  for (const [name, most] of Object.entries(counts)) checkCount(`config.${name}`, member(config, name), most);
  for (const [name, most] of Object.entries(lengths)) checkLength(`config.${name}`, member(config, name), most);
  for (const name of ["Env", "Entrypoint", "Cmd"]) {
    for (const text of listOf(member(config, name))) checkLength(`an entry of config.${name}`, text, maxArgumentBytes);
  }
  for (const path of namesOf(member(config, "Volumes"))) checkLength("a path in config.Volumes", path, maxPathBytes);
  checkCount("rootfs.diff_ids", member(member(json, "rootfs"), "diff_ids"), maxLayers);
  // Layers, and steps that made none.
  checkCount("history", member(json, "history"), 2 * maxLayers);
}

function checkCount(what: string, value: unknown, most: number): void {
  const count = Array.isArray(value) ? value.length : namesOf(value).length;
  if (count > most) refuse(`has ${count} entries in ${what}, more than the ${most} that one may have`);
}

function checkLength(what: string, value: unknown, most: number): void {
  if (typeof value !== "string" || value.length <= most) return;
  refuse(`has ${value.length} characters in ${what}, more than the ${most} that it may have`);
}

function refuse(why: string): never {
  throw new RuntimeError("internal", `the image config ${why}`, {
    hint: "the image is built wrong, or to do harm: build it again with fewer",
  });
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const found: unknown = Object.getOwnPropertyDescriptor(value, name)?.value;
  return found;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function namesOf(value: unknown): readonly string[] {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
}
