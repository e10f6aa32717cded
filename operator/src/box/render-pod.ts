/** The pod of an A3sBox: pure, from what is wanted to what the API server is told. */
import { canonical, type Json, type JsonObject } from "../kube/json.js";
import { hashAnnotation, hashOf, labelsOf, mainContainer, metadataOf, type Identity } from "./names.js";
import { presets, skillsDirectory } from "./presets.js";
import { resourcesOf, skillMount, workspacePath } from "./render-parts.js";
import { sidecarAnnotations, sidecarContainer, sidecarVolumes } from "./render-sidecar.js";
import { skillSources } from "./skills.js";
import type { BoxSpec, CodingAgent } from "./spec.js";

const socketDirectory = "/var/run/a3s";
/** Stays until it is told to end. */
const wait = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"];

export interface PodOptions {
  /** What `cri` runs in where the A3sBox names none. */
  readonly runtimeClassName: string;
  /** Of the sidecar. */
  readonly runtimeImage: string;
}

export interface Rendered {
  readonly metadata: JsonObject;
  readonly spec: JsonObject;
  readonly hash: string;
}

export type SkillKeys = ReadonlyMap<string, readonly string[]>;

/** The RuntimeClass that its pod asks for; undefined for the cluster's own. */
export function runtimeClassOf(spec: BoxSpec, options: PodOptions): string | undefined {
  return spec.runtimeClassName ?? (spec.mode === "cri" ? options.runtimeClassName : undefined);
}

/** With the version as its tag, where it says none. */
export function imageOf({ image, codingAgent }: BoxSpec): string {
  const last = image.slice(image.lastIndexOf("/") + 1);
  const version = codingAgent?.version;
  return version === undefined || /[:@]/.test(last) ? image : `${image}:${version}`;
}

export function renderPod(identity: Identity, spec: BoxSpec, keys: SkillKeys, options: PodOptions): Rendered {
  const body = podSpec(identity, spec, keys, options);
  const hash = podHash(spec, options);
  return { hash, spec: body, metadata: metadataOf(identity, identity.name, annotationsOf(spec, hash)) };
}

/** Labels and annotations of a pod that somebody else makes. */
export function podTemplateMetadata(identity: Identity, spec: BoxSpec, hash: string): JsonObject {
  return { labels: labelsOf(identity), annotations: annotationsOf(spec, hash) };
}

/**
 * Of what the owner has written, not of what is made of it: neither a newer operator nor one more file of a skill ends an agent
 * that is at work.
 */
export function podHash(spec: BoxSpec, options: PodOptions): string {
  const { mode, codingAgent, image, secret, providers, skills, memory, cpus, workspace } = spec;
  const agent = codingAgent === undefined ? null : { ...codingAgent, version: codingAgent.version ?? null };
  const parts: Json[] = [
    ...[mode, image, secret ?? null, providers, memory ?? null, cpus ?? null, runtimeClassOf(spec, options) ?? null],
    agent === null ? null : { ...agent, prompt: agent.prompt ?? null },
    skills.map(({ name, configMap }) => ({ name, configMap })),
    workspace !== undefined,
  ];
  return hashOf(canonical(parts));
}

function annotationsOf(spec: BoxSpec, hash: string): JsonObject {
  const { mode, providers } = spec;
  const agent = configuredByNode(spec);
  return {
    ...{ [hashAnnotation]: hash, "kubectl.kubernetes.io/default-container": mainContainer },
    ...(mode === "cri" && providers.length > 0 ? { "a3s.dev/llm": providers.join(",") } : {}),
    ...(agent === undefined ? {} : { "a3s.dev/agent": agent }),
    ...(mode === "sidecar" ? sidecarAnnotations(spec) : {}),
  };
}

/** The kind of agent that the node's runtime tells of its models and its skills: it alone knows what those providers are. */
function configuredByNode({ mode, codingAgent, providers }: BoxSpec): string | undefined {
  const kind = codingAgent?.kind ?? "";
  return mode === "cri" && providers.length > 0 && presets.has(kind) ? kind : undefined;
}

function podSpec(identity: Identity, spec: BoxSpec, keys: SkillKeys, options: PodOptions): JsonObject {
  const { mode, codingAgent } = spec;
  const runtimeClassName = runtimeClassOf(spec, options);
  return {
    ...(runtimeClassName === undefined ? {} : { runtimeClassName }),
    // It works on its prompt once; what waits for people stays.
    restartPolicy: codingAgent?.prompt === undefined ? "Always" : "Never",
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    ...(mode === "sidecar" ? { initContainers: [sidecarContainer(spec, options.runtimeImage)] } : {}),
    containers: [agentContainer(spec)],
    volumes: volumesOf(identity, spec, keys),
  };
}

function agentContainer(spec: BoxSpec): JsonObject {
  const { mode, codingAgent, skills } = spec;
  const command = codingAgent === undefined ? [] : commandOf(codingAgent);
  return {
    ...{ name: mainContainer, image: imageOf(spec), workingDir: workspacePath },
    ...(command.length === 0 ? {} : { command }),
    env: environmentOf(spec),
    // Beside a runtime its limits are that one's, where the Boxes are.
    ...(mode === "sidecar" ? {} : resourcesOf(spec)),
    ...(mode === "cri" ? {} : { securityContext: { allowPrivilegeEscalation: false } }),
    volumeMounts: [
      { name: "workspace", mountPath: workspacePath },
      ...(skills.length === 0 ? [] : skillPaths(codingAgent).map((mountPath) => skillMount(mountPath))),
      ...(mode === "daemonset" ? [{ name: "a3s-box", mountPath: socketDirectory }] : []),
    ],
  };
}

function commandOf({ kind, prompt, command }: CodingAgent): readonly string[] {
  // kubelet puts a variable's value in place of $(NAME), and $ of $$: a prompt is what its owner has written.
  const task = prompt?.replaceAll("$", "$$$$");
  if (command.length > 0) return task === undefined ? command : [...command, task];
  const preset = presets.get(kind);
  if (task === undefined || preset === undefined) return wait;
  // A list of things to do, say, begins as options do.
  return [...preset.task, task.startsWith("-") ? `\n${task}` : task];
}

function environmentOf(spec: BoxSpec): readonly Json[] {
  const { mode, codingAgent, skills } = spec;
  const endpoint = {
    sidecar: "tcp://localhost:4088",
    daemonset: `unix://${socketDirectory}/a3s-box.sock`,
    cri: undefined,
  };
  const value = endpoint[mode];
  const isTold = skills.length > 0 && configuredByNode(spec) === undefined;
  const told = isTold ? presets.get(codingAgent?.kind ?? "")?.skillsEnvironment : {};
  return [
    ...(codingAgent === undefined ? [] : [{ name: "A3S_CODING_AGENT", value: codingAgent.kind }]),
    ...(value === undefined ? [] : [{ name: "A3S_BOX_ENDPOINT", value }]),
    ...Object.entries(told ?? {}).map(([name, text]) => ({ name, value: text })),
  ];
}

function skillPaths(agent: CodingAgent | undefined): readonly string[] {
  return [skillsDirectory, ...(presets.get(agent?.kind ?? "")?.skills ?? [])];
}

function volumesOf({ name }: Identity, spec: BoxSpec, keys: SkillKeys): readonly Json[] {
  const { mode, workspace, skills, secret } = spec;
  return [
    workspace === undefined
      ? { name: "workspace", emptyDir: {} }
      : { name: "workspace", persistentVolumeClaim: { claimName: workspaceClaim(name) } },
    ...(skills.length === 0 ? [] : [{ name: "skills", projected: { sources: skillSources(skills, keys) } }]),
    ...(mode === "sidecar" && secret !== undefined ? sidecarVolumes(secret) : []),
    ...(mode === "daemonset" ? [{ name: "a3s-box", hostPath: { path: socketDirectory, type: "Directory" } }] : []),
  ];
}

export function workspaceClaim(name: string): string {
  return `${name}-workspace`;
}
