import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../../src/base/errors.js";
import { installSystemPackages } from "../apt/system-packages.js";
import { cached } from "../cache.js";
import { sourceInputs } from "../fingerprint.js";
import { run, type SetupContext } from "../run.js";

const source = "scripts/setup/assets/python-clients.ts";
/** Lists of packages, each with all that its own need; the first names every wheel by its digest. */
const lists = "test/support/python-clients";
const withDigests = ["e2b.txt"];
const withVersions = ["agent-sandbox.txt", "models.txt", "sdk.txt"];

const sdk = "sdk/python";
/** What the SDK's wheel is made of; its protos are the project's. */
const sdkSources = ["src", "pyproject.toml", "setup.py", "README.md"];
const protos = "proto/sandboxes";

/**
 * A virtual environment with the Python clients of sandboxes and of models that others have written, as they are published, and the tools
 * of our own; undefined, and said, where it can't be made.
 */
export async function pythonClients(context: SetupContext): Promise<string | undefined> {
  return await unlessImpossible(context, "what is tested with Python's clients of sandboxes", async () => {
    await installSystemPackages(context, { names: ["python3", "python3-venv"], fromBackports: [] });
    const files = [...withDigests, ...withVersions].map((name) => join(context.root, lists, name));
    const version = await run("python3", ["--version"], { signal: context.signal });
    return await cached(context, {
      name: "python-clients",
      inputs: [
        version,
        ...(await Promise.all(files.map((file) => readFile(file, "utf8")))),
        ...(await sourceInputs(context.root, [source])),
      ],
      build: async (directory, logFile) => {
        // Programs of an environment know its path: it is moved to its place, and used by its interpreter alone.
        await run("python3", ["-m", "venv", directory], { signal: context.signal, logFile });
        const install = ["-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--no-compile"];
        const from = (names: readonly string[]): string[] =>
          names.flatMap((name) => ["-r", join(context.root, lists, name)]);
        const python = join(directory, "bin/python");
        for (const list of [["--require-hashes", ...from(withDigests)], from(withVersions)]) {
          await run(python, [...install, ...list], { signal: context.signal, logFile });
        }
      },
    });
  });
}

/**
 * The SDK of `sdk/python` as an app gets it: its wheel, made from its directory by pip alone, and `site`, where that is
 * installed, for `PYTHONPATH`. `clients`: the environment whose pip does it. Undefined, and said, where it can't be made.
 */
export async function pythonSdk(context: SetupContext, clients: string): Promise<string | undefined> {
  return await unlessImpossible(context, "what is tested with the Python SDK", async () => {
    const sources = sdkSources.map((name) => `${sdk}/${name}`);
    return await cached(context, {
      name: "python-sdk",
      inputs: await sourceInputs(context.root, [source, protos, ...sources]),
      build: async (directory, logFile) => {
        // pip leaves what it makes beside the sources: it gets a copy, laid out as they are.
        const copy = await mkdtemp(join(tmpdir(), "a3s-python-sdk-"));
        try {
          for (const path of [protos, ...sources]) {
            await cp(join(context.root, path), join(copy, path), { recursive: true });
          }
          const pip = async (...args: string[]): Promise<void> => {
            await run(join(clients, "bin/python"), ["-m", "pip", ...args], { signal: context.signal, logFile });
          };
          await pip("wheel", "--no-deps", "--wheel-dir", directory, join(copy, sdk));
          const wheels = (await readdir(directory)).map((name) => join(directory, name));
          await mkdir(join(directory, "site"));
          await pip("install", "--no-deps", "--no-compile", "--target", join(directory, "site"), ...wheels);
        } finally {
          await rm(copy, { recursive: true, force: true });
        }
      },
    });
  });
}

async function unlessImpossible(
  context: SetupContext,
  what: string,
  make: () => Promise<string>,
): Promise<string | undefined> {
  try {
    return await make();
  } catch (thrown) {
    context.signal.throwIfAborted();
    context.say(`${what} is skipped: ${messageOf(thrown)}`);
    return undefined;
  }
}
