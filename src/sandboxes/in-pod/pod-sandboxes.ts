import { RuntimeError } from "../../base/errors.js";
import type { PodId } from "../../base/ids.js";
import type { Logger } from "../../base/log.js";
import type { Container } from "../../runtime/container/container.js";
import type { Deps } from "../../runtime/deps.js";
import type { Pod } from "../../runtime/pod/pod.js";
import type { SkillFact } from "../../runtime/skills/pod-skills.js";
import { audited } from "../core/audit.js";
import type { Caller } from "../core/caller.js";
import type { Files } from "../core/file.js";
import { sandboxName } from "../core/names.js";
import type { Processes } from "../core/process.js";
import type { Page, SandboxName, SandboxView } from "../core/sandbox.js";
import type { Sandboxes } from "../core/sandboxes.js";
import { mountsOf, userOf } from "../core/specs.js";
import { watchedFiles, watchedProcesses, type Watch } from "../core/watched.js";
import { chooseContainer } from "./choose-container.js";
import type { PodInsides } from "./pod-insides.js";

export interface OpenPod {
  readonly pod: Pod;
  readonly insides: PodInsides;
}

/**
 * The containers of pods, as the protocols know sandboxes: a caller's tenant is its pod, a sandbox's name a container's. None
 * is made here, and none ends.
 */
export class PodSandboxes implements Sandboxes {
  readonly #engine: Deps;
  readonly #log: Logger;
  readonly #pods = new Map<string, OpenPod>();

  constructor(engine: Deps, log: Logger) {
    this.#engine = engine;
    this.#log = log;
  }

  add(open: OpenPod): void {
    this.#pods.set(open.pod.id, open);
  }

  remove(id: PodId): void {
    this.#pods.delete(id);
  }

  all(): readonly OpenPod[] {
    return [...this.#pods.values()];
  }

  get(caller: Caller, id: string): SandboxView {
    return viewOf(this.#require(caller, id));
  }

  list(caller: Caller): Page<SandboxView> {
    return { items: [viewOf(this.#require(caller, undefined))] };
  }

  processes(caller: Caller, id: string): Processes {
    const { open, container } = this.#require(caller, id);
    return watchedProcesses(open.insides.of(container, "made").processes, this.#watch(caller, container));
  }

  files(caller: Caller, id: string): Files {
    const { open, container } = this.#require(caller, id);
    return watchedFiles(open.insides.of(container, "made").files, this.#watch(caller, container));
  }

  skills(caller: Caller, id: string): readonly SkillFact[] {
    return this.#engine.skills.list(this.#require(caller, id).open.pod.id);
  }

  held(): never {
    throw notHere();
  }
  async create(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async extend(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async end(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async logs(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async pause(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async resume(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async setEgress(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async egress(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async usage(): Promise<never> {
    return await Promise.reject(notHere());
  }
  async connectPort(): Promise<never> {
    return await Promise.reject(notHere());
  }

  /** By the name of a container, or by what a view of it has as its id. */
  #require({ tenant }: Caller, id: string | undefined): { readonly open: OpenPod; readonly container: Container } {
    const open = this.#pods.get(tenant);
    if (open === undefined) throw new RuntimeError("unavailable", "the pod has ended");
    const containers = this.#engine.containers
      .listOf(open.pod.id)
      .sort((a, b) => (a.record.createdAtNs < b.record.createdAtNs ? -1 : 1));
    const known = containers.find((one) => idOf(one) === id);
    return { open, container: chooseContainer(open.pod, containers, known?.spec.name ?? id) };
  }

  #watch(caller: Caller, { spec }: Container): Watch {
    return {
      audited: (deed, work) => audited(this.#log, caller, { ...deed, sandbox: spec.name }, work),
      begin: () => () => undefined,
      used: (work) => work(),
    };
  }
}

function idOf({ id }: Container): SandboxName {
  const name = sandboxName(id.slice(0, 20));
  if (name === undefined) throw new RuntimeError("internal", "a container's id is none");
  return name;
}

function viewOf({ open: { pod }, container }: { readonly open: OpenPod; readonly container: Container }): SandboxView {
  const { spec, record } = container;
  return {
    ...{ id: idOf(container), tenant: pod.id, template: "", image: spec.image.name, command: record.process.args },
    ...{ state: "running", startedAtMs: Number((record.startedAtNs ?? 0n) / 1_000_000n) },
    endsAtMs: Number.POSITIVE_INFINITY,
    ...{ vcpus: pod.record.size?.vcpus ?? 0, memoryMib: pod.record.size?.memoryMib ?? 0, diskMib: 0 },
    env: Object.fromEntries(spec.env.map(({ name, value }) => [name, value])),
    ...{
      user: userOf(spec),
      workingDir: record.process.cwd,
      mounts: mountsOf(spec, pod.id),
      metadata: pod.spec.labels,
    },
    ...{ network: pod.record.network === undefined ? "none" : "pod", atEnd: "end", endsWithOwner: false },
    ...{ accessToken: "", podId: pod.id, containerId: container.id },
  };
}

function notHere(): RuntimeError {
  return new RuntimeError("unimplemented", "a pod's own ports are about that pod alone");
}
