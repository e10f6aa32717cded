import type { Config } from "./config.js";

/** In the place of what is not for everybody who may see the rest. */
export const hidden = "(hidden)";

/** Names stay, credentials go. */
export function shownConfig(config: Config): unknown {
  return { ...config, image: { ...config.image, auth: hiddenValues(config.image.auth) } };
}

export function hiddenValues(of: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.keys(of).map((name) => [name, hidden]));
}
