/**
 * Capability sets. Source: CRI Capability; capabilities(7). Order: ALL first (added, then dropped), then the single
 * adds, then the single drops; so "drop ALL, add X" is X alone, "add ALL, drop X" all but X.
 */
import type { SecuritySpec } from "../container/container-spec.js";
import type { OciCapabilities } from "./oci.js";

/** capabilities(7) by number: CAP_CHOWN is 0, CAP_CHECKPOINT_RESTORE 40. */
export const allCapabilities: readonly string[] = [
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE",
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN",
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE",
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE",
]
  .join(" ")
  .split(" ")
  .map((name) => `CAP_${name}`);

/** What a container has that asks for nothing. */
export const defaultCapabilities: ReadonlySet<string> = new Set(
  (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL " +
    "AUDIT_WRITE"
  )
    .split(" ")
    .map((name) => `CAP_${name}`),
);

/** Names that the kernel does not know are left out. Inheritable and ambient stay empty unless ambient is asked for. */
export function capabilities({ privileged, capabilities: asked }: SecuritySpec): OciCapabilities {
  if (privileged) return sets(allCapabilities, []);
  const add = normalized(asked.add);
  const drop = normalized(asked.drop);
  const ambient = normalized(asked.ambient);
  let granted = new Set(defaultCapabilities);
  if (add.has("CAP_ALL")) granted = new Set(allCapabilities);
  if (drop.has("CAP_ALL")) granted = new Set();
  for (const name of [...add, ...ambient]) granted.add(name);
  for (const name of drop) granted.delete(name);
  return sets(
    allCapabilities.filter((name) => granted.has(name)),
    allCapabilities.filter((name) => granted.has(name) && ambient.has(name)),
  );
}

function sets(granted: readonly string[], ambient: readonly string[]): OciCapabilities {
  return { bounding: granted, effective: granted, permitted: granted, inheritable: ambient, ambient };
}

function normalized(names: readonly string[]): Set<string> {
  return new Set(names.map((name) => name.toUpperCase()).map((name) => prefixed(name)));
}

function prefixed(name: string): string {
  return name.startsWith("CAP_") ? name : `CAP_${name}`;
}
