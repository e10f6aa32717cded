/** What an outer VM has to do: a shell script. */
import { projectDirectory } from "../project.js";
import { escaped } from "../run-results.js";

/** Emulated, shared, and a guest in a guest: what takes a second on a machine may take this many here. */
const slowness = Number(process.env["A3S_TEST_SLOWNESS"] ?? "8");
const testTimeoutMs = 30_000;
/** A Box takes ten times as long to make here as on a machine: a pod's and a container's life, and what differs by driver. */
const core = {
  "runtime-info": "Runtime information",
  "pod-sandbox": "its life",
  container: "its life",
  "exec-sync": "ExecSync (returns standard|reports a process|kills the process|fails, naming)",
  mounts: "Volume mounts (show a directory|can't be written)",
  logs: "Container log has a line per line",
  faults: "turns the sandbox NOTREADY",
};
/** Elsewhere than in critest: what wants this kernel and no Box, and what the driver's file server does for an upload. */
const elsewhere = {
  "test/image/project-quota.test.ts": "project quota",
  "test/sandboxes/files.test.ts": "six long files",
  "test/sandboxes/vsock.test.ts": "by a vsock",
};
const coreFiles = [...Object.keys(core).map((name) => `test/critest/${name}.test.ts`), ...Object.keys(elsewhere)];
const coreTests = [...new Set(Object.values({ ...core, ...elsewhere }))].join("|");
/** Of this process's environment; what is not a number is a name, or a path of the host. */
const passedOn = [
  ...["A3S_TEST_PODS", "A3S_TEST_EXECS", "A3S_TEST_CONTAINERS", "A3S_TEST_STREAM_MIB", "A3S_TEST_KEEP"],
  ...["A3S_TEST_HANDLER", "A3S_TEST_FILES", "A3S_TEST_STARTS", "A3S_TEST_FAULTS", "A3S_CHURN_PODS"],
  ...["A3S_TEST_CPU_MANAGER", "A3S_TEST_SYSTEMD_PODS"],
  ...["A3S_SOAK_MINUTES", "A3S_SOAK_WORKERS", "A3S_SOAK_SEED"],
];

/** Whether the words name a program of this project and its arguments ("bench/run.ts overhead"), and no tests. */
export function isProgram([first = ""]: readonly string[]): boolean {
  return first.endsWith(".ts") && !first.endsWith(".test.ts");
}

/**
 * File arguments name the sources; what runs is compiled from them. `only`: the titles of the tests to run. Where one of
 * the files is for a machine with systemd, all of them run below one.
 */
export function jobScript(
  given: readonly string[],
  only?: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const systemd = given.some((word) => word.startsWith("test/systemd/"));
  const bed = systemd ? [compiled("test/support/systemd/run.ts"), process.execPath] : [];
  const words = isProgram(given) ? programWords(given) : mochaWords(given, only);
  const passed = passedOn.flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [`export ${name}=${quoted(value)}`];
  });
  return [
    `cd ${quoted(projectDirectory)}`,
    `export A3S_TEST_DRIVER=krun A3S_TEST_SLOWNESS=${slowness} A3S_RESULTS_PLAN=1 NODE_ENV=test`,
    ...passed,
    ...watch(environment["A3S_NESTED_WATCH"]),
    ["exec", ...[process.execPath, ...bed, ...words].map(quoted)].join(" "),
    "",
  ].join("\n");
}

/** A shell line that looks around every half a minute: nobody can enter a VM that hangs. */
function watch(line: string | undefined): string[] {
  return line === undefined ? [] : [`(while sleep 30; do sh -c ${quoted(line)}; done) &`];
}

function programWords([program = "", ...others]: readonly string[]): string[] {
  return [compiled(program), ...others];
}

function mochaWords(given: readonly string[], only: readonly string[] | undefined): string[] {
  const files = given.filter((argument) => argument.endsWith(".test.ts"));
  const others = given.filter((argument) => !files.includes(argument) && argument !== "--all");
  const chosen = given.includes("--all") ? ["test/critest/*.test.ts"] : files.length > 0 ? files : coreFiles;
  if (only !== undefined) others.push("--grep", `^(${only.map(escaped).join("|")})$`);
  else if (given.length === 0) others.push("--grep", coreTests);
  const mocha = ["node_modules/mocha/bin/mocha.js", "--no-config", "--no-package", "--exit", "--no-color"];
  const reporter = ["--reporter", compiled("test/support/nested-vm/reporter.ts")];
  return [...mocha, ...reporter, "--timeout", String(testTimeoutMs * slowness), ...others, ...chosen.map(compiled)];
}

/** Where the VM finds a source, from the project's directory. */
export function compiled(file: string): string {
  return `build/nested/${file.replace(/\.ts$/, ".js")}`;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
