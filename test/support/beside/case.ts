import type { Pod } from "../pods.js";
import type { Side, SideName } from "./bed.js";
import { runContainer, type Wish } from "./container.js";
import type { Seen } from "./seen.js";

/** `A3S_BESIDE=all`: cases that boot a Box of their own have one. */
export const skipsBoxes = process.env["A3S_BESIDE"] !== "all";

/** A line of the table: the same asked of each side. */
export interface Case {
  readonly name: string;
  /** `pod`: the side's, which all cases share. */
  readonly see: (side: Side, pod: Pod) => Promise<Seen>;
  /** Of ours, both unless given. */
  readonly sides?: readonly Exclude<SideName, "containerd">[];
}

/** One container of the shared pod, from its creation to its end. */
export function container(name: string, wish: Wish): Case {
  return { name, see: (side, pod) => runContainer(side, pod, wish) };
}
