/** The images of the templates, from packages that are there as files. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AgentKind } from "../../src/config/agents.js";
import { type ImageFile, type ImageLayer, imageLayer } from "../setup/image-layer.js";
import { defaultPath, type Image, type ImageConfig } from "../setup/oci-archive.js";
import { type Package, readPackage } from "./deb.js";
import { FileTree } from "./file-tree.js";
import { type LayerFiles, packageLayers, suite } from "./packages.js";
import { isStripped } from "./stripped.js";
import { addSystemFiles, user } from "./system-files.js";

export const templateNames = ["base", "code-interpreter-v1"] as const;
export type TemplateName = (typeof templateNames)[number];

const interpreterDirectory = "usr/lib/a3s-box/interpreter";
/** What `start_command` of a template with it is. */
export const interpreterCommand = ["python3", `/${interpreterDirectory}`];

export function isTemplate(name: string): name is TemplateName {
  return templateNames.some((known) => known === name);
}

export function imageName(name: TemplateName | AgentKind): string {
  return `localhost/a3s-box/${name}:1`;
}

export interface LayerReport {
  readonly name: string;
  readonly files: number;
  /** Of the contents of its files. */
  readonly bytes: number;
}

export interface BuiltImage extends Image {
  readonly packages: readonly Package[];
  readonly report: readonly LayerReport[];
}

/** All of them, which share their lower layers. */
export async function buildImages(files: LayerFiles, signal: AbortSignal): Promise<Record<TemplateName, BuiltImage>> {
  const tree = new FileTree();
  const layers: ImageLayer[] = [];
  const report: LayerReport[] = [];
  const packages: Package[] = [];
  const close = async (name: string, createdBy: string): Promise<void> => {
    const layer = tree.takeLayer();
    report.push(reportOf(name, layer));
    layers.push(await imageLayer(layer, createdBy));
    signal.throwIfAborted();
  };
  for (const [at, { name }] of packageLayers.entries()) {
    for (const path of files[at] ?? []) packages.push(await addPackage(tree, path, signal));
    await close(name, `Debian's packages: ${name}`);
  }
  packages.sort((a, b) => (a.name < b.name ? -1 : 1));
  addSystemFiles(tree, packages);
  await close("system", "a3s-box images");
  const built = (template: TemplateName, cmd: readonly string[]): BuiltImage => ({
    name: imageName(template),
    layers: [...layers],
    config: configOf(template, cmd, tree, packages),
    created: new Date(tree.newest * 1000),
    packages,
    report: [...report],
  });
  const base = built("base", ["/bin/bash"]);
  await addInterpreter(tree);
  await close("interpreter", "a3s-box images: the code interpreter");
  return { base, "code-interpreter-v1": built("code-interpreter-v1", interpreterCommand) };
}

/** What answers on port 49999: `interpreter/` beside this file. */
async function addInterpreter(tree: FileTree): Promise<void> {
  const directory = join(import.meta.dirname, "interpreter");
  for (const name of ["__main__.py", "context.py", "kernel.py"]) {
    const content = await readFile(join(directory, name));
    tree.put({ path: `${interpreterDirectory}/${name}`, kind: "file", mode: 0o644, content });
  }
}

async function addPackage(tree: FileTree, path: string, signal: AbortSignal): Promise<Package> {
  const found = await readPackage(path, signal);
  for (const file of found.files) {
    if (!isStripped(file.path, file.kind)) tree.add(file);
  }
  return { ...found, files: [] };
}

function configOf(
  template: TemplateName,
  cmd: readonly string[],
  tree: FileTree,
  packages: readonly Package[],
): ImageConfig {
  const release = tree.content("etc/debian_version").toString().trim();
  const day = new Date(tree.newest * 1000).toISOString().slice(0, 10);
  return {
    Cmd: cmd,
    Env: [defaultPath, "LANG=C.UTF-8"],
    User: user.name,
    WorkingDir: user.home,
    Labels: {
      "org.opencontainers.image.title": template,
      "org.opencontainers.image.version": `${suite}-${release}-${day}`,
      "org.opencontainers.image.description": "Made of Debian's packages; /var/lib/dpkg/status lists them.",
      "a3s-box.packages": packages.map(({ name, version }) => `${name}=${version}`).join(" "),
    },
  };
}

function reportOf(name: string, files: readonly ImageFile[]): LayerReport {
  const bytes = files.reduce((sum, file) => sum + (file.kind === "file" ? file.content.length : 0), 0);
  return { name, files: files.length, bytes };
}
