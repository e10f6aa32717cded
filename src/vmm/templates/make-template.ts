import { open, rm } from "node:fs/promises";
import { Cleanup } from "../../base/cleanup.js";
import { onItsOwn } from "../../base/hold.js";
import type { BoxId } from "../../base/ids.js";
import { sleep, stage } from "../../base/stage.js";
import { bootBox, type BootDeps } from "../boot-box.js";
import { boxDirectoryOf } from "../box-directory.js";
import type { BoxSpec } from "../box.js";
import { discardBox } from "../discard-box.js";
import { monitorOf, netnsOf, templatesDirectory } from "./half-made.js";
import type { TemplateClass } from "./template-class.js";
import { writeSnapshot } from "./write-snapshot.js";

/** For what the guest does after its agent has answered, and for the agent to see that nobody is there any more. */
const settleMs = 1500;
const writeLimitMs = 60_000;
const discardLimitMs = 15_000;

export type MakeDeps = BootDeps & {
  /** A place among the Boxes that boot; a template's waits behind them. */
  readonly inTurn: <T>(id: BoxId, signal: AbortSignal, work: () => Promise<T>) => Promise<T>;
};

/**
 * Boots a Box that is no pod's and has its state written to the file, which nobody else has. Whatever it makes is gone when it
 * ends, and `whole` has come between: what the file is then is the caller's.
 */
export async function makeTemplate(
  deps: MakeDeps,
  of: TemplateClass,
  { id, file, whole }: { readonly id: BoxId; readonly file: string; readonly whole: () => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  const { native, log, driver } = deps;
  const state = templatesDirectory(deps.state);
  const netnsPath = netnsOf(state, id);
  const monitor = monitorOf(state, id);
  const spec: BoxSpec = { id, ...of, netnsPath, cgroupParent: "", driver: driver.name };
  await using undo = new Cleanup(log, discardLimitMs);
  undo.add("remove the template's namespace", () => native.removeNetns(netnsPath));
  await native.createNetns(netnsPath);
  for (const path of [file, monitor]) undo.add("remove what was written", () => rm(path, { force: true }));
  await (await open(file, "w", 0o644)).close();
  if (of.tap !== null) await native.createTap(netnsPath, of.tap);
  undo.add("discard the template's Box", (limit) =>
    discardBox({ native, log }, id, boxDirectoryOf(state, id), undefined, limit),
  );
  await deps.inTurn(id, signal, async () => {
    const own = { ...deps, state, healthTimeoutMs: 0, snapshot: { to: file, monitor } };
    const box = await bootBox(own, spec, signal);
    try {
      box.agent.close("its state is to be written");
      await sleep(settleMs, signal);
      await stage("write the machine's state", writeLimitMs, signal, (limited) => writeSnapshot(monitor, limited));
    } finally {
      await onItsOwn(() => box.stop(0, AbortSignal.timeout(discardLimitMs)));
    }
  });
  await whole();
}
