import type { Logger } from "../base/log.js";
import type { Config } from "../config/config.js";
import type { ImageStore } from "../image/image-store.js";
import type { Native } from "../native/addon.js";
import type { EgressKeeper } from "../net/egress/keeper.js";
import type { Networks } from "../net/networks.js";
import type { BoxFactory } from "../vmm/box.js";
import type { ContainerEvents } from "./events/container-events.js";
import type { PodStore } from "./pod/pod-store.js";

/** What a store of the runtime is opened with. */
export interface StoreParts {
  readonly config: Config;
  readonly log: Logger;
  readonly native: Native;
  readonly images: ImageStore;
  readonly boxes: BoxFactory;
  readonly networks: Networks;
  readonly egress: EgressKeeper;
  readonly sandboxes: PodStore;
  readonly events: ContainerEvents;
}
