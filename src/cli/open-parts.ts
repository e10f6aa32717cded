import type { PodId } from "../base/ids.js";
import type { Logger } from "../base/log.js";
import { SharedWork } from "../base/shared-work.js";
import type { Config } from "../config/config.js";
import type { Deps } from "../cri/deps.js";
import { DevicePlugin } from "../device-plugin/device-plugin.js";
import { containerRecords, podRecords } from "../cri/records/kinds.js";
import { openImageStore } from "../image/open-image-store.js";
import { Metrics } from "../metrics/metrics.js";
import { EgressKeeper } from "../net/egress/keeper.js";
import { Networks } from "../net/networks.js";
import { ContainerStore } from "../runtime/container/container-store.js";
import { PodContainers } from "../runtime/container/pod-containers.js";
import { ContainerEvents } from "../runtime/events/container-events.js";
import { PodStore } from "../runtime/pod/pod-store.js";
import { ServedPorts } from "../runtime/served-ports/served-ports.js";
import { PodSkills } from "../runtime/skills/pod-skills.js";
import { serveStreaming } from "../streaming/server.js";
import { probeKvm } from "../vmm/probe.js";
import { type BoxFactoryOptions, openBoxFactory } from "../vmm/open-box-factory.js";
import { poolOptions } from "./pool-options.js";
import { knownModels, knownRegistries } from "./metrics-endpoint.js";

/** All parts, on the directories of the config; whoever opens them has locked those. */
export async function openParts(
  config: Config,
  log: Logger,
  native: Deps["native"],
  closing: AbortSignal,
): Promise<Deps> {
  const metrics = new Metrics(knownRegistries(config), knownModels(config));
  const [images, boxes, sandboxes] = await Promise.all([
    openImageStore({ config, log, native, pullObserver: metrics.pulls }),
    openBoxFactory({
      ...boxOptions(config, log, native),
      pool: { ...poolOptions(config), observer: metrics.pool },
      closing,
      started: metrics.boxes.started.bind(metrics.boxes),
    }),
    PodStore.open(config, log, podRecords),
  ]);
  const networks = new Networks(config.cni, log);
  const egress = new EgressKeeper(native, log);
  const parts = { config, log, native, images, boxes, networks, egress, sandboxes, events: new ContainerEvents() };
  const containers = await ContainerStore.open(parts, containerRecords);
  const streaming = await serveStreaming(config.streaming, log);
  const podContainers = new PodContainers(containers);
  const sandboxCreations = new SharedWork<string, PodId>({ outlivesCallers: true });
  const services = { servedPorts: new ServedPorts(log, closing), skills: new PodSkills() };
  const devicePlugin = devicePluginOf(config, log, metrics);
  const made = { containers, podContainers, streaming, metrics, sandboxCreations, devicePlugin, closing };
  return { ...parts, ...made, ...services };
}

function devicePluginOf({ assets, devicePlugin: config }: Config, log: Logger, metrics: Metrics): Deps["devicePlugin"] {
  if (!config.enabled) return undefined;
  return new DevicePlugin({ config, log, figures: metrics.devicePlugin, selfTest: () => probeKvm(assets.dir) });
}

function boxOptions(config: Config, log: Logger, native: Deps["native"]): BoxFactoryOptions {
  const { assets, driver, native: pods, qemu, root, sandbox, state } = config;
  const { bootTimeoutMs, healthTimeoutMs, containerRuntime } = sandbox;
  const ofHandlers = Object.values(config.handlers).flatMap((handler) => handler.driver ?? []);
  const moreDrivers = config.hostNamespaces === "native" ? [...ofHandlers, "native" as const] : ofHandlers;
  const limits = {
    bootTimeoutMs,
    healthTimeoutMs,
    cgroups: { manager: config.cgroup.driver, everywhere: config.cgroup.outlivesContainer },
  };
  const templates = sandbox.start === "template";
  const common = { templates, state, layers: root, assetsDir: assets.dir, native, log, ...limits, containerRuntime };
  return {
    ...common,
    driver,
    moreDrivers,
    ...(sandbox.bootTemplates === undefined ? {} : { templatesDirectory: sandbox.bootTemplates }),
    ...(qemu.binary === undefined ? {} : { qemuBinary: qemu.binary }),
    ...(pods.runc === undefined ? {} : { runcBinary: pods.runc }),
  };
}
