/** Skills in containers: which they get, where they are mounted, and for how long they are followed. */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { closedDirectory } from "../../base/closed-directory.js";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { PodId } from "../../base/ids.js";
import { namesIn } from "../../base/names-in.js";
import type { Config } from "../../config/config.js";
import type { ContainerSpec, MountSpec } from "../../runtime/container/container-spec.js";
import type { Pod } from "../../runtime/pod/pod.js";
import type { PodStore } from "../../runtime/pod/pod-store.js";
import { skillsRoot, wantedSkills } from "../../runtime/skills/annotation.js";
import type { SkillFact, SkillsService, SkillSource } from "../../runtime/skills/pod-skills.js";
import type { Box } from "../../vmm/box.js";
import { skillsVariable } from "../presets/opencode.js";
import { skillsDirectory } from "../presets/preset.js";
import { placesOfSkills } from "../presets/presets.js";
import { SkillSet, type SetParts } from "./skill-set.js";
import { sourceOfVolume } from "./volume-source.js";

export interface AgentSkillsParts extends SetParts {
  readonly config: Pick<Config, "state" | "handlers">;
  readonly pods: Pick<PodStore, "find">;
}

/** Long enough for what is being written: a directory in memory. */
const endLimitMs = 20_000;

interface Sets {
  /** By what stands for the container's name. */
  readonly of: Map<string, SkillSet>;
  /** The Box has ended: none is added any more. */
  isOver: boolean;
}

export class AgentSkills implements SkillsService {
  readonly #parts: AgentSkillsParts;
  readonly #root: string;
  readonly #pods = new Map<PodId, Sets>();

  private constructor(parts: AgentSkillsParts) {
    this.#parts = parts;
    this.#root = join(parts.config.state, skillsRoot);
  }

  /** What earlier daemons have left of pods that are no more goes. */
  static async open(parts: AgentSkillsParts): Promise<AgentSkills> {
    const skills = new AgentSkills(parts);
    await closedDirectory(skills.#root);
    for (const pod of await namesIn(skills.#root)) {
      if (parts.pods.find(pod)?.id !== pod) await rm(join(skills.#root, pod), { recursive: true, force: true });
    }
    return skills;
  }

  async extend(pod: Pod, spec: ContainerSpec, signal: AbortSignal): Promise<ContainerSpec> {
    const wanted = wantedSkills(pod.spec, this.#parts.config.handlers[pod.spec.handler]);
    if (wanted.kind === "none") return spec;
    if (wanted.kind === "path") return withMountsAt(wanted.path, spec);
    const sources = wanted.kind === "directories" ? wanted.sources : volumesOf(spec.mounts, wanted.names, pod.spec.uid);
    if (sources.length === 0) return spec;
    const set = await this.#setOf(pod, spec.name, sources, signal);
    const mount = { ...plainMount, hostPath: set.mounted };
    return withSkills(spec, (containerPath) => ({ ...mount, containerPath }));
  }

  takeUp(pod: Pod, box: Box): void {
    const directory = join(this.#root, pod.id);
    const failed = (thrown: unknown): void => {
      this.#parts.log.warn({ sandboxId: pod.id, err: messageOf(thrown) }, "skills could not be taken up");
    };
    onItsOwn(async () => {
      for (const name of await namesIn(directory)) await this.#takeUpOne(pod, box, name).catch(failed);
    }).catch(failed);
  }

  /** Also one that can't be read just now is followed from then on: its container has it mounted. */
  async #takeUpOne(pod: Pod, box: Box, name: string): Promise<void> {
    const sets = this.#setsOf(pod.id, box);
    if (sets.of.has(name)) return;
    const set = await SkillSet.found(join(this.#root, pod.id, name), this.#ofPod(pod.id));
    if (sets.isOver || sets.of.has(name)) return; // meanwhile
    sets.of.set(name, set);
    await set.refresh(this.#parts.closing);
  }

  list(pod: PodId): readonly SkillFact[] {
    return [...(this.#pods.get(pod)?.of.values() ?? [])].flatMap(({ facts }) => facts);
  }

  async #setOf(pod: Pod, container: string, sources: readonly SkillSource[], signal: AbortSignal): Promise<SkillSet> {
    const sets = this.#setsOf(pod.id, await pod.liveBox(signal));
    const name = createHash("sha256").update(container).digest("hex").slice(0, 16);
    const known = sets.of.get(name);
    if (known?.hasSources(sources) === true) {
      await known.refresh(signal);
      return known;
    }
    const set = new SkillSet(join(this.#root, pod.id, name), sources, this.#ofPod(pod.id));
    sets.of.set(name, set);
    try {
      await known?.end(signal); // two would write to one directory
      await set.begin(signal);
    } catch (thrown) {
      set.close();
      if (sets.of.get(name) === set) sets.of.delete(name); // who asks again begins anew
      throw thrown;
    }
    return set;
  }

  /** Theirs is the Box's life: no container has them after that. */
  #setsOf(pod: PodId, box: Box): Sets {
    const known = this.#pods.get(pod);
    if (known !== undefined) return known;
    const sets: Sets = { of: new Map(), isOver: false };
    this.#pods.set(pod, sets);
    void onItsOwn(async () => {
      await box.exited;
      sets.isOver = true;
      this.#pods.delete(pod);
      try {
        const limit = AbortSignal.timeout(endLimitMs);
        await Promise.allSettled([...sets.of.values()].map((set) => set.end(limit)));
        await rm(join(this.#root, pod), { recursive: true, force: true });
      } catch (thrown) {
        this.#parts.log.warn({ sandboxId: pod, err: messageOf(thrown) }, "skills of a pod could not be removed");
      }
    });
    return sets;
  }

  #ofPod(pod: PodId): SetParts {
    const { native, log, closing } = this.#parts;
    return { native, closing, log: log.child({ sandboxId: pod }) };
  }
}

const plainMount: Omit<MountSpec, "hostPath" | "containerPath"> = {
  ...{ readonly: true, recursiveReadonly: false, propagation: "private", options: [], imageSubPath: "" },
  ...{ uidMappings: [], gidMappings: [], selinuxRelabel: false },
};

/** Those of the container's mounts that are volumes of these names. */
function volumesOf(mounts: readonly MountSpec[], names: readonly string[], podUid: string): SkillSource[] {
  const found = names.flatMap((name) => {
    const source = mounts
      .map(({ hostPath }) => sourceOfVolume(hostPath, name, podUid))
      .find((one) => one !== undefined);
    return source === undefined ? [] : [source];
  });
  return found;
}

/** What a container has mounted there already is its own matter, and a variable that it sets too. */
function withSkills(spec: ContainerSpec, mountAt: (path: string) => MountSpec, at = skillsDirectory): ContainerSpec {
  const taken = new Set(spec.mounts.map(({ containerPath }) => containerPath));
  const places = [skillsDirectory, ...placesOfSkills].filter((path) => !taken.has(path));
  const env = Object.entries(skillsVariable(at))
    .filter(([name]) => !spec.env.some((one) => one.name === name))
    .map(([name, value]) => ({ name, value }));
  return { ...spec, mounts: [...spec.mounts, ...places.map(mountAt)], env: [...spec.env, ...env] };
}

/** An image volume, or whatever a container has with skills in it: mounted once more where agents look, and read by nobody here. */
function withMountsAt(path: string, spec: ContainerSpec): ContainerSpec {
  const mount = spec.mounts.find(({ containerPath }) => containerPath === path);
  if (mount === undefined) return spec;
  if (mount.propagation !== "private") {
    throw new RuntimeError("invalidArgument", `skills at ${path}: the mount has mounts of the host that come and go`, {
      hint: "leave out its mountPropagation",
    });
  }
  return withSkills(spec, (containerPath) => ({ ...mount, containerPath, readonly: true }), path);
}
