/** One provider of the configuration, with all that is kept of it while the daemon runs. */
import type { Logger } from "../base/log.js";
import { monotonicMs } from "../base/clock.js";
import type { ProxySettings } from "../base/proxy.js";
import type { LlmConfig } from "../config/llm.js";
import { Quota } from "./limits/quota.js";
import { ProviderKey } from "./upstream/key.js";
import { Upstream, type UpstreamTimes } from "./upstream/upstream.js";

/** As OpenTelemetry calls them; who speaks as OpenAI does is told by the server's address. */
const wellKnown = { anthropic: "anthropic", openai: "openai", gemini: "gcp.gemini" } as const;

export class Provider {
  readonly config: LlmConfig;
  readonly key: ProviderKey;
  readonly upstream: Upstream;
  readonly quota: Quota;

  constructor(config: LlmConfig, proxies: ProxySettings, times: UpstreamTimes, log: Logger) {
    this.config = config;
    this.key = new ProviderKey(config, log);
    this.upstream = new Upstream(config, proxies, times, log);
    this.quota = new Quota(config, monotonicMs);
  }

  get wellKnownName(): string {
    return wellKnown[this.config.kind];
  }
}
