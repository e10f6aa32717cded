import { RuntimeError } from "../../base/errors.js";
import type { Caller } from "../core/caller.js";
import type { Sandboxes } from "../core/sandboxes.js";

/** The sandbox that a call is about: the one it names, else the caller's only one. */
export function chosenSandbox(sandboxes: Sandboxes, caller: Caller, named: string | undefined): string {
  if (named !== undefined && named !== "") return named;
  const { items } = sandboxes.list(caller, { states: ["running", "paused"] }, { limit: 2 });
  const [only, another] = items;
  if (only === undefined) throw new RuntimeError("notFound", "there is no sandbox", { hint: "create one" });
  if (another !== undefined) {
    throw new RuntimeError("invalidArgument", "there is more than one sandbox", { hint: "name it by x-sandbox-id" });
  }
  return only.id;
}
