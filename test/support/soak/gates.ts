/** What a soak must show at its end. Pure. */

export interface Sample {
  /** Since the soak's start. */
  readonly atMs: number;
  readonly daemonKib: number;
  /** The Box that lives through it all: VMM and file server together. */
  readonly witnessKib: number;
}

export interface Outcome {
  readonly samples: readonly Sample[];
  /** From then on the daemon was left alone, and its memory means something. */
  readonly calmFromMs: number;
  readonly lives: number;
  /** A line each. */
  readonly failures: readonly string[];
  /** What the machine has that it had not at the start, and the other way round. */
  readonly leftovers: readonly string[];
  readonly descriptorsAtStart: number;
  readonly descriptorsAtEnd: number;
}

export interface Gate {
  readonly name: string;
  readonly passed: boolean;
  readonly detail: string;
}

/** More than this of what was there at first, and that many KiB besides, is growth and not noise. */
const daemonGrowth = { share: 0.1, kib: 32 * 1024 };
const witnessGrowth = { share: 0.25, kib: 24 * 1024 };
/** A connection or two may be opening. */
const descriptorSlack = 8;

export function gatesOf(outcome: Outcome): Gate[] {
  const { lives, failures, leftovers, descriptorsAtStart, descriptorsAtEnd } = outcome;
  const calm = outcome.samples.filter(({ atMs }) => atMs >= outcome.calmFromMs);
  return [
    {
      name: "everything that should succeed did",
      passed: failures.length === 0 && lives > 0,
      detail: `${lives} lives, ${failures.length} failures`,
    },
    growthGate(
      "memory of the daemon",
      calm.map(({ daemonKib }) => daemonKib),
      daemonGrowth,
    ),
    growthGate(
      "memory of a Box",
      outcome.samples.map(({ witnessKib }) => witnessKib),
      witnessGrowth,
    ),
    {
      name: "descriptors of the daemon",
      passed: descriptorsAtEnd <= descriptorsAtStart + descriptorSlack,
      detail: `${descriptorsAtStart} at the start, ${descriptorsAtEnd} at the end`,
    },
    { name: "nothing left, nothing lost", passed: leftovers.length === 0, detail: `${leftovers.length} differences` },
  ];
}

/** The middle of the second fifth against that of the last: the first is warming up. */
function growthGate(name: string, kib: readonly number[], allowed: { share: number; kib: number }): Gate {
  const fifth = Math.floor(kib.length / 5);
  const early = median(kib.slice(fifth, 2 * fifth));
  const late = median(kib.slice(-fifth));
  if (fifth === 0 || early === undefined || late === undefined) {
    return { name, passed: false, detail: `${kib.length} samples are too few` };
  }
  const passed = late <= early * (1 + allowed.share) + allowed.kib;
  return { name, passed, detail: `${mib(early)} MiB early, ${mib(late)} MiB late` };
}

function median(of: readonly number[]): number | undefined {
  return [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)];
}

function mib(kib: number): string {
  return (kib / 1024).toFixed(1);
}
