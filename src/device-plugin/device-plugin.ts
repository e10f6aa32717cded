/**
 * Offers kubelet this node's KVM under the name that KubeVirt's plugin has for it, and steps aside where that one is. kubelet
 * knows a resource by its name alone: of two plugins the newest counts, and when either's connection ends so does that of the
 * newest, and the resource is gone. So this one registers only where nobody else does, once, and while another is in its place
 * it keeps still and leaves its connection as it is.
 */
import { join } from "node:path";
import { monotonicMs } from "../base/clock.js";
import { messageOf, RuntimeError } from "../base/errors.js";
import { isThere } from "../base/is-there.js";
import type { Logger } from "../base/log.js";
import { orAborted } from "../base/or-aborted.js";
import { sleep, stage } from "../base/stage.js";
import type { DevicePluginConfig } from "../config/device-plugin.js";
import type { DevicePluginFigures } from "../metrics/device-plugin-figures.js";
import { KvmHealth, type Verdict } from "./kvm-health.js";
import { changed, lookAround, type Seen } from "./look-around.js";
import { PluginService } from "./plugin-service.js";
import { register } from "./register.js";
import { kubeletSocket, ownSocket, placeIds, resourceName, usualDevices } from "./resource.js";
import { servePlugin, type ServedPlugin } from "./serve-plugin.js";

export interface DevicePluginOptions {
  readonly config: Omit<DevicePluginConfig, "enabled">;
  readonly log: Logger;
  readonly figures: DevicePluginFigures;
  /** Whether a guest runs here. */
  readonly selfTest: () => Promise<Verdict>;
  /** Of the node, for each container with the resource; those that are not there are left out, but for the first. */
  readonly devices?: readonly string[];
  readonly times?: DevicePluginTimes;
}

export interface DevicePluginTimes {
  /** The directory is looked at as often, and whenever something changes in it. */
  readonly lookMs: number;
  /** For kubelet's answer, and then for its question for the devices. */
  readonly answerMs: number;
  /** A guest is run as often. */
  readonly testEveryMs: number;
  /** Between two tries, at the most. */
  readonly retryMs: number;
}

const usualTimes: DevicePluginTimes = { lookMs: 1000, answerMs: 10_000, testEveryMs: 300_000, retryMs: 30_000 };

export type DevicePluginState = "waiting for kubelet" | "registered" | "aside for KubeVirt" | "failing";

/** For Status and whoever else asks. */
export interface DevicePluginFacts {
  readonly resource: string;
  readonly state: DevicePluginState;
  readonly healthy: number;
  readonly unhealthy: number;
  /** Of the devices' health; where registering fails, of that. */
  readonly reason: string;
}

interface Served {
  readonly kubelet: string;
  readonly service: PluginService;
  readonly plugin: ServedPlugin;
  /** Of kubelet's question for the devices. */
  readonly life: { readonly asked: Promise<void>; hasEnded: boolean };
}

export class DevicePlugin {
  readonly #options: DevicePluginOptions;
  readonly #times: DevicePluginTimes;
  readonly #health: KvmHealth;
  #state: DevicePluginState = "waiting for kubelet";
  #failure: string | undefined;
  #served: Served | undefined;
  #kubeVirtSeenMs: number | undefined;
  #wake = new AbortController();

  constructor(options: DevicePluginOptions) {
    this.#options = options;
    this.#times = options.times ?? usualTimes;
    const { config, log, selfTest } = options;
    const [device = ""] = this.#devices;
    const { chmodKvm } = config;
    this.#health = new KvmHealth({ device, chmodKvm, selfTest, testEveryMs: this.#times.testEveryMs, log });
  }

  get #devices(): readonly string[] {
    return this.#options.devices ?? usualDevices;
  }

  get facts(): DevicePluginFacts {
    const { count } = this.#options.config;
    const { usable, reason } = this.#health.verdict;
    const healthy = usable ? count : 0;
    return {
      resource: resourceName,
      state: this.#state,
      healthy,
      unhealthy: count - healthy,
      reason: this.#failure ?? reason,
    };
  }

  /** Until the signal is aborted; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const isOver = (): boolean => signal.aborted;
    let failures = 0;
    try {
      while (!isOver()) {
        this.#wake = new AbortController();
        try {
          await this.#turn(signal);
          failures = 0;
          this.#failure = undefined;
        } catch (thrown) {
          if (isOver()) return;
          failures += 1;
          this.#failed(messageOf(thrown));
        }
        const ms = Math.min(this.#times.retryMs, this.#restMs() * 2 ** Math.min(failures, 10));
        await changed(this.#options.config.directory, ms, this.#wake.signal, signal).catch(() => undefined);
        // What fails at once, and changes the directory by its trying, is not tried at once again.
        if (failures > 0) await sleep(this.#restMs(), signal).catch(() => undefined);
      }
    } finally {
      this.#close();
    }
  }

  /** KubeVirt's socket is asked by connecting to it: no more often than it takes. */
  #restMs(): number {
    const { lookMs } = this.#times;
    return this.#state === "aside for KubeVirt" ? Math.max(lookMs, this.#options.config.takeoverMs / 10) : lookMs;
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { directory, takeoverMs } = this.#options.config;
    const hasChanged = await this.#health.look();
    const seen = await lookAround(directory, signal);
    if (seen.kubeVirt) this.#kubeVirtSeenMs = monotonicMs();
    const goneMs = this.#kubeVirtSeenMs === undefined ? Number.POSITIVE_INFINITY : monotonicMs() - this.#kubeVirtSeenMs;
    if (seen.kubeVirt || goneMs < takeoverMs) {
      this.#is("aside for KubeVirt");
      return;
    }
    if (seen.kubelet === undefined) {
      this.#close();
      this.#is("waiting for kubelet");
      return;
    }
    if (await this.#isRegistered(seen)) {
      if (hasChanged) this.#served?.service.tell();
      this.#tellFigures();
      return;
    }
    this.#kubeVirtSeenMs = undefined;
    await this.#register(seen.kubelet, signal);
  }

  /** With this kubelet, by a socket that is still there, and without anybody having been in its place since. */
  async #isRegistered({ kubelet }: Seen): Promise<boolean> {
    const served = this.#served;
    if (served === undefined || this.#state !== "registered") return false;
    return !served.life.hasEnded && served.kubelet === kubelet && (await served.plugin.isThere());
  }

  async #register(kubelet: string, signal: AbortSignal): Promise<void> {
    const { config, figures, log } = this.#options;
    const { answerMs, lookMs } = this.#times;
    const before = this.#served;
    this.#close();
    // The end of a connection takes whichever is the resource's when kubelet comes to it: not the new one.
    if (before?.kubelet === kubelet && !before.life.hasEnded) await sleep(lookMs, signal);
    try {
      const served = await this.#serve(kubelet);
      this.#served = served;
      await register(join(config.directory, kubeletSocket), answerMs, signal);
      await stage("wait for kubelet's question", answerMs, signal, (limited) => orAborted(served.life.asked, limited));
    } catch (thrown) {
      figures.registration("failed");
      this.#close();
      throw thrown;
    }
    figures.registration("ok");
    log.info({ resource: resourceName, devices: config.count, healthy: this.facts.healthy }, "registered with kubelet");
    this.#is("registered");
  }

  async #serve(kubelet: string): Promise<Served> {
    const { config, figures } = this.#options;
    let watched: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => {
      watched = resolve;
    });
    const life = { asked, hasEnded: false };
    const service = new PluginService({
      ...{ ids: placeIds(config.count), watched, verdict: () => this.#health.verdict },
      devices: () => present(this.#devices),
      allocated: (containers) => {
        figures.allocated(containers);
      },
      left: () => {
        life.hasEnded = true;
        this.#wake.abort();
      },
    });
    const plugin = await servePlugin(join(config.directory, ownSocket), service);
    return { kubelet, service, plugin, life };
  }

  #is(state: DevicePluginState): void {
    if (state === "aside for KubeVirt" && this.#state !== state) {
      this.#options.log.info({ resource: resourceName }, "KubeVirt's device plugin offers it; stepping aside");
    }
    this.#state = state;
    this.#tellFigures();
  }

  #failed(why: string): void {
    const isNew = this.#failure !== why;
    this.#failure = why;
    if (isNew) this.#options.log.warn({ resource: resourceName, err: why }, "could not register with kubelet");
    this.#is("failing");
  }

  #tellFigures(): void {
    const { figures } = this.#options;
    const { state, healthy, unhealthy } = this.facts;
    figures.registered(state === "registered");
    figures.devices({ healthy, unhealthy });
  }

  #close(): void {
    const served = this.#served;
    this.#served = undefined;
    served?.plugin.close();
    if (this.#state === "registered") this.#is("waiting for kubelet");
  }
}

/** The first is needed; the others are given where they are. */
async function present([first, ...others]: readonly string[]): Promise<string[]> {
  if (first === undefined || !(await isThere(first))) {
    throw new RuntimeError("failedPrecondition", `there is no ${first ?? "device"}`, {
      hint: "a3s-box-cri-runtime check on the node says what to do",
    });
  }
  const found: string[] = [first];
  for (const path of others) if (await isThere(path)) found.push(path);
  return found;
}
