import { join } from "node:path";
import type { Logger } from "../base/log.js";
import type { Config } from "../config/config.js";
import type { Native } from "../native/addon.js";
import type { ImageStore, PullObserver } from "./image-store.js";
import { proxyFromEnvironment } from "../base/proxy.js";
import { openStore } from "./store/open-store.js";

export interface ImageStoreParts {
  readonly config: Pick<Config, "root" | "assets" | "image">;
  readonly log: Logger;
  readonly native: Native;
  readonly pullObserver?: PullObserver;
}

/** First wait before a failed request to a registry is repeated. */
const retryDelayMs = 500;

/** The image store in the config's root directory. Several processes may have it open. */
export async function openImageStore({ config, log, native, pullObserver }: ImageStoreParts): Promise<ImageStore> {
  return await openStore({
    directory: join(config.root, "images"),
    native,
    assetsDir: config.assets.dir,
    log,
    pullObserver,
    pinned: config.image.pinned,
    defaultRegistry: config.image.defaultRegistry,
    registry: {
      hostsDirs: config.image.hostsDirs,
      plainHttp: config.image.plainHttp,
      logins: config.image.auth,
      dockerConfig: config.image.dockerConfig,
      proxies: proxyFromEnvironment(process.env),
      stallMs: config.image.stallTimeoutMs,
      retryDelayMs,
    },
  });
}
