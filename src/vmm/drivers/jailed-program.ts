import { librariesOf } from "./libraries.js";
import { isThere } from "../../base/is-there.js";

/** Capabilities of capabilities(7) that the file server keeps: files of all users, with what belongs to them.
 * In the Box's user namespace, where there is one, they count for what is mounted with mapped owners. */
const fileServerCapabilities = [
  0, // CAP_CHOWN
  1, // CAP_DAC_OVERRIDE
  3, // CAP_FOWNER
  4, // CAP_FSETID
  6, // CAP_SETGID
  7, // CAP_SETUID
  31, // CAP_SETFCAP
] as const;
/** It makes the share its root, and drops this one and the next itself (the other for the bounding set). */
const whileItStarts = [8 /* CAP_SETPCAP */, 18 /* CAP_SYS_CHROOT */] as const;

export const ofFileServer: readonly string[] = [...fileServerCapabilities, ...whileItStarts].map(
  (number) => `keep=${number}`,
);

/** A program with what it has to see of the host: asked once, for every Box the same. */
export interface JailedProgram {
  /** Absolute, no link. */
  readonly file: string;
  /** `see=` and `link=` options of the launcher (launcher/enter.h). */
  readonly view: readonly string[];
  /** Its libraries where they are no distribution's: there is no /proc in a jail by which the loader would know its place. */
  readonly env: readonly string[];
}

/** A dynamically linked program, and more that it reads; of that, what is not there is left out. */
export async function jailedProgram(
  path: string,
  more: readonly string[],
  signal: AbortSignal,
): Promise<JailedProgram> {
  const { file, directories, links } = await librariesOf(path, signal);
  const paths: string[] = [];
  for (const extra of more) {
    if (await isThere(extra)) paths.push(extra);
  }
  const seen = withoutNested([file, ...directories, ...paths]);
  const view = [...seen.map((each) => `see=${each}`), ...links.map(({ path: at, text }) => `link=${at}:${text}`)];
  const own = directories.filter((directory) => !/^\/(?:usr\/)?lib|^\/etc\//.test(directory));
  return { file, view, env: own.length === 0 ? [] : [`LD_LIBRARY_PATH=${own.join(":")}`] };
}

/** One mount shows what is below it. */
function withoutNested(paths: readonly string[]): string[] {
  const all = [...new Set(paths)];
  return all.filter((path) => !all.some((other) => path.startsWith(`${other}/`)));
}

export interface LaunchedProgram extends JailedProgram {
  readonly name: string;
  readonly args: readonly string[];
  /** More options of the launcher. */
  readonly options: readonly string[];
}

/** Arguments of the launcher that executes a program in a jail. */
export function enterArguments(program: LaunchedProgram): string[] {
  const { view, options, file, name, args } = program;
  return ["a3s-box-launcher", "enter", ...view, ...options, "--", file, name, ...args];
}
