import * as z from "zod";
import { RuntimeError } from "../../base/errors.js";
import { sleep } from "../../base/stage.js";
import { snapshotFile } from "../drivers/qemu/qemu-arguments.js";
import { Qmp } from "./qmp.js";

const pollMs = 20;
const migration = z.looseObject({
  status: z.string().optional(),
  "error-desc": z.string().optional(),
});

/** Has QEMU write the state of its machine to the file that it was given, as one that the machine can go on from at any time. */
export async function writeSnapshot(monitorSocket: string, signal: AbortSignal): Promise<void> {
  using monitor = await Qmp.connect(monitorSocket, signal);
  await monitor.execute("migrate-set-capabilities", { capabilities: [{ capability: "mapped-ram", state: true }] });
  await monitor.execute("migrate", { uri: `file:${snapshotFile}` });
  for (;;) {
    const { status, "error-desc": why } = migration.parse(await monitor.execute("query-migrate"));
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled") {
      throw new RuntimeError("internal", `QEMU has not written the machine's state: ${why ?? status}`);
    }
    await sleep(pollMs, signal);
  }
}
