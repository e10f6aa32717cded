import { parseArgs, type ParseArgsConfig } from "node:util";
import { messageOf, RuntimeError } from "../base/errors.js";

/** Exit statuses of the command line. */
export const exitStatus = {
  ok: 0,
  /** It was tried and failed, or `check` found something missing that is needed. */
  failed: 1,
  /** The command line is wrong: nothing was tried. */
  usage: 2,
} as const;

export type FlagTable = Readonly<Record<string, { readonly type: "string" | "boolean"; readonly short?: string }>>;

export interface Command {
  /** Words before the flags: "image import". */
  readonly name: string;
  /** Flags and arguments, for the usage line. */
  readonly synopsis: string;
  /** One line for the overview. */
  readonly about: string;
  /** More for `--help`: flags, a line each. */
  readonly details: readonly string[];
  /** Of one whose flags end at the first word that is none, since what follows is a program's own: those flags. */
  readonly flagsBeforeProgram?: () => Promise<FlagTable>;
  /** Resolves to the exit status. */
  readonly run: (args: string[]) => Promise<number>;
}

/** A command line that can't be meant; ends with status 2 and a pointer to `--help`. */
export function usageError(message: string): RuntimeError {
  return new RuntimeError("invalidArgument", message, { stage: "usage" });
}

/** `util.parseArgs`, strict, with its complaints as usage errors. */
export function parseFlags<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs<T>(config);
  } catch (thrown) {
    throw usageError(messageOf(thrown));
  }
}

/**
 * Flags end at the first word that is none: what follows the image or the sandbox is the program's own, "-c" included. Which
 * flags take a value is known from their table.
 */
export function splitAtFirstWord(
  args: readonly string[],
  options: FlagTable,
): { readonly flags: string[]; readonly words: string[] } {
  const takesValue = (flag: string): boolean => {
    if (flag.includes("=")) return false;
    const found = flag.startsWith("--")
      ? options[flag.slice(2)]
      : Object.values(options).find(({ short }) => short === flag.at(-1));
    return found?.type === "string";
  };
  let at = 0;
  for (; at < args.length; at += 1) {
    const word = args[at] ?? "";
    if (word === "--") return { flags: args.slice(0, at), words: args.slice(at + 1) };
    if (!word.startsWith("-") || word === "-") break;
    if (takesValue(word)) at += 1;
  }
  return { flags: args.slice(0, at), words: args.slice(at) };
}

/** Flags that choose the daemon's directories; `serve` and `image` have them. */
export const configFlags = {
  config: { type: "string" },
  root: { type: "string" },
  state: { type: "string" },
  listen: { type: "string" },
  driver: { type: "string" },
  network: { type: "string" },
} as const;

export const configFlagDetails: readonly string[] = [
  "--config FILE   TOML configuration (default /etc/a3s-box/config.toml where it exists)",
  "--root DIR      what outlives a reboot: images, records (default /var/lib/a3s-box)",
  "--state DIR     sockets and running Boxes (default /run/a3s-box)",
  "--listen URL    where CRI is served (default unix://<state>/cri.sock)",
  "--driver NAME   auto, krun or qemu (default auto)",
  "--network NAME  cni, or loopback for pods without a network (default cni)",
];

export function print(text: string): void {
  process.stdout.write(text);
}
