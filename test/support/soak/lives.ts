/** Lives of pods; each leaves nothing. */
import { expect } from "chai";
import { failure, image, runtime, status } from "../cri-client.js";
import { logLines } from "../pods.js";
import { eventually } from "../wait.js";
import type { Life } from "./life.js";

export type LifeKind = (life: Life) => Promise<void>;

/** By name; `imageReference`: one that a registry has, and that nothing else in the soak uses. */
export function livesOf(imageReference: string): ReadonlyMap<string, LifeKind> {
  return new Map<string, LifeKind>([
    ["serves until it is stopped", serves],
    ["ends by itself, several containers", endsByItself],
    ["prints and exits at once", prints],
    ["has an exec that hangs", hangingExec],
    ["restarts its container", restarts],
    ["runs out of memory", outOfMemory],
    ["loses its VMM", losesVmm],
    ["has a VMM that stands still", standsStill],
    ["is asked for wrongly", badInput],
    ["pulls an image", (life) => pulls(life, imageReference)],
  ]);
}

async function serves(life: Life): Promise<void> {
  const pod = await life.runPod();
  const container = await life.startContainer(pod);
  for (let turn = life.dice.between(1, 4); turn > 0; turn--) {
    expect(await life.exec(container, ["echo", String(turn)])).to.deep.include({ stdout: `${turn}\n`, exitCode: 0 });
  }
  await life.stopContainer(container, BigInt(life.dice.between(0, 2)));
  expect(await life.isReady(pod)).to.equal(true);
  await life.removePod(pod);
}

async function endsByItself(life: Life): Promise<void> {
  const pod = await life.runPod();
  const codes = Array.from({ length: life.dice.between(2, 3) }, () => life.dice.between(0, 120));
  for (const [index, code] of codes.entries()) {
    const command = ["sh", "-c", `echo out ${index}; exit ${code}`];
    const container = await life.startContainer(pod, { command, metadata: { name: `web-${index}` } });
    const { exitCode, logPath } = await life.ended(container);
    expect(exitCode).to.equal(code);
    expect((await logLines(logPath)).map(({ text }) => text)).to.deep.equal([`out ${index}`]);
    if (life.dice.between(0, 1) === 0) await life.removeContainer(container);
  }
  await life.removePod(pod);
}

async function prints(life: Life): Promise<void> {
  const pod = await life.runPod();
  const lines = life.dice.between(100, 2_000);
  const container = await life.startContainer(pod, { command: ["seq", String(lines)] });
  const { logPath } = await life.ended(container);
  const texts = (await logLines(logPath)).map(({ text }) => text);
  expect(texts.length).to.equal(lines);
  expect(texts).to.deep.equal(Array.from({ length: lines }, (_, index) => String(index + 1)));
  await life.removePod(pod);
}

async function hangingExec(life: Life): Promise<void> {
  const pod = await life.runPod();
  const containerId = await life.startContainer(pod);
  const hang = { containerId, cmd: ["sleep", "4242"], timeout: 1n };
  await life.on("ExecSync", () => failure(life.daemon.cri.call(runtime.execSync, hang), status.DEADLINE_EXCEEDED));
  await eventually("the exec's process has gone", 60_000, async () =>
    (await life.exec(containerId, ["ps", "-o", "args"])).stdout.includes("sleep 4242") ? undefined : true,
  );
  await life.removePod(pod);
}

async function restarts(life: Life): Promise<void> {
  const pod = await life.runPod();
  for (let turn = life.dice.between(2, 4); turn > 0; turn--) {
    const container = await life.startContainer(pod);
    await life.stopContainer(container, 0n);
    await life.ended(container);
    await life.removeContainer(container);
  }
  await life.removePod(pod);
}

async function outOfMemory(life: Life): Promise<void> {
  const pod = await life.runPod();
  const linux = { resources: { memoryLimitInBytes: 16n << 20n } };
  const container = await life.startContainer(pod, { command: ["tail", "/dev/zero"], linux });
  const { exitCode, reason } = await life.ended(container);
  expect([exitCode, reason]).to.deep.equal([137, "OOMKilled"]);
  expect(await life.isReady(pod)).to.equal(true);
  await life.removePod(pod);
}

async function losesVmm(life: Life): Promise<void> {
  const pod = await life.runPod();
  const container = await life.startContainer(pod);
  process.kill(await life.vmmPid(pod), "SIGKILL");
  await eventually("the sandbox is NOTREADY", 60_000, async () => ((await life.isReady(pod)) ? undefined : true));
  await life.ended(container);
  await life.removePod(pod);
}

async function standsStill(life: Life): Promise<void> {
  const pod = await life.runPod();
  await life.startContainer(pod);
  process.kill(await life.vmmPid(pod), "SIGSTOP");
  await life.removePod(pod);
}

async function badInput(life: Life): Promise<void> {
  const nothing = "f".repeat(64);
  const bad = [
    () => failure(life.daemon.cri.call(runtime.runPodSandbox, {}), status.INVALID_ARGUMENT),
    () => failure(life.daemon.cri.call(runtime.podSandboxStatus, { podSandboxId: nothing }), status.NOT_FOUND),
    () => failure(life.daemon.cri.call(runtime.containerStatus, { containerId: nothing }), status.NOT_FOUND),
    () => failure(life.daemon.cri.call(runtime.execSync, { containerId: nothing, cmd: ["true"] }), status.NOT_FOUND),
    () => failure(life.daemon.cri.call(runtime.createContainer, { podSandboxId: nothing }), status.INVALID_ARGUMENT),
  ];
  await life.on("bad input", life.dice.pick(bad));
}

async function pulls(life: Life, reference: string): Promise<void> {
  const spec = { image: reference, annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
  await life.on("PullImage", () => life.daemon.cri.call(image.pullImage, { image: spec }));
  await life.on("RemoveImage", () => life.daemon.cri.call(image.removeImage, { image: spec }));
}
