/** One daemon for all groups that leave it as they found it; it ends with the run, and must then have nothing left. */
import { Daemon, runningDaemons } from "./daemon.js";
import { busybox } from "./images.js";
import { expectSameMachine, type MachineState } from "./machine.js";
import { limit } from "./wait.js";

let started: Promise<{ daemon: Daemon; atStart: MachineState }> | undefined;

/** With the busybox image in it. */
export async function sharedDaemon(): Promise<Daemon> {
  started ??= start();
  return (await started).daemon;
}

async function start(): Promise<{ daemon: Daemon; atStart: MachineState }> {
  const daemon = await Daemon.start({ images: [await busybox()] });
  return { daemon, atStart: await daemon.machine() };
}

after("the shared daemon has nothing left", async function () {
  this.timeout(limit(60_000));
  if (started === undefined) return;
  const { daemon, atStart } = await started;
  try {
    await expectSameMachine(daemon.scope, atStart);
  } finally {
    await daemon.remove();
  }
});

afterEach("the daemons' logs of a failed test", async function () {
  if (this.currentTest?.state !== "failed") return;
  for (const daemon of runningDaemons()) {
    process.stderr.write(`--- log of the daemon in ${daemon.base}\n${await daemon.logTail(4_000)}\n---\n`);
  }
});
