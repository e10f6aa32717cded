/** helm, as `npm run setup -- helm` (or `cluster`) has built it, with directories of its own. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadYaml } from "@kubernetes/client-node";
import { z } from "zod";
import { projectDirectory } from "../project.js";
import { limit } from "../wait.js";
import { ended, succeeded, type Ended } from "./in-root.js";

const program = join(projectDirectory, "build/assets/bin/helm");
export const chartDirectory = join(projectDirectory, "deploy/chart");
export const noHelm = "no helm: npm run setup -- helm builds it, in six minutes";
const callMs = 120_000;

export function hasHelm(): boolean {
  return existsSync(program);
}

/** What is looked at of every object. */
const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
});
export type Rendered = z.infer<typeof objectSchema>;
/** Values, as a file of them has them. */
export type Values = Readonly<Record<string, unknown>>;

export class Helm {
  readonly #directory: string;
  readonly #env: NodeJS.ProcessEnv;
  #files = 0;

  private constructor(directory: string, kubeconfig: string | undefined) {
    this.#directory = directory;
    this.#env = {
      PATH: process.env["PATH"],
      HOME: directory,
      ...(kubeconfig === undefined ? {} : { KUBECONFIG: kubeconfig }),
    };
  }

  static async open(kubeconfig?: string): Promise<Helm> {
    return new Helm(await mkdtemp(join(tmpdir(), "a3s-helm-")), kubeconfig);
  }

  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }

  async ended(...args: readonly string[]): Promise<Ended> {
    return await ended(program, args, { limitMs: limit(callMs), env: this.#env });
  }

  async run(...args: readonly string[]): Promise<string> {
    return await succeeded(program, args, { limitMs: limit(callMs), env: this.#env });
  }

  /** The flag that gives values. */
  async values(values: Values): Promise<readonly string[]> {
    const file = join(this.#directory, `values-${String((this.#files += 1))}.json`);
    await writeFile(file, JSON.stringify(values));
    return ["--values", file];
  }

  async text(values: Values, ...more: readonly string[]): Promise<string> {
    const flags = await this.values(values);
    return await this.run("template", "box", chartDirectory, "--namespace", "a3s", ...flags, ...more);
  }

  /** What the chart makes of values, hooks too. */
  async rendered(values: Values, ...more: readonly string[]): Promise<readonly Rendered[]> {
    const parts = (await this.text(values, ...more)).split(/^---$/m).filter((part) => /^kind:/m.test(part));
    return parts.map(plainObject);
  }

  /** Why it makes nothing of them. */
  async refusal(values: Values): Promise<string> {
    const flags = await this.values(values);
    const { status, stderr } = await this.ended("template", "box", chartDirectory, ...flags);
    if (status === 0) throw new Error("the chart took the values");
    return stderr;
  }
}

/** As it is written: at the top of a text the client's reader would make it one of its own classes. */
function plainObject(text: string): Rendered {
  const inner: unknown = loadYaml(`object:\n${text.replaceAll(/^/gm, "  ")}`);
  return z.object({ object: objectSchema }).parse(inner).object;
}
