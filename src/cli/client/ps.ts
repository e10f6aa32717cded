import type { Sandbox } from "../../gen/sandboxes/v1/sandboxes.js";
import { SandboxState } from "../../gen/sandboxes/v1/sandboxes.js";
import { exitStatus, parseFlags, print } from "../command.js";
import { table } from "../table.js";
import { allSandboxes, nameKey } from "./find-sandbox.js";
import { edgeOf, endpointFlag } from "./flags.js";

const options = { ...endpointFlag, quiet: { type: "boolean", short: "q" }, json: { type: "boolean" } } as const;

const words: Partial<Record<SandboxState, string>> = {
  [SandboxState.STARTING]: "starting",
  [SandboxState.RUNNING]: "running",
  [SandboxState.PAUSED]: "paused",
  [SandboxState.ENDED]: "ended",
};

/** `ps`: the caller's sandboxes, newest first. */
export async function ps(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options });
  using edge = await edgeOf(values);
  const all = await allSandboxes(edge);
  if (values.json === true) {
    const told = all.map((sandbox) => ({ ...sandbox, state: words[sandbox.state] ?? "unknown" }));
    print(`${JSON.stringify(told, null, 2)}\n`);
  } else if (values.quiet === true) print(all.map(({ id }) => `${id}\n`).join(""));
  else print(table([["ID", "NAME", "TEMPLATE", "STATE", "CPUS", "MEMORY", "ENDS IN"], ...all.map(rowOf)]));
  return exitStatus.ok;
}

function rowOf({ id, metadata, template, state, vcpus, memoryMib, endsAt }: Sandbox): string[] {
  const left = endsAt === undefined ? "" : durationText(endsAt.getTime() - Date.now());
  return [
    id,
    metadata[nameKey] ?? "",
    template,
    words[state] ?? "unknown",
    String(vcpus),
    `${String(memoryMib)} MiB`,
    left,
  ];
}

function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${String(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${String(minutes)} min` : `${String(Math.round(minutes / 60))} h`;
}
