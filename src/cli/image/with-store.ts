import { closedDirectory } from "../../base/closed-directory.js";
import { createLogger } from "../../base/log.js";
import { type ConfigFlags, loadConfig } from "../../config/load.js";
import type { ImageStore } from "../../image/image-store.js";
import { openImageStore } from "../../image/open-image-store.js";
import { loadNative } from "../../native/addon.js";

/** Opens the store of the root directory; a daemon that serves from it sees the change at once (ADR 0020). */
export async function withStore<T>(flags: ConfigFlags, use: (store: ImageStore) => Promise<T>): Promise<T> {
  const config = await loadConfig(flags);
  process.umask(0o022);
  const log = createLogger("warn");
  const { native } = loadNative(config.assets.dir);
  await closedDirectory(config.root);
  const store = await openImageStore({ config, log, native });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

export function untilInterrupted(): AbortSignal {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => {
      interrupted.abort();
    });
  }
  return interrupted.signal;
}
