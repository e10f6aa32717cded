import { expect } from "chai";
import { PodSandboxState } from "../../src/gen/runtime/v1/api.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import {
  boxProcesses,
  expectSameMachine,
  openDescriptors,
  residentKib,
  type MachineState,
} from "../support/machine.js";
import { podStatus, removePod, runPod, runToEnd, shell, startContainer } from "../support/pods.js";
import { limit } from "../support/wait.js";

/** The emulated VM of `test:krun` has not the time for all of them. */
const podsInTurn = Number(process.env["A3S_TEST_PODS"] ?? "50");

describe("Many pods", function () {
  this.timeout(limit(900_000)); // a machine that does something else as well takes five times as long
  let daemon: Daemon;
  let atRest: MachineState;
  before(async () => {
    daemon = await Daemon.start({ images: [await busybox()] });
    atRest = await daemon.machine();
  });
  after(async () => {
    await daemon.remove();
  });
  const quiet = { logDirectory: "" };

  it(`${podsInTurn} one after another: none fails, nothing is left`, async () => {
    const pod = await runPod(daemon, quiet);
    await removePod(daemon, pod);
    await expectSameMachine(daemon.scope, atRest); // what the daemon makes behind a pod holds descriptors too
    const descriptors = await openDescriptors(daemon.pid);
    for (let turn = 0; turn < podsInTurn; turn++) {
      const next = await runPod(daemon, quiet);
      expect((await podStatus(daemon, next.id)).state).to.equal(PodSandboxState.SANDBOX_READY);
      await removePod(daemon, next);
    }
    await expectSameMachine(daemon.scope, atRest);
    expect((await openDescriptors(daemon.pid)).length).to.be.lessThan(descriptors.length + 5);
  });

  it("8 at once, each with a container: none fails, nothing is left", async () => {
    const outputs = await Promise.all(
      Array.from({ length: 8 }, async (_, turn) => {
        const pod = await runPod(daemon, { logDirectory: `${daemon.logs}/at-once-${turn}` });
        const output = await runToEnd(daemon, pod, `echo pod ${turn}`);
        await removePod(daemon, pod);
        return output;
      }),
    );
    expect(outputs).to.deep.equal(Array.from({ length: 8 }, (_, turn) => `pod ${turn}\n`));
    await expectSameMachine(daemon.scope, atRest);
  });

  it("20 at a time: the daemon stays under 150 MiB, and a pod has no process but its VMM's and file server's", async () => {
    const pods = [];
    for (let turn = 0; turn < 5; turn++) {
      pods.push(...(await Promise.all(Array.from({ length: 4 }, () => runPod(daemon, quiet)))));
    }
    const container = await startContainer(daemon, pods[0] ?? (await runPod(daemon)), { logPath: "" });
    await shell(daemon, container, "true");
    const programs = new Map<string, number>();
    for (const { name } of await boxProcesses(daemon.scope)) programs.set(name, (programs.get(name) ?? 0) + 1);
    const residentMib = (await residentKib(daemon.pid)) / 1024;
    await Promise.all(pods.map((pod) => removePod(daemon, pod)));
    await expectSameMachine(daemon.scope, atRest);
    expect(residentMib).to.be.lessThan(150);
    for (const [name, count] of programs) {
      expect(name).to.match(/^(qemu-system-x86_64|virtiofsd|a3s-box-launcher)$/);
      // virtiofsd forks once for its sandbox.
      expect(count, name).to.be.at.most(name === "virtiofsd" ? 40 : 20);
    }
    expect((await daemon.cri.call(runtime.listPodSandbox, {})).items).to.deep.equal([]);
  });
});
