/** Skills for coding agents, as the engine has them: a part of the daemon brings them to containers, and registers itself here. */
import type { PodId } from "../../base/ids.js";
import type { Box } from "../../vmm/box.js";
import type { ContainerSpec } from "../container/container-spec.js";
import type { Pod } from "../pod/pod.js";

/** A directory of the host. Nothing that is read of it is outside of `within`, by no link. */
export interface SkillSource {
  readonly within: string;
  readonly path: string;
}

/** One that is there, or what was found in its place. */
export interface SkillFact {
  /** Of a broken one: its directory's. */
  readonly name: string;
  readonly description?: string;
  /** Why it is not there. */
  readonly problem?: string;
  /** The directory of the host that it comes from. */
  readonly from: string;
}

export interface SkillsService {
  /** The container with its skills among its mounts. Throws `invalidArgument`. */
  extend(pod: Pod, spec: ContainerSpec, signal: AbortSignal): Promise<ContainerSpec>;
  /** A pod of before the daemon: its skills are followed again. */
  takeUp(pod: Pod, box: Box): void;
  list(pod: PodId): readonly SkillFact[];
}

/** Nobody has any until a service is registered. */
export class PodSkills implements SkillsService {
  #service: SkillsService | undefined;

  /** Before pods are made or taken up. */
  register(service: SkillsService): void {
    this.#service = service;
  }

  async extend(pod: Pod, spec: ContainerSpec, signal: AbortSignal): Promise<ContainerSpec> {
    return (await this.#service?.extend(pod, spec, signal)) ?? spec;
  }

  takeUp(pod: Pod, box: Box): void {
    this.#service?.takeUp(pod, box);
  }

  list(pod: PodId): readonly SkillFact[] {
    return this.#service?.list(pod) ?? [];
  }
}
