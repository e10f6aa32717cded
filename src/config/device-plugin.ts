/** What the configuration says of the device plugin: whether kubelet is offered this node's KVM for pods, and how. */
import { dayMs, directory, whole, type Setting, yesOrNo } from "./setting.js";

export interface DevicePluginConfig {
  readonly enabled: boolean;
  /** How many containers may have the device at a time. */
  readonly count: number;
  /** Absolute directory of kubelet's sockets for device plugins. */
  readonly directory: string;
  /** KubeVirt's plugin has to be gone for this long. */
  readonly takeoverMs: number;
  /** Let every user of the node open `/dev/kvm`. */
  readonly chmodKvm: boolean;
}

const most = 10_000;

export const devicePluginSettings = {
  "device_plugin.enabled": yesOrNo(
    false,
    "Offer kubelet the resource devices.kubevirt.io/kvm: /dev/kvm and /dev/net/tun for pods that have it in their limits.",
  ),
  "device_plugin.count": whole(1, most, 1000, "How many containers may have it at a time; KubeVirt's number."),
  "device_plugin.directory": directory(
    "/var/lib/kubelet/device-plugins",
    "Where kubelet listens for device plugins. It is the same wherever kubelet's root is.",
  ),
  "device_plugin.takeover_ms": whole(
    0,
    dayMs,
    30_000,
    "KubeVirt offers the same resource: where its plugin answers this one steps aside, until it has been gone for so long.",
  ),
  "device_plugin.chmod_kvm": yesOrNo(
    false,
    "Let every user of the node open /dev/kvm (mode 0666): what root of a pod with hostUsers: false needs.",
  ),
};

type Read = <T>(name: keyof typeof devicePluginSettings, setting: Setting<T>) => T;

export function devicePluginOf(read: Read): DevicePluginConfig {
  const own = devicePluginSettings;
  return {
    enabled: read("device_plugin.enabled", own["device_plugin.enabled"]),
    count: read("device_plugin.count", own["device_plugin.count"]),
    directory: read("device_plugin.directory", own["device_plugin.directory"]),
    takeoverMs: read("device_plugin.takeover_ms", own["device_plugin.takeover_ms"]),
    chmodKvm: read("device_plugin.chmod_kvm", own["device_plugin.chmod_kvm"]),
  };
}
