/**
 * `npm run test:PART [-- more of mocha's arguments]`: one part of the tests, with the driver, the network and the number 1 that
 * it needs. What `npm test` runs, and in which order, is in `scripts/test/main.ts`.
 */
import { spawn } from "node:child_process";
import { projectDirectory } from "./support/project.js";

interface Part {
  /** `DIRECTORY/**`: all below it in one process, its output shown as it comes. `DIRECTORY`: a process for each file. */
  readonly files: string;
  /** For each test that says nothing else. */
  readonly timeoutMs?: number;
  /** Of mocha, more. */
  readonly options?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Programs before it, each of which runs the rest of its command line. */
  readonly under?: readonly (readonly string[])[];
  /** By mocha itself: what runs for an hour is not tried twice. */
  readonly once?: true;
}

const tsx = [process.execPath, "--import=tsx"];
const ownNetwork = ["unshare", "--net"];
const systemd = [...tsx, "test/support/systemd/run.ts"];
const sanitizers = [...tsx, "test/support/sanitized.ts"];
const qemu = { A3S_TEST_DRIVER: "qemu" };
/** Boxes that are none of the part's matter go on from templates, which takes a quarter of a boot. */
const boxes = { ...qemu, A3S_TEST_START: process.env["A3S_TEST_START"] ?? "template" };
const kubelet: Part = { files: "test/kubelet/**", timeoutMs: 600_000, env: boxes, under: [ownNetwork] };
/** They run neither the addon nor the launcher, or have their sanitizers anyway. */
const notSanitized = ["check-file-server", "install", "launcher-fuzz"];

const parts = {
  unit: { files: "test/unit/**", timeoutMs: 10_000, env: { A3S_TEST_PROCESSES: "2" } },
  native: { files: "test/native/**", timeoutMs: 20_000 },
  sanitized: {
    files: "test/native/**",
    timeoutMs: 60_000,
    options: notSanitized.map((name) => `--ignore=test/native/${name}.test.ts`),
    under: [sanitizers],
  },
  net: { files: "test/net/**", timeoutMs: 30_000, under: [ownNetwork] },
  image: { files: "test/image", timeoutMs: 20_000 },
  "image-kills": { files: "test/image/kills.test.ts", timeoutMs: 3_600_000, env: { A3S_KILLS: "200" }, once: true },
  vmm: { files: "test/vmm", timeoutMs: 120_000, env: qemu },
  systemd: { files: "test/systemd/**", timeoutMs: 90_000, env: qemu, under: [ownNetwork, systemd] },
  pool: { files: "test/pool", timeoutMs: 120_000, env: qemu },
  escape: { files: "test/escape", timeoutMs: 120_000, env: qemu },
  faults: { files: "test/faults", env: qemu },
  upgrade: { files: "test/upgrade/upgrade.test.ts", timeoutMs: 120_000, env: qemu, once: true },
  critest: { files: "test/critest", timeoutMs: 120_000, env: boxes },
  sandboxes: { files: "test/sandboxes", timeoutMs: 120_000, env: boxes },
  models: { files: "test/models", timeoutMs: 120_000, env: boxes },
  deploy: { files: "test/deploy/**", timeoutMs: 120_000, env: boxes },
  operator: { files: "test/operator/**", timeoutMs: 120_000 },
  "sandboxes-churn": { files: "test/churn/*.test.ts", env: boxes, once: true },
  beside: { files: "test/beside/**", timeoutMs: 120_000, env: boxes, under: [ownNetwork] },
  soak: { files: "test/soak/**", env: boxes, under: [ownNetwork] },
  "soak-long": { files: "test/soak/soak.test.ts", under: [ownNetwork], once: true },
  kubelet,
  "kubelet-oldest": { ...kubelet, env: { ...boxes, A3S_TEST_KUBELET: "oldest" } },
  "oracle-runtime": { files: "test/oracle/**/*.test.ts", timeoutMs: 120_000, env: qemu, once: true },
} as const satisfies Record<string, Part>;

const [name = "", ...more] = process.argv.slice(2);
const found = Object.entries<Part>(parts).find(([known]) => known === name);
if (found === undefined) throw new Error(`which part? ${Object.keys(parts).join(", ")}`);
process.exitCode = await run(found[1]);

async function run(part: Part): Promise<number> {
  const mocha = [process.execPath, "node_modules/mocha/bin/mocha.js", "--import=tsx", "--exit", part.files];
  const runner = part.once === true ? mocha : [...tsx, "test/support/run-files.ts", part.files];
  const timeout = part.timeoutMs === undefined ? [] : ["--timeout", String(part.timeoutMs)];
  const line = [...(part.under ?? []).flat(), ...runner, ...timeout, ...(part.options ?? []), ...more];
  const [program = "", ...args] = line;
  const child = spawn(program, args, {
    cwd: projectDirectory,
    stdio: "inherit",
    env: { ...process.env, ...part.env },
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve(code ?? 1);
    });
  });
}
