/** What a caller asks for, checked, with what the template and the configuration say where the caller doesn't. Pure. */
import { posix } from "node:path";
import { planAgent, type PlannedAgent } from "../../agents/presets/presets.js";
import { skillsDirectory } from "../../agents/presets/preset.js";
import { RuntimeError } from "../../base/errors.js";
import type { LlmConfig } from "../../config/llm.js";
import { checkGranted } from "../../config/llm-grants.js";
import type { TemplateConfig } from "../../config/sandbox-templates.js";
import type { SandboxesConfig } from "../../config/sandboxes.js";
import { planEgress, type EgressSpec, type EgressWanted } from "../../net/egress/policy.js";
import { formatReference, parseReference } from "../../image/reference/reference.js";
import type { Caller, OwnerPod } from "./caller.js";
import { fits } from "../../base/patterns.js";
import type { SandboxMount, SandboxWanted } from "./sandbox.js";
import { tenantConfig } from "./tenants.js";

export interface SandboxPlan {
  readonly template: string;
  readonly image: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskMib: number;
  readonly diskBound: SandboxesConfig["diskBound"];
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workingDir: string;
  readonly mounts: readonly SandboxMount[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly network: "none" | "pod";
  readonly llm: readonly string[];
  /** Absent: it has none of its own. */
  readonly agent: PlannedAgent | undefined;
  /** Directories of the host; those of the caller have to be in one that the tenant may mount from. */
  readonly skills: { readonly trusted: boolean; readonly directories: readonly string[] };
  /** Absent: it is in no network, or the network decides. */
  readonly egress: EgressSpec | undefined;
  readonly lifeMs: number;
  readonly idleMs: number;
  readonly atEnd: "end" | "pause";
  readonly owner: OwnerPod | undefined;
  readonly startCommand: readonly string[];
  readonly readyCommand: readonly string[];
  readonly readyTimeoutMs: number;
}

/** Of an image that is named in place of a template. */
const plain: Omit<TemplateConfig, "image"> = {
  user: "",
  workingDir: "",
  startCommand: [],
  readyCommand: [],
  readyTimeoutMs: 60_000,
  env: {},
};

/** All names and values of one map together: they are in records, and in the environment of each process. */
const mostBytes = 262_144;
const mostMounts = 64;
const longestPath = 4096;
const longestUser = 256;

export interface PlanContext {
  readonly config: SandboxesConfig;
  /** Of image references that name none. */
  readonly defaultRegistry: string;
  /** Models' providers that there are. */
  readonly llm: readonly Pick<LlmConfig, "name" | "tenants" | "kind" | "models">[];
  /** Where they are for programs in a sandbox. */
  readonly gateway: string;
  /** Whom sandboxes ask for names: addresses that a Box can reach. */
  readonly nameServers: readonly string[];
}

/** Throws `invalidArgument`, `notFound` for a template, `permissionDenied` for what the tenant may not have. */
export function planSandbox(
  caller: Caller,
  wanted: SandboxWanted,
  { config, defaultRegistry, llm, gateway, nameServers }: PlanContext,
): SandboxPlan {
  const template = templateOf(caller, wanted.template, config, defaultRegistry);
  const models = wanted.llm ?? template.llm ?? [];
  checkGranted(models, caller.tenant, llm);
  const skills = skillsOf(wanted, template);
  const providers = models.flatMap((name) => llm.find((one) => one.name === name) ?? []);
  const box = { providers, gateway, skills: skills.directories.length === 0 ? undefined : skillsDirectory };
  const agent = agentOf(wanted.agent ?? template.agent, config, box);
  const env = { ...agent?.environment, ...template.env, ...wanted.env };
  checkEnv(env);
  checkWords("metadata", wanted.metadata);
  const user = wanted.user ?? template.user;
  if (user.length > longestUser || hasControls(user)) refuse("user", "is no name, id or user:group");
  const workingDir = wanted.workingDir ?? template.workingDir;
  if (workingDir !== "") checkPath("working directory", workingDir);
  checkMounts(wanted.mounts);
  return {
    template: wanted.template,
    image: template.image,
    vcpus: size("vcpus", wanted.vcpus ?? template.vcpus ?? config.vcpus, 1, config.maxVcpus),
    memoryMib: size("memory_mib", wanted.memoryMib ?? template.memoryMib ?? config.memoryMib, 256, config.maxMemoryMib),
    diskMib: size("disk_mib", wanted.diskMib ?? template.diskMib ?? config.diskMib, 16, config.maxDiskMib),
    diskBound: config.diskBound,
    ...{ env, user, workingDir, mounts: wanted.mounts, metadata: wanted.metadata },
    ...networkOf(wanted, template, config, nameServers),
    ...{ llm: models, agent, skills },
    lifeMs: checkLife(wanted.lifeMs ?? config.lifeMs, config),
    idleMs: size("idle time (ms)", wanted.idleMs ?? config.idleMs, 0, config.maxLifeMs),
    atEnd: wanted.atEnd ?? "end",
    owner: wanted.endsWithOwner === true ? ownerOf(caller) : undefined,
    startCommand: template.startCommand,
    readyCommand: template.readyCommand,
    readyTimeoutMs: template.readyTimeoutMs,
  };
}

function skillsOf({ skills }: SandboxWanted, template: TemplateConfig): SandboxPlan["skills"] {
  if (skills === undefined) return { trusted: true, directories: template.skills ?? [] };
  if (skills.length > mostMounts)
    refuse("skills", `are in ${String(skills.length)} directories`, `at most ${mostMounts}`);
  for (const directory of skills) checkPath("directory of skills", directory);
  return { trusted: false, directories: skills };
}

function agentOf(
  name: string | undefined,
  { agents }: SandboxesConfig,
  box: Parameters<typeof planAgent>[1],
): PlannedAgent | undefined {
  if (name === undefined || name === "") return undefined;
  const known = Object.hasOwn(agents, name) ? agents[name] : undefined;
  if (known !== undefined) return planAgent(known, box);
  throw new RuntimeError("notFound", `agent ${shown(name)} is not known`, {
    hint: `agents: ${Object.keys(agents).join(", ")}`,
  });
}

function networkOf(
  wanted: SandboxWanted,
  template: TemplateConfig,
  config: SandboxesConfig,
  nameServers: readonly string[],
): Pick<SandboxPlan, "network" | "egress"> {
  const network = wanted.network ?? template.network ?? config.network;
  if (network === "none") {
    if (wanted.egress !== undefined) refuse("egress", "has rules for a sandbox without a network");
    return { network, egress: undefined };
  }
  if (config.egress === "cni") {
    if (wanted.egress !== undefined) throw noEgress();
    return { network, egress: undefined };
  }
  if (wanted.egress !== undefined) {
    return { network, egress: egressOf(wanted.egress, config, nameServers) };
  }
  const usual = { allowOut: template.allowOut ?? config.allowOut, denyOut: template.denyOut ?? config.denyOut };
  // Whoever writes the configuration may open all of it.
  return { network, egress: planEgress(usual, { mayOpen: ["0.0.0.0/0", "::/0"], mayOpenNode: true, nameServers }) };
}

/** A client's rules, for a new sandbox and for one that runs. */
export function egressOf(wanted: EgressWanted, config: SandboxesConfig, nameServers: readonly string[]): EgressSpec {
  if (config.egress === "cni") throw noEgress();
  return planEgress(wanted, { mayOpen: config.mayOpen, mayOpenNode: config.mayOpenNode, nameServers });
}

function noEgress(): RuntimeError {
  return new RuntimeError("unimplemented", "egress rules are not kept to on this node: its network decides", {
    hint: 'sandboxes.egress = "enforced" has them',
  });
}

/** Of a new sandbox, and of one that is extended. */
export function checkLife(lifeMs: number, { maxLifeMs }: Pick<SandboxesConfig, "maxLifeMs">): number {
  return size("life time (ms)", lifeMs, 0, maxLifeMs);
}

function templateOf(caller: Caller, name: string, config: SandboxesConfig, defaultRegistry: string): TemplateConfig {
  const known = Object.hasOwn(config.templates, name) ? config.templates[name] : undefined;
  if (known !== undefined) return known;
  const { images } = tenantConfig(caller.tenant, config);
  const templates = Object.keys(config.templates);
  const hint = templates.length === 0 ? "no template is configured" : `templates: ${templates.join(", ")}`;
  if (images.length === 0 || name === "")
    throw new RuntimeError("notFound", `template ${shown(name)} is not known`, { hint });
  const reference = formatReference(parseReference(name, defaultRegistry));
  if (images.some((pattern) => fits(pattern, reference))) return { ...plain, image: name };
  throw new RuntimeError("permissionDenied", `image ${shown(reference)} may not be used by ${caller.tenant}`, { hint });
}

function ownerOf({ owner, name }: Caller): OwnerPod {
  if (owner !== undefined) return owner;
  throw new RuntimeError("invalidArgument", `a sandbox can't end with its owner: ${name} is no pod that is known`, {
    hint: "give it a life time instead",
  });
}

function size(what: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  return refuse(what, `${String(value)} is not allowed`, `a whole number from ${String(least)} to ${String(most)}`);
}

function checkEnv(env: Readonly<Record<string, string>>): void {
  checkWords("env", env);
  for (const name of Object.keys(env)) {
    if (name === "" || name.includes("=")) refuse("env", `${shown(name)} is no name of a variable`);
  }
}

function checkWords(what: string, words: Readonly<Record<string, string>>): void {
  let bytes = 0;
  for (const [name, value] of Object.entries(words)) {
    if (name.includes("\0") || value.includes("\0")) refuse(what, `${shown(name)} has a NUL byte in it`);
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  if (bytes > mostBytes) refuse(what, `has ${String(bytes)} bytes`, `at most ${String(mostBytes)}`);
}

function checkMounts(mounts: readonly SandboxMount[]): void {
  if (mounts.length > mostMounts) refuse("mounts", `are ${String(mounts.length)}`, `at most ${String(mostMounts)}`);
  for (const { hostPath, path } of mounts) {
    checkPath("path of a mount on the host", hostPath);
    checkPath("path of a mount", path);
    // What the kernel and the sandbox's own first process need is not a client's to cover.
    const [, top = ""] = posix.normalize(path).split("/");
    if (["", "dev", "proc", "sys"].includes(top)) refuse("path of a mount", `${shown(path)} is not allowed`);
  }
}

function checkPath(what: string, path: string): void {
  if (Buffer.byteLength(path) > longestPath || hasControls(path))
    refuse(what, "is too long, or has control characters");
  if (!path.startsWith("/")) refuse(what, `${shown(path)} is not absolute`);
  if (path.split("/").includes("..")) refuse(what, `${shown(path)} has ".." in it`);
}

function hasControls(text: string): boolean {
  return /[\u0000-\u001f\u007f]/.test(text);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 120));
}

function refuse(what: string, why: string, allowed?: string): never {
  throw new RuntimeError(
    "invalidArgument",
    `${what} ${why}`,
    allowed === undefined ? {} : { hint: `allowed: ${allowed}` },
  );
}
