/** Commands that a pod has its node run, as units of it: a container has neither the daemon's rights nor the node's processes. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { monotonicMs } from "../../base/clock.js";
import { RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import { textOf } from "../install.js";
import type { HostUnits } from "./host-units.js";
import { releaseLink } from "./release-trees.js";

export interface AskedUnit {
  readonly name: string;
  readonly about: string;
  /** Words of the command. */
  readonly command: string;
  /** What it ends with. */
  readonly end: RegExp;
  readonly limitMs: number;
}

const pollMs = 250;
/** Its own limit is the shorter one: what it says of that is read. */
const marginMs = 20_000;

/** What the command has said on the node, below its root, is in a directory of its own: systemd makes it. */
function saidDirectory({ name }: AskedUnit): string {
  return `/run/${name.replace(/\.service$/, "")}`;
}

export async function removeSaid(host: string, unit: AskedUnit): Promise<void> {
  await rm(join(host, saidDirectory(unit)), { recursive: true, force: true });
}

export function unitText(unit: AskedUnit): string {
  const directory = saidDirectory(unit);
  return `[Unit]
Description=${unit.about}

[Service]
Type=oneshot
RuntimeDirectory=${directory.slice("/run/".length)}
RuntimeDirectoryPreserve=yes
StandardOutput=truncate:${directory}/said
StandardError=inherit
TimeoutStartSec=${String((unit.limitMs - marginMs) / 1000)}
ExecStart=${releaseLink}/bin/a3s-box ${unit.command}
`;
}

/** What it has said, when it has ended. */
export async function askNode(
  units: Pick<HostUnits, "runOnce">,
  host: string,
  unit: AskedUnit,
  signal: AbortSignal,
): Promise<string> {
  const said = `${saidDirectory(unit)}/said`;
  await rm(join(host, said), { force: true });
  await units.runOnce(unit.name, signal);
  let text = "";
  const ended = (): string => {
    const [last = "nothing"] = text.trim().split("\n").slice(-1);
    return `${unit.command} has ended on the node; ${said} there has what it said, at last: ${last}`;
  };
  await until(ended, unit.limitMs, signal, async () => {
    text = (await textOf(join(host, said))) ?? "";
    return unit.end.test(text);
  });
  return text;
}

export async function until(
  what: () => string,
  limitMs: number,
  signal: AbortSignal,
  isSo: () => Promise<boolean>,
): Promise<void> {
  const endMs = monotonicMs() + limitMs;
  while (!(await isSo())) {
    if (monotonicMs() > endMs) {
      throw new RuntimeError("deadlineExceeded", `not within ${String(limitMs / 1000)} s: ${what()}`);
    }
    await sleep(pollMs, signal);
  }
}
