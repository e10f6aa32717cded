/** What to do about it, for the reasons that people meet. */

const byReason: ReadonlyMap<string, string> = new Map([
  ["ImagePullBackOff", "is spec.image right, and may the node pull it?"],
  ["ErrImagePull", "is spec.image right, and may the node pull it?"],
  ["InvalidImageName", "spec.image is no name of an image"],
  ["CrashLoopBackOff", "kubectl logs --previous shows what the agent said"],
  ["CreateContainerError", "kubectl describe pod shows what the node said"],
  ["CreateContainerConfigError", "kubectl describe pod shows what the node said"],
]);

const byText: readonly (readonly [RegExp, string])[] = [
  [
    /devices\.kubevirt\.io\/kvm/,
    "mode sidecar needs nodes with KVM and a device plugin that offers it: docs/guide/device-plugin.md",
  ],
  [/violates PodSecurity/, "this mode needs a namespace whose pod security level allows it"],
  [/exceeded quota/, "raise the namespace's ResourceQuota, or ask for less in spec.resources"],
  [/node affinity|node\(s\) didn't match/, "no node fits: does one have the runtime of the RuntimeClass?"],
];

/** The message with what to do behind it, where that is known. */
export function withAdvice(reason: string, message: string): string {
  const advice = byReason.get(reason) ?? byText.find(([pattern]) => pattern.test(message))?.[1];
  return advice === undefined ? message : `${message.replace(/[.\s]+$/, "")}: ${advice}`;
}
