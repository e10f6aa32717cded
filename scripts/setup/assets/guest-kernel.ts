/** Which kernel the guests of this checkout boot, and where it is (docs/adr/0130). */
import { messageOf, RuntimeError } from "../../../src/base/errors.js";
import type { SetupContext } from "../run.js";
import { kernel } from "./kernel.js";
import { ownKernel } from "./own-kernel.js";

/** The one that we build, or the one in a distribution's package. */
export type KernelName = "own" | "package";

export interface GuestKernel {
  readonly name: KernelName;
  /** With `vmlinux.elf`. */
  readonly directory: string;
}

type Recipe = (context: SetupContext) => Promise<string>;

const variable = "A3S_KERNEL";

/** What the person who sets up asks for; undefined leaves it to the set-up. */
export function askedKernel(environment: Readonly<Record<string, string | undefined>>): KernelName | undefined {
  const asked = environment[variable];
  if (asked === undefined || asked === "") return undefined;
  if (asked === "own" || asked === "package") return asked;
  throw new RuntimeError("invalidArgument", `${variable} is "${asked}"`, { hint: '"own" or "package", or nothing' });
}

/** What is named, else what is asked for, else `ours`: of tests and releases, which wait for a build (docs/adr/0144). */
export function wantedKernel(
  { kernel: named, ours = false }: { readonly kernel?: KernelName | undefined; readonly ours?: boolean },
  environment: Readonly<Record<string, string | undefined>>,
): KernelName | undefined {
  return named ?? askedKernel(environment) ?? (ours ? "own" : undefined);
}

/**
 * What was asked for. Else the package, which costs seconds, for as long as a suite serves it; once none does, ours, which
 * costs minutes and always can be built.
 */
export async function guestKernel(
  context: SetupContext,
  asked: KernelName | undefined,
  recipes: Readonly<Record<KernelName, Recipe>> = { own: ownKernel, package: kernel },
): Promise<GuestKernel> {
  if (asked !== undefined) return { name: asked, directory: await recipes[asked](context) };
  try {
    return { name: "package", directory: await recipes.package(context) };
  } catch (thrown) {
    context.signal.throwIfAborted();
    context.say(`the package with a guest kernel can't be had: ${messageOf(thrown)}`);
    context.say("so the guest's kernel is built here, which takes some 8 minutes on two idle cores");
    return { name: "own", directory: await recipes.own(context) };
  }
}
