/**
 * An image with this machine's Node.js and the Python that the clients were set up with, and what their libraries need; what is
 * large (Python's own library, packages) is mounted where a test has it.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import * as z from "zod";
import { busyboxSource, type NamedImage } from "../images.js";
import { programEntries } from "../program-entries.js";
import { projectDirectory } from "../project.js";
import { buildLayer, type TarEntry } from "../tar-builder.js";

export const clientImageName = "localhost/test/model-clients:1";
export const pythonClients = join(projectDirectory, "build/assets/python-clients");

const facts = z.object({ program: z.string(), home: z.string(), library: z.string(), extensions: z.array(z.string()) });
type PythonFacts = z.infer<typeof facts>;

export async function pythonFacts(): Promise<PythonFacts> {
  const script = `
import glob, json, os, sys, sysconfig
library = sysconfig.get_path("stdlib")
print(json.dumps({"program": os.path.realpath(sys.executable), "home": sys.base_prefix, "library": library,
  "extensions": glob.glob(library + "/lib-dynload/*.so") + [
    path for name in ("pydantic_core", "jiter") for path in glob.glob(sys.prefix + f"/lib/python*/site-packages/{name}/*.so")]}))`;
  const { stdout } = await promisify(execFile)(join(pythonClients, "bin/python"), ["-c", script]);
  return facts.parse(JSON.parse(stdout));
}

/** Python at `/usr/bin/python3`, which needs `PYTHONHOME`. */
export async function clientImage({ program, home, extensions }: PythonFacts): Promise<NamedImage> {
  const programs = [
    ["/usr/bin/node", process.execPath],
    ["/usr/bin/python3", program],
  ] as const;
  const entries = new Map<string, TarEntry>();
  const needed = extensions.filter((path) => !/\/(?:_tkinter|_curses\w*|readline|_test\w*)\./.test(path));
  for (const entry of await programEntries(programs, process.execPath)) entries.set(entry.name, entry);
  for (const linked of [program, ...needed]) {
    for (const entry of await programEntries([], linked)) entries.set(entry.name, entry);
  }
  const config = { Env: ["PATH=/bin:/usr/bin", `PYTHONHOME=${home}`, "PYTHONDONTWRITEBYTECODE=1"] };
  return { tag: clientImageName, ...(await busyboxSource(config, [buildLayer([...entries.values()], "none")])) };
}
