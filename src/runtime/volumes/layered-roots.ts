/** Roots of containers that a Box's agent lays itself, over layers that are files of its share (docs/adr/0143). */
import { stage } from "../../base/stage.js";
import type { Box } from "../../vmm/box.js";
import { servesLayeredRoots } from "../../vmm/share/layout.js";
import type { Boundary } from "../boundary/boundary.js";
import { stepLimitMs } from "../container/limits.js";

export interface RootOwner {
  readonly box: Box;
  readonly boundary: Boundary;
  /** Of the pod, as its record has it. */
  readonly userNamespace: object | undefined;
}

/** How layers of images come into Boxes, and why, for people. */
export interface LayersState {
  readonly layers: "erofs" | "shared" | "unknown";
  readonly reason: string;
}

/** Whether a Box can have them: the kernel of its guest is what decides it. */
export class LayeredRoots {
  readonly #areWanted: boolean;
  #state: LayersState;

  constructor(wanted: "erofs" | "shared") {
    this.#areWanted = wanted === "erofs";
    this.#state = this.#areWanted
      ? { layers: "unknown", reason: "no guest has been asked yet whether its kernel mounts files" }
      : { layers: "shared", reason: 'sandbox.image_layers = "shared"' };
  }

  /** As the last Box that was asked has said. */
  get state(): LayersState {
    return this.#state;
  }

  /** A pod with a user namespace has what its file server shows it, which maps the owners. */
  async of({ box, boundary, userNamespace }: RootOwner, signal: AbortSignal): Promise<boolean> {
    if (!this.#areWanted || !boundary.placesSources || userNamespace !== undefined) return false;
    if (!servesLayeredRoots(box.handle.driver)) {
      this.#state = { layers: "shared", reason: `the driver ${box.handle.driver} has no file server for them` };
      return false;
    }
    const { layeredRoots, kernelRelease } = await stage("ask for layered roots", stepLimitMs, signal, (limit) =>
      box.agent.guest(limit),
    );
    this.#state = layeredRoots
      ? { layers: "erofs", reason: `the guest's kernel ${kernelRelease} mounts them` }
      : { layers: "shared", reason: `the guest's kernel ${kernelRelease} mounts no file as EROFS` };
    return layeredRoots;
  }
}
