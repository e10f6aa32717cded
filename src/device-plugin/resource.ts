/** The resource, and the names that kubelet's directory has for who offers it. */

export const resourceName = "devices.kubevirt.io/kvm";
/** Of kubelet's contract. */
export const contractVersion = "v1beta1";
export const kubeletSocket = "kubelet.sock";
export const ownSocket = "a3s-box-kvm.sock";
/** Of KubeVirt's plugin, which offers the same resource. */
export const kubeVirtSocket = "kubevirt-kvm.sock";

/** What a container with the resource gets; the first is what it is about. */
export const usualDevices = ["/dev/kvm", "/dev/net/tun"] as const;

/** Names of places: KVM is one device, which many may have at a time. */
export function placeIds(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `kvm-${String(index)}`);
}
