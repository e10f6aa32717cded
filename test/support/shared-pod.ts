/** One pod for all tests of a group. */
import { PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { bedFault } from "./bed-fault.js";
import type { Daemon } from "./daemon.js";
import { podStatus, removePod, type Pod } from "./pods.js";
import { limit } from "./wait.js";

/**
 * The pod is made before the first test, with whatever `make` puts into it, and removed after the last. A pod that has
 * lost its Box fails the next test; only where the nested VM's KVM has killed it is another one made in its place.
 */
export function sharedPod(daemon: () => Daemon, make: () => Promise<Pod>): void {
  let pod: Pod | undefined;
  beforeEach("the group's pod is there", async function () {
    this.timeout(limit(60_000));
    if (pod !== undefined) {
      if ((await podStatus(daemon(), pod.id)).state === PodSandboxState.SANDBOX_READY) return;
      const why = await lostBox(daemon(), pod.id);
      if (bedFault(why) === undefined) throw new Error(`the group's pod is not READY: ${why}`);
      console.log(`      (a new pod for the group: ${why})`);
      await removePod(daemon(), pod);
      pod = undefined;
    }
    pod = await make();
  });
  after("the group's pod is removed", async function () {
    this.timeout(limit(60_000));
    if (pod !== undefined) await removePod(daemon(), pod);
  });
}

/** The daemon's line about it. */
async function lostBox(daemon: Daemon, id: string): Promise<string> {
  const lines = (await daemon.logTail(1 << 20)).split("\n");
  return lines.findLast((line) => line.includes(id) && line.includes("sandbox lost its box")) ?? "no reason is logged";
}
