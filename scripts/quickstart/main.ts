import { release } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/base/errors.js";
import { busyboxImageName } from "../setup/assets/busybox-image.js";
import { buildDist } from "../setup/dist.js";
import { interrupted } from "../setup/interrupted.js";
import type { SetupContext } from "../setup/run.js";
import { type Driver, setUp, setupContext, usableDriver } from "../setup/set-up.js";
import { Stopwatch } from "../setup/stopwatch.js";

const usage = `npm run quickstart [-- OPTIONS]
  --sandboxes           serve sandboxes for agents on this machine, until Ctrl-C, in place of running a pod
  --image REF           pull and run this image instead of the one made from Debian's packages
  --driver krun|qemu    how the microVM is made; left out: what this machine can do`;

/** Where SDKs look when nobody tells them where. */
const sandboxesPort = 4088;

const watch = new Stopwatch();
const say = (line: string): void => {
  console.log(line === "" ? "" : `[${(performance.now() / 1000).toFixed(1).padStart(6)} s] ${line}`);
};

interface Wish {
  readonly sandboxes: boolean;
  readonly image: string | undefined;
  readonly driver: Driver | undefined;
}

function wishOf(argv: readonly string[]): Wish | undefined {
  try {
    const options = {
      sandboxes: { type: "boolean", default: false },
      image: { type: "string" },
      driver: { type: "string" },
    } as const;
    const { values } = parseArgs({ args: [...argv], options });
    const { sandboxes, image, driver } = values;
    if (sandboxes && image !== undefined) return undefined;
    if (driver === undefined || driver === "krun" || driver === "qemu") return { sandboxes, image, driver };
  } catch {
    // the usage says it
  }
  return undefined;
}

async function setUpAll(context: SetupContext, { driver, sandboxes }: Wish): Promise<void> {
  watch.add("npm packages", Number(process.env["BOOTSTRAP_MS"] ?? "0"));
  await watch.time("native parts", async () => {
    const drivers = [driver ?? (await usableDriver(context))];
    await setUp(context, { drivers, forTests: false, templates: sandboxes });
  });
  await watch.time("compile the daemon", () => buildDist(context));
}

async function main(): Promise<number> {
  const wish = wishOf(process.argv.slice(2));
  if (wish === undefined) {
    console.error(usage);
    return 2;
  }
  const signal = interrupted();
  const context = setupContext(join(import.meta.dirname, "../.."), signal, say);
  say("setting up: what is there already is taken as it is");
  await setUpAll(context, wish);
  // Only now: these files import the generated code, which the set-up has made.
  if (wish.sandboxes) {
    const { serveSandboxes } = await import("./serve-sandboxes.js");
    return await serveSandboxes(context, { driver: wish.driver ?? "auto", port: sandboxesPort });
  }
  const { demonstrate } = await import("./demonstrate.js");
  const shown = await demonstrate(context, watch, { image: wish.image, driver: wish.driver ?? "auto" });
  console.log(`\nStages\n${watch.table()}\n`);
  console.log(`Output of the container, image ${wish.image ?? busyboxImageName}`);
  console.log(shown.output.replace(/^/gm, "  | "));
  console.log(`\nKernel in the microVM:  ${shown.output.match(/^Linux (\S+)/m)?.[1] ?? "(the image has no uname)"}`);
  console.log(`Kernel of this host:    ${release()}`);
  console.log(`Driver:                 ${shown.driver}`);
  console.log(`\nNext, with a runtime that stays (crictl is of the cri-tools project):`);
  console.log(nextSteps(wish.image));
  return shown.exitCode;
}

function nextSteps(reference: string | undefined): string {
  const name = reference ?? busyboxImageName;
  const get =
    reference === undefined
      ? "node dist/main.js image import build/assets/image/busybox.tar"
      : `crictl -r unix:///run/a3s-box/cri.sock pull ${reference}`;
  const lines = [
    "node dist/main.js serve --network loopback &",
    get,
    "export CONTAINER_RUNTIME_ENDPOINT=unix:///run/a3s-box/cri.sock",
    `echo '{"metadata":{"name":"p","uid":"1","namespace":"default"},"log_directory":"/tmp/p","linux":{}}' > pod.json`,
    `echo '{"metadata":{"name":"c"},"image":{"image":"${name}"},"command":["sleep","600"],"log_path":"c.log","linux":{}}' > ctr.json`,
    "POD=$(crictl runp pod.json); CTR=$(crictl create $POD ctr.json pod.json); crictl start $CTR",
    "crictl exec --sync $CTR uname -r; crictl pods; crictl ps; crictl stopp $POD; crictl rmp $POD",
  ];
  return lines.map((line) => `  ${line}`).join("\n");
}

try {
  process.exitCode = await main();
} catch (thrown) {
  console.error(`\nquickstart failed: ${messageOf(thrown)}`);
  process.exitCode = process.exitCode === 130 ? 130 : 1;
}
