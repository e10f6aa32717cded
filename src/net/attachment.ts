import * as z from "zod";
import { networkListSchema } from "./cni/network-list.js";
import { addressesOf, dnsOf, parseResult, type CniDns } from "./cni/result.js";

/** What a sandbox's record keeps of its network: all that DEL needs when the configuration has changed or gone. */
export const attachmentSchema = z.object({
  list: networkListSchema,
  interfaceName: z.string(),
  args: z.record(z.string(), z.string()),
  capabilities: z.record(z.string(), z.unknown()),
  /** What the last plugin that has run has answered; absent before the first. */
  result: z.record(z.string(), z.unknown()).optional(),
});

export type Attachment = Readonly<z.infer<typeof attachmentSchema>>;

/** Addresses without prefix lengths, IPv4 first; none before the network was joined. */
export function attachmentAddresses(attachment: Attachment | undefined): string[] {
  if (attachment?.result === undefined) return [];
  return addressesOf(parseResult(attachment.result), attachment.interfaceName);
}

/** Interfaces that plugins have made for the sandbox beside its own: their names. */
export function otherInterfaces({ result, interfaceName }: Attachment): string[] {
  if (result === undefined) return [];
  const inSandbox = (parseResult(result).interfaces ?? []).filter(({ sandbox }) => (sandbox ?? "") !== "");
  return inSandbox.map(({ name }) => name).filter((name) => name !== interfaceName && name !== "lo");
}

/** What the network says about name servers; undefined when it says nothing. */
export function attachmentDns(attachment: Attachment): CniDns | undefined {
  return attachment.result === undefined ? undefined : dnsOf(parseResult(attachment.result));
}

/**
 * Sysctls that the "tuning" plugin of the list sets. It sets them in the namespace, where nobody lives: the guest's kernel
 * is the one that has to have them.
 */
export function attachmentSysctls({ list, interfaceName }: Attachment): Record<string, string> {
  const found: Record<string, string> = {};
  for (const plugin of list.plugins.filter(({ type }) => type === "tuning")) {
    const parsed = z.record(z.string(), z.string()).safeParse(plugin["sysctl"]);
    for (const [name, value] of Object.entries(parsed.data ?? {})) {
      found[name.replaceAll("IFNAME", interfaceName).replaceAll("/", ".")] = value;
    }
  }
  return found;
}
