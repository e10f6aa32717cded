import { classKey } from "../class-key.js";
import type { DriverName, MachineDriver } from "../driver-name.js";

export interface PoolSize {
  readonly vcpus: number;
  readonly memoryMib: number;
}

/** Boxes that are alike until they have a pod, and how many of them are wanted. */
export interface PoolClass extends PoolSize {
  readonly driver: MachineDriver;
  readonly count: number;
}

/** What a pod is to have. */
export interface PoolWish extends PoolSize {
  readonly driver: DriverName;
  /** Sizes that its handler has ready. */
  readonly among: readonly PoolSize[];
  /** Name of the tap in its network namespace; null: no interface but the loopback. */
  readonly tap: string | null;
  /** Its file server is to translate owners. */
  readonly mapsOwners: boolean;
  /** A larger Box does as well: nothing bounds what the pod may have. */
  readonly takesLarger: boolean;
}

/**
 * Why a pod whose handler has Boxes ready gets none of them. `broken`: it had one, which did not answer or could not be moved,
 * so that another one came up in its place.
 */
export const missReasons = ["driver", "users", "network", "size", "empty", "broken"] as const;
export type MissReason = (typeof missReasons)[number];

/** Those that would do, best first: the very size, then the smallest. Or why there is none. */
export function fitting(
  wish: PoolWish,
  classes: readonly PoolClass[],
  tap: string | null,
): readonly PoolClass[] | MissReason {
  const ofHandler = classes.filter((one) => one.driver === wish.driver && wish.among.some((size) => isSame(size, one)));
  if (ofHandler.length === 0) return "driver";
  if (wish.mapsOwners) return "users";
  if (wish.tap !== tap) return "network";
  const found = ofHandler.filter((one) => isSame(one, wish) || (wish.takesLarger && isLarger(one, wish)));
  if (found.length === 0) return "size";
  return found.sort((a, b) => a.memoryMib - b.memoryMib || a.vcpus - b.vcpus);
}

function isSame(one: PoolSize, other: PoolSize): boolean {
  return one.vcpus === other.vcpus && one.memoryMib === other.memoryMib;
}

function isLarger(one: PoolSize, than: PoolSize): boolean {
  return one.vcpus >= than.vcpus && one.memoryMib >= than.memoryMib;
}

/** Of several handlers' the same size is one class: nothing of a handler is in a Box before it has a pod. */
export function classesOf(wanted: readonly PoolClass[]): PoolClass[] {
  const classes = new Map<string, PoolClass>();
  for (const one of wanted) {
    const name = nameOf(one);
    classes.set(name, { ...one, count: one.count + (classes.get(name)?.count ?? 0) });
  }
  return [...classes.values()];
}

/** For figures and people. */
export function nameOf({ driver, vcpus, memoryMib }: Omit<PoolClass, "count">): string {
  return `${driver}-${String(vcpus)}x${String(memoryMib)}`;
}

/** What a Box's record says: one of another daemon's with another key is not like those that this one makes. */
export function keyOf(of: PoolClass, tap: string | null, identity: string): string {
  return classKey(nameOf(of), tap ?? "", identity);
}
