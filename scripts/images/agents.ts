/** Images of coding agents: what `base` has, and the agent's program as its registry has it, in a layer of its own. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { presets } from "../../src/agents/presets/presets.js";
import { agentKinds, type AgentKind } from "../../src/config/agents.js";
import { RuntimeError } from "../../src/base/errors.js";
import { type ImageFile, imageLayer } from "../setup/image-layer.js";
import { type BuiltImage, imageName } from "./build.js";

interface Published {
  /** What brings the program, pinned by the lock: what the preset's package would fetch for this machine. */
  readonly package: string;
  /** Below the package. */
  readonly program: string;
  /** Where the preset's commands find it. */
  readonly name: string;
}

/** Of presets whose program runs by itself; the others are programs for interpreters that `base` has not. */
const published: Readonly<Partial<Record<AgentKind, Published>>> = {
  opencode: { package: "opencode-linux-x64", program: "bin/opencode", name: "opencode" },
  codex: {
    package: "@openai/codex-linux-x64",
    program: "vendor/x86_64-unknown-linux-musl/bin/codex",
    name: "codex",
  },
};

export const imagedAgents: readonly AgentKind[] = agentKinds.filter((kind) => published[kind] !== undefined);

export function isAgent(name: string): name is AgentKind {
  return agentKinds.some((kind) => kind === name);
}

/** Throws for a preset of which no image can be made here, with what an image of one's own needs. */
export function requirePublished(kind: AgentKind): Published {
  const found = published[kind];
  if (found !== undefined) return found;
  const { packages } = presets[kind];
  throw new RuntimeError("invalidArgument", `images: none of ${kind} is made here`, {
    hint:
      packages.length === 0
        ? "build one of your own with what its command needs"
        : `build one of your own, with an interpreter and ${packages.join(", ")} (docs/guide/coding-agents.md)`,
  });
}

/** `modules`: the `node_modules` that the lock pins. Compressed lightly: programs of 160 MB. */
export async function agentImage(kind: AgentKind, base: BuiltImage, modules: string): Promise<BuiltImage> {
  const { package: name, program, name: command } = requirePublished(kind);
  const directory = join(modules, name);
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile(join(directory, "package.json"), "utf8")));
  const content = await readFile(join(directory, program));
  const parents = ["usr", "usr/local", "usr/local/bin"].map((path): ImageFile => ({
    path,
    kind: "directory",
    mode: 0o755,
  }));
  const files: ImageFile[] = [...parents, { path: `usr/local/bin/${command}`, kind: "file", mode: 0o755, content }];
  const layer = await imageLayer(files, `npm's package ${name} ${version}`, 1);
  const labels = { "org.opencontainers.image.title": kind, "a3s-box.agent": `${name}=${version}` };
  return {
    ...base,
    name: imageName(kind),
    layers: [...base.layers, layer],
    report: [...base.report, { name: kind, files: 1, bytes: content.length }],
    config: { ...base.config, Labels: { ...base.config.Labels, ...labels } },
  };
}
