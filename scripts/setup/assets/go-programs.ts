import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../../src/base/errors.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext, tryRun } from "../run.js";

export interface GoOptions {
  /** For the linker, besides leaving out symbols. */
  readonly linkerFlags?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Directory with programs (name: path of the package) of a Go module of this repository, which pins all that they are built
 * from; undefined without a Go that can build it.
 */
export async function goPrograms(
  context: SetupContext,
  name: string,
  directory: string,
  programs: Readonly<Record<string, string>>,
  { linkerFlags = "", env = {} }: GoOptions = {},
): Promise<string | undefined> {
  const cwd = join(context.root, directory);
  const text = await readFile(join(cwd, "go.mod"), "utf8");
  const version = /^go (\S+)$/m.exec(text)?.[1] ?? "";
  const compiler = await tryRun("go", ["version"], { signal: context.signal, cwd: context.root });
  if (compiler === undefined || !isAtLeast(compiler, version)) {
    context.say(`${name}: not built, needs Go ${version} or newer; here is ${compiler?.trim() ?? "none"}`);
    return undefined;
  }
  const inputs = [compiler, JSON.stringify(programs), ...(await sourceInputs(context.root, [directory]))];
  return await cached(context, {
    name,
    inputs,
    build: async (into, logFile) => {
      const ldflags = `-s -w ${linkerFlags === "" ? kubernetesFlags(text) : linkerFlags}`;
      const flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", ldflags];
      for (const [program, path] of Object.entries(programs)) {
        const args = ["build", ...flags, "-o", join(into, program), path];
        const build = (): Promise<string> => run("go", args, { signal: context.signal, cwd, logFile, env });
        // Once more: Go does not repeat a download that broke off, and what is built already is not built again.
        await build().catch((thrown: unknown) => {
          context.signal.throwIfAborted();
          context.say(`${name}: once more, after ${messageOf(thrown).split("\n")[0] ?? ""}`);
          return build();
        });
      }
    },
  });
}

/** Without a version of its own a component of Kubernetes calls itself v0.0.0-master. */
function kubernetesFlags(goMod: string): string {
  const version = /^\tk8s\.io\/kubernetes (v(\d+)\.(\d+)\.\S+)$/m.exec(goMod);
  if (version === null) return "";
  const [, whole = "", major = "", minor = ""] = version;
  const to = "k8s.io/component-base/version";
  return `-X ${to}.gitVersion=${whole} -X ${to}.gitMajor=${major} -X ${to}.gitMinor=${minor}`;
}

function isAtLeast(compiler: string, wanted: string): boolean {
  const has = /go(\d+)\.(\d+)/.exec(compiler);
  const needs = /^(\d+)\.(\d+)/.exec(wanted);
  if (has === null || needs === null) return false;
  const [major, minor] = [Number(has[1]) - Number(needs[1]), Number(has[2]) - Number(needs[2])];
  return major > 0 || (major === 0 && minor >= 0);
}
