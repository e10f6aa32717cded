/** AppArmor profiles of containers, as their kernels take them: where they are on the host (docs/adr/0146). */
import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isNotFound, messageOf, RuntimeError } from "../../base/errors.js";
import { namesIn } from "../../base/names-in.js";
import { stage } from "../../base/stage.js";
import type { Box } from "../../vmm/box.js";
import type { Boundary } from "../boundary/boundary.js";
import { defaultApparmorProfile } from "../spec/apparmor.js";
import type { ContainerSpec } from "./container-spec.js";
import { stepLimitMs } from "./limits.js";

/** As the agent has it. */
const maxPolicyBytes = 1024 * 1024;
/** Each with `name` and, where the kernel keeps them, `raw_data`: what it was loaded from. */
const loadedProfiles = "/sys/kernel/security/apparmor/policy/profiles";
/** What a file's name may be without leading elsewhere. */
const fileName = /^[A-Za-z0-9_@%+=:,-][A-Za-z0-9_@%+=:,.-]*$/;
const nothing = new Uint8Array();

export interface ApparmorPlaces {
  /** Where the set-up has put the compiled profile of RuntimeDefault. */
  readonly assetsDir: string;
  /** Compiled profiles for what the host's kernel has not; undefined: none. */
  readonly directory: string | undefined;
  /** Who asks for nothing has RuntimeDefault, where its kernel can. */
  readonly always: boolean;
  /** Of the host's kernel; elsewhere in tests. */
  readonly loaded?: string;
}

/** Whether profiles are applied, and why, for people. */
export interface ApparmorState {
  readonly profiles: "applied" | "refused" | "unknown";
  readonly reason: string;
}

export class ApparmorProfiles {
  readonly #places: ApparmorPlaces;
  readonly #loaded: string;
  #state: ApparmorState = { profiles: "unknown", reason: "no container has asked for a profile yet" };

  constructor(places: ApparmorPlaces) {
    this.#places = places;
    this.#loaded = places.loaded ?? loadedProfiles;
  }

  /** Of the last Box whose container had a profile. */
  get state(): ApparmorState {
    return this.#state;
  }

  /** The spec, with the profile that the configuration gives to who asks for none: as containerd, not to a privileged one. */
  async completed(spec: ContainerSpec, box: Box, signal: AbortSignal): Promise<ContainerSpec> {
    const { security } = spec;
    if (!this.#places.always || security.apparmor !== undefined || security.privileged) return spec;
    const { apparmor } = await stage("ask for AppArmor", stepLimitMs, signal, (limit) => box.agent.guest(limit));
    return apparmor ? { ...spec, security: { ...security, apparmor: { kind: "default" } } } : spec;
  }

  /**
   * What the kernel of the container is to load before it is made: nothing where it has the profile, or none is asked for.
   * `failedPrecondition` where it can't have any, `invalidArgument` where nobody has that one.
   */
  async policyFor(
    profile: string | undefined,
    box: Box,
    { placesSources }: Boundary,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    if (profile === undefined) return nothing;
    return await stage(`AppArmor profile ${JSON.stringify(profile)}`, stepLimitMs, signal, async (limit) => {
      await this.#requireKernel(box, limit);
      if (profile === defaultApparmorProfile) return await this.#defaultPolicy();
      const known = await this.#onHost(profile, placesSources);
      return known ?? (await this.#inDirectory(profile)) ?? this.#unknown(profile);
    });
  }

  async #requireKernel(box: Box, signal: AbortSignal): Promise<void> {
    const { apparmor, kernelRelease } = await box.agent.guest(signal);
    const whose = box.handle.driver === "native" ? "the host's kernel" : "the guest's kernel";
    if (apparmor) {
      this.#state = { profiles: "applied", reason: `${whose} ${kernelRelease} has AppArmor` };
      return;
    }
    const reason = `${whose} ${kernelRelease} has no AppArmor, or the pod is of an earlier version`;
    this.#state = { profiles: "refused", reason };
    throw new RuntimeError("failedPrecondition", reason, {
      hint: "leave the AppArmor profile unset or Unconfined, or give guests the kernel of npm run setup -- kernel",
    });
  }

  async #defaultPolicy(): Promise<Uint8Array> {
    const path = join(this.#places.assetsDir, "apparmor", defaultApparmorProfile);
    try {
      return await bounded(path);
    } catch (cause) {
      throw new RuntimeError("failedPrecondition", messageOf(cause), { hint: "run the set-up again", cause });
    }
  }

  /** As whoever runs the node has loaded it; nothing for a container that has the host's kernel. */
  async #onHost(profile: string, isGuest: boolean): Promise<Uint8Array | undefined> {
    for (const entry of await namesIn(this.#loaded)) {
      const place = join(this.#loaded, entry);
      const name = await readFile(join(place, "name"), "utf8").catch(() => ""); // unloaded meanwhile
      if (name.trimEnd() !== profile) continue;
      if (!isGuest) return nothing;
      try {
        return await bounded(join(place, "raw_data"));
      } catch (thrown) {
        if (isNotFound(thrown)) return undefined; // a kernel that does not keep them
        throw thrown;
      }
    }
    return undefined;
  }

  async #inDirectory(profile: string): Promise<Uint8Array | undefined> {
    const { directory } = this.#places;
    if (directory === undefined || !fileName.test(profile)) return undefined;
    try {
      return await bounded(join(directory, profile));
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw new RuntimeError("invalidArgument", messageOf(thrown), { cause: thrown });
    }
  }

  #unknown(profile: string): never {
    const { directory } = this.#places;
    const other = directory === undefined ? "" : `, or put it, compiled, into ${directory}`;
    throw new RuntimeError("invalidArgument", `the node has no profile ${JSON.stringify(profile)}`, {
      hint: `load it on the node with apparmor_parser${other}`,
    });
  }
}

/** A whole file, or an error that names it. */
async function bounded(path: string): Promise<Uint8Array> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(maxPolicyBytes + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
    length += bytesRead;
    if (bytesRead === 0) break;
    if (length > maxPolicyBytes)
      throw new RuntimeError("invalidArgument", `${path}: larger than ${maxPolicyBytes} bytes`);
  }
  if (length === 0) throw new RuntimeError("invalidArgument", `${path} is empty`);
  return new Uint8Array(buffer.subarray(0, length));
}
