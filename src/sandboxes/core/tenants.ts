/** Whose sandboxes count in which quota. */
import { RuntimeError } from "../../base/errors.js";
import type { SandboxesConfig, TenantConfig } from "../../config/sandboxes.js";

/** What one sandbox takes of its tenant's quota. */
export interface Taken {
  readonly vcpus: number;
  readonly memoryMib: number;
}

const minuteMs = 60_000;

export function tenantConfig(
  tenant: string,
  { tenants, everyone }: Pick<SandboxesConfig, "tenants" | "everyone">,
): TenantConfig {
  return (Object.hasOwn(tenants, tenant) ? tenants[tenant] : undefined) ?? everyone;
}

/** Throws `resourceExhausted` where one more would be too much; `there` are those of the tenant. */
export function checkQuota(tenant: string, wanted: Taken, there: readonly Taken[], config: SandboxesConfig): void {
  const quota = tenantConfig(tenant, config);
  const sum = (of: (one: Taken) => number): number => there.reduce((all, one) => all + of(one), 0);
  const rows = [
    ["sandboxes", there.length, 1, quota.sandboxes],
    ["vcpus", sum(({ vcpus }) => vcpus), wanted.vcpus, quota.vcpus],
    ["memory_mib", sum(({ memoryMib }) => memoryMib), wanted.memoryMib, quota.memoryMib],
  ] as const;
  for (const [name, used, more, most] of rows) {
    if (most === 0 || used + more <= most) continue;
    const figures = `${String(used)} of ${String(most)} are used, ${String(more)} more ${more === 1 ? "is" : "are"} wanted`;
    throw new RuntimeError("resourceExhausted", `quota ${name} of ${tenant}: ${figures}`, {
      hint: `end a sandbox, or raise ${name} in [sandboxes.quota] or [sandboxes.tenants.${tenant}]`,
    });
  }
}

/** Of whom something counts, and what. */
export interface Counted extends Taken {
  readonly id: string;
  readonly tenant: string;
}

/** What tenants have and what is about to be theirs: of two that ask at once each finds the other counted. */
export class Quotas {
  readonly #config: SandboxesConfig;
  /** Begun, and perhaps without a record yet. */
  readonly #begun = new Map<string, Counted>();

  constructor(config: SandboxesConfig) {
    this.#config = config;
  }

  /** Counts one more until `give`; `there` are the tenant's records. `resourceExhausted` where it would be too much. */
  take(wanted: Counted, there: readonly Counted[]): void {
    const recorded = new Set(there.map(({ id }) => id));
    const begun = [...this.#begun.values()].filter(({ id, tenant }) => tenant === wanted.tenant && !recorded.has(id));
    checkQuota(wanted.tenant, wanted, [...there, ...begun], this.#config);
    this.#begun.set(wanted.id, wanted);
  }

  /** It has its record, or is not made: success when it is not known. */
  give(id: string): void {
    this.#begun.delete(id);
  }
}

/** How often each tenant has begun to make a sandbox. Of this daemon's time alone. */
export class Starts {
  readonly #config: SandboxesConfig;
  readonly #nowMs: () => number;
  readonly #of = new Map<string, number[]>();

  constructor(config: SandboxesConfig, nowMs: () => number) {
    this.#config = config;
    this.#nowMs = nowMs;
  }

  /** Counts one more; `resourceExhausted` where that is too much for a minute. */
  take(tenant: string): void {
    const most = tenantConfig(tenant, this.#config).startsAMinute;
    if (most === 0) return;
    const now = this.#nowMs();
    this.#dropOld(now);
    const times = this.#of.get(tenant) ?? [];
    if (times.length >= most) {
      const waitMs = (times[0] ?? now) + minuteMs - now;
      throw new RuntimeError("resourceExhausted", `quota starts_a_minute of ${tenant}: ${String(most)} are used`, {
        hint: `try again in ${String(Math.ceil(waitMs / 1000))} s`,
      });
    }
    times.push(now);
    this.#of.set(tenant, times);
  }

  #dropOld(now: number): void {
    for (const [tenant, times] of this.#of) {
      const kept = times.filter((at) => now - at < minuteMs);
      if (kept.length === 0) this.#of.delete(tenant);
      else this.#of.set(tenant, kept);
    }
  }
}
