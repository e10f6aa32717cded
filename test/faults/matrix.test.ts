import { randomInt } from "node:crypto";
import { Daemon } from "../support/daemon.js";
import { FaultDirectory, type Fault } from "../support/faults/fault-directory.js";
import { placesOf, runCell, type Operation, type Trouble } from "../support/faults/matrix.js";
import { pullImage, removeImage } from "../support/faults/image-operations.js";
import { createContainer, removePodSandbox, runPodSandbox, startContainer } from "../support/faults/operations.js";
import { busybox } from "../support/images.js";
import { runPod, type Pod } from "../support/pods.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";
import { buildLayer } from "../support/tar-builder.js";
import { limit } from "../support/wait.js";

/** Every n-th cell: a whole matrix boots some hundred Boxes. */
const every = Number(process.env["A3S_FAULTS_EVERY"] ?? "8");
/** Of an image's cells, in which no Box boots, those that cost a start of the daemon: another half of them each time. */
const half = every === 1 ? undefined : randomInt(2);

describe("Faults at every step", function () {
  this.timeout(limit(3_600_000));
  let faults: FaultDirectory;
  let daemon: Daemon;
  let registry: TestRegistry;
  before(async () => {
    faults = await FaultDirectory.make();
    registry = await startRegistry();
    // Each step of a boot: one that fails of going on from a template has the Box boot, which is no failure of the call.
    const config = `[image]\nplain_http = ["${registry.host}"]\n[sandbox]\nstart = "boot"\n`;
    daemon = await Daemon.start({ images: [await busybox()], config, environment: { A3S_FAULTS: faults.path } });
  });
  after(async () => {
    await daemon.remove();
    await registry.stop();
    await faults[Symbol.asyncDispose]();
  });

  const matrix = async <Subject>(
    operation: Operation<Subject>,
    choose = (cells: readonly Fault[]): readonly Fault[] => cells.filter((_, index) => index % every === 0),
    sticks = true,
  ): Promise<void> => {
    const places = await placesOf(operation, faults);
    const cells = choose(cellsOf(places, sticks));
    const troubles: Trouble[] = [];
    for (const fault of cells) {
      const trouble = await runCell(operation, fault, faults, daemon);
      say(`${trouble === undefined ? "ok " : "NOT"} ${fault.kind} at ${fault.place}`);
      if (trouble !== undefined) troubles.push(trouble);
    }
    say(`${cells.length} cells, ${cells.length - troubles.length} as they should be`);
    if (cells.length === 0) throw new Error("no step was seen");
    const lines = troubles.map(({ fault, why }) => `${fault.kind} at ${fault.place}: ${why}`);
    if (lines.length > 0) throw new Error(`\n${lines.join("\n")}`);
  };

  describe("of an image", () => {
    let reference: string;
    before(async () => {
      const lower = buildLayer([{ name: "data/", type: "directory", mode: 0o700 }]);
      const upper = buildLayer([{ name: "data/file", content: "x" }]);
      ({ reference } = await pushImage(registry.host, "faults/image", "v1", { layers: [lower, upper] }));
      // A daemon that has made layers into files for a Box makes those of later pulls, too, behind the calls.
      await daemon.stop();
      await daemon.launch();
    });

    const cheap = (cells: readonly Fault[]): readonly Fault[] => {
      const deadly = cells.filter(({ kind }) => kind === "die");
      return cells.filter((cell) => half === undefined || cell.kind !== "die" || deadly.indexOf(cell) % 2 === half);
    };

    // Their steps have no limits, and so none is given up.
    it("PullImage leaves nothing, and succeeds when it is repeated", async () => {
      await matrix(pullImage(daemon, reference), cheap, false);
    });

    it("RemoveImage has happened when it is repeated", async () => {
      await matrix(removeImage(daemon, reference), cheap, false);
    });
  });

  it("RunPodSandbox leaves nothing, and succeeds when it is repeated", async () => {
    await matrix(runPodSandbox(daemon));
  });

  it("RemovePodSandbox goes on where it was", async () => {
    await matrix(removePodSandbox(daemon));
  });

  describe("in a pod", () => {
    let pod: Pod;
    before(async () => {
      pod = await runPod(daemon, { logDirectory: "" });
    });
    after(async () => {
      await daemon.removePods();
    });

    // The hello is said once by each daemon: only the first container that a daemon makes in a Box may wait for it.
    const eachTime = (cells: readonly Fault[]): readonly Fault[] =>
      cells.filter(({ place }) => !place.includes(" agent hello")).filter((_, index) => index % every === 0);

    it("CreateContainer leaves nothing, and succeeds when it is repeated", async () => {
      await matrix(createContainer(daemon, pod), eachTime);
    });

    it("StartContainer succeeds, by the next try or on the next container", async () => {
      await matrix(startContainer(daemon, pod));
    });
  });
});

function say(line: string): void {
  process.stdout.write(`      ${line}\n`);
}

/** A step that has done its work can't fail any more; it may not come back, and the daemon can die between it and the next. */
function cellsOf(places: readonly string[], sticks: boolean): Fault[] {
  return places.flatMap((place) => {
    const kinds = place.startsWith("begin")
      ? (["fail", "hang", "die"] as const)
      : sticks
        ? (["stick", "die"] as const)
        : (["die"] as const);
    return kinds.map((kind) => ({ kind, place }));
  });
}
