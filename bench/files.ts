/**
 * `bench files`: files of an image that a container reads, the first time and again: in a Box whose guest mounts layers, in one
 * whose layers are shared, in a pod of the host, and by the host itself.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { promisify } from "node:util";
import { runtime } from "../test/support/cri-client.js";
import { Daemon, nativeHandler } from "../test/support/daemon.js";
import { busyboxSource } from "../test/support/images.js";
import { exec, removeContainer, removePod, runPod, startContainer, type Pod } from "../test/support/pods.js";
import { buildLayer, type TarEntry } from "../test/support/tar-builder.js";
import { Figures } from "./figures.js";
import { machineFacts, round, type Report } from "./report.js";

/** Issue: "warm read of 1,400 files, Box / host: at most 3". */
const warmGoal = 3;
const image = "localhost/bench/files:1";
const smallFiles = 1400;
const smallBytes = 33 * 1024;
const largeFiles = 18;
const largeBytes = 11 * 1024 * 1024;
const again = 3;

const kinds = [
  { name: `${smallFiles} files, 46 MB`, directory: "small" },
  { name: `${largeFiles} files, 200 MB`, directory: "large" },
] as const;

interface Side {
  readonly name: string;
  readonly daemon: Daemon;
  readonly handler: string;
}

export async function benchFiles({ runs }: { readonly runs: number }): Promise<Report> {
  const figures = new Figures();
  const layer = buildLayer(entries(), "none");
  const images = [{ tag: image, ...(await busyboxSource({}, [layer])) }];
  const mounting = await Daemon.start({ images, config: nativeHandler });
  try {
    const sharing = await Daemon.start({ images, config: '[sandbox]\nimage_layers = "shared"\n' });
    try {
      const sides: Side[] = [
        { name: "Box", daemon: mounting, handler: "" },
        { name: "Box with shared layers", daemon: sharing, handler: "" },
        { name: "native", daemon: mounting, handler: "native" },
      ];
      for (let turn = 0; turn < runs; turn += 1) {
        for (const side of sides) await inPod(side, figures);
        await onHost(mounting, figures);
      }
      await mustMount(mounting);
    } finally {
      await sharing.remove();
    }
  } finally {
    await mounting.remove();
  }
  return report(figures);
}

function entries(): TarEntry[] {
  const some = (directory: string, count: number, bytes: number): TarEntry[] => [
    { name: `${directory}/`, type: "directory" },
    ...Array.from({ length: count }, (_each, index): TarEntry => ({
      name: `${directory}/${index}`,
      content: randomBytes(bytes),
    })),
  ];
  return [...some("small", smallFiles, smallBytes), ...some("large", largeFiles, largeBytes)];
}

/** In a pod of its own: the first read is the first of its guest. */
async function inPod({ name, daemon, handler }: Side, figures: Figures): Promise<void> {
  const pod: Pod = await runPod(daemon, {}, handler);
  const id = await startContainer(daemon, pod, { image: { image } });
  const timed = async (line: string): Promise<number> => {
    const beganMs = performance.now();
    const { exitCode, stderr } = await exec(daemon, id, ["sh", "-c", line]);
    if (exitCode !== 0) throw new Error(`${name}: "${line}" ended with ${exitCode}: ${stderr}`);
    return performance.now() - beganMs;
  };
  await timed("true");
  const startMs = await timed("true");
  for (const { name: kind, directory } of kinds) {
    for (let time = 0; time <= again; time += 1) {
      const ms = (await timed(`cat /${directory}/* >/dev/null`)) - startMs;
      figures.add(`${name}: ${kind}, ${time === 0 ? "first" : "again"}`, "ms", ms);
    }
  }
  await removeContainer(daemon, id);
  await removePod(daemon, pod);
}

/** By the programs of the image, from the layer's own tree. */
async function onHost(daemon: Daemon, figures: Figures): Promise<void> {
  const { stdout } = await promisify(execFile)("find", [join(daemon.root, "images/layers"), "-path", "*/fs/small"]);
  const top = join(stdout.trim(), "..");
  for (const { name: kind, directory } of kinds) {
    for (let time = 0; time < again; time += 1) {
      await figures.time(`host: ${kind}, again`, () =>
        promisify(execFile)("sh", ["-c", `cat ${join(top, directory)}/* >/dev/null`]),
      );
    }
  }
}

/** With a kernel that can't, all of it would be about something else. */
async function mustMount(daemon: Daemon): Promise<void> {
  const { info } = await daemon.cri.call(runtime.status, { verbose: true });
  const told = info["imageLayers"] ?? "";
  if (!told.includes('"erofs"'))
    throw new Error(`the Box's layers were shared: ${told} (A3S_KERNEL=own npm run setup -- test)`);
}

function report(figures: Figures): Report {
  const ratio = (one: string, other: string): number => round(figures.p50(one) / figures.p50(other));
  return {
    bench: "files",
    machine: machineFacts("qemu"),
    rows: figures.rows(),
    ratios: kinds.flatMap(({ name }) => [
      {
        name: `${name}, again: Box / host`,
        value: ratio(`Box: ${name}, again`, `host: ${name}, again`),
        goal: warmGoal,
      },
      {
        name: `${name}, again: Box / Box with shared layers`,
        value: ratio(`Box: ${name}, again`, `Box with shared layers: ${name}, again`),
        goal: 1,
      },
      {
        name: `${name}, first: Box / Box with shared layers`,
        value: ratio(`Box: ${name}, first`, `Box with shared layers: ${name}, first`),
        goal: 1,
      },
    ]),
  };
}
