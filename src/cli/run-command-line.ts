import { messageOf, RuntimeError } from "../base/errors.js";
import { packageVersion } from "../base/version.js";
import { type Command, exitStatus, print, splitAtFirstWord, usageError } from "./command.js";
import { commands } from "./commands.js";
import { table } from "./table.js";

const program = "a3s-box-cri-runtime";

/** Runs what the arguments say; resolves to the exit status. Failures go to standard error in one line. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (thrown) {
    process.stderr.write(`${program}: ${messageOf(thrown)}\n`);
    if (!(thrown instanceof RuntimeError) || thrown.stage !== "usage") return exitStatus.failed;
    process.stderr.write(`See ${program} --help\n`);
    return exitStatus.usage;
  }
}

async function dispatch(args: readonly string[]): Promise<number> {
  const [first] = args;
  if (first === "--version") {
    print(`${program} ${packageVersion()}\n`);
    return exitStatus.ok;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    print(overview());
    return exitStatus.ok;
  }
  const command = commands.find(({ name }) => name.split(" ").every((word, at) => args[at] === word));
  if (command === undefined) {
    if (first === undefined) throw usageError("no command given");
    throw usageError(
      first.startsWith("-") ? `unknown flag ${first}` : `unknown command "${args.slice(0, 2).join(" ")}"`,
    );
  }
  const rest = args.slice(command.name.split(" ").length);
  if (asksForHelp(await ownWords(command, rest))) {
    print(helpOf(command));
    return exitStatus.ok;
  }
  return await command.run(rest);
}

function asksForHelp(words: readonly string[]): boolean {
  return words.some((word) => word === "--help" || word === "-h");
}

/** Those that are the command's: "-h" after `exec SANDBOX df` is df's. */
async function ownWords({ flagsBeforeProgram }: Command, rest: readonly string[]): Promise<readonly string[]> {
  if (flagsBeforeProgram !== undefined && asksForHelp(rest))
    return splitAtFirstWord(rest, await flagsBeforeProgram()).flags;
  const end = rest.indexOf("--");
  return end === -1 ? rest : rest.slice(0, end);
}

function overview(): string {
  const rows = commands.map(({ name, about }) => [`  ${name}`, about]);
  return `${program}: a Kubernetes CRI runtime, one microVM per pod

Usage: ${program} COMMAND [FLAGS]

${table(rows)}
  --version, --help
  COMMAND --help    the command's flags
`;
}

function helpOf({ name, synopsis, about, details }: Command): string {
  const usage = `Usage: ${program} ${name} ${synopsis}`.trimEnd();
  const more = details.length === 0 ? "" : `\n${details.join("\n")}\n`;
  return `${usage}\n\n${about}\n${more}`;
}
