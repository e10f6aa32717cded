import type { MachineDriver } from "../../src/vmm/box.js";
import { runtime } from "./cri-client.js";
import type { Daemon } from "./daemon.js";

/** What the daemon makes its Boxes with. */
export async function driverOf(daemon: Daemon): Promise<MachineDriver> {
  const { info } = await daemon.cri.call(runtime.status, { verbose: true });
  const chosen: unknown = JSON.parse(info["driver"] ?? "null");
  const name = typeof chosen === "object" && chosen !== null && "name" in chosen ? chosen.name : undefined;
  if (name !== "krun" && name !== "qemu") throw new Error("the verbose status names no driver");
  return name;
}
