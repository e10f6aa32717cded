/** Boxes that go on from the state of one that has booted: alike in all, but in nothing that must not be alike. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir, readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { expect } from "chai";
import pino from "pino";
import type { Box } from "../../src/vmm/box.js";
import { halfMadeIn, templatesDirectory } from "../../src/vmm/templates/half-made.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";
import { BoxBench, native, within } from "./bench-of-boxes.js";
import { busyboxSpec } from "./busybox-spec.js";
import { startSession } from "./sessions.js";

const random = "/proc/sys/kernel/random";
/** Two Boxes each; `A3S_TEST_PAIRS=100` for the long proof. */
const pairs = Number(process.env["A3S_TEST_PAIRS"] ?? "2");
/**
 * Numbers of a machine and its programs, a line each; `boot_id` is asked for once, and stays. IPv6: an identifier that the kernel
 * makes up for a device, as DHCP's and those of TLS sessions are of `getrandom`.
 */
const numbers = `numbers
echo uuid $(cat ${random}/uuid); echo boot_id $(cat ${random}/boot_id); echo boot_id $(cat ${random}/boot_id)
echo 3 > /proc/sys/net/ipv6/conf/eth0/addr_gen_mode; ip link set eth0 up
until grep -q eth0 /proc/net/if_inet6; do :; done; echo ipv6 $(grep eth0 /proc/net/if_inet6 | cut -d' ' -f1)
echo at $(date +%s)`;
const kinds = ["getrandom", "at-start", "stack", "mapped", "tcp-client", "tcp-server", "uuid", "boot_id", "ipv6"];
/** QEMU would say five times who is there now, the last time 1.4 s after the machine goes on. */
const announcedMs = 1600;
const capabilities = [
  "CAP_SYS_ADMIN",
  "CAP_CHOWN",
  "CAP_SETUID",
  "CAP_SETGID",
  "CAP_DAC_OVERRIDE",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
];

describe("a template", function () {
  this.timeout(limit(240_000));
  let bench: BoxBench;
  const said: string[] = [];
  const files = async (): Promise<string[]> => await readdir(join(bench.directory, "kept"));

  before(async function () {
    if (process.env["A3S_TEST_DRIVER"] === "krun") skipBecause(this, "libkrun has no snapshots");
    const log = pino({ level: "info" }, { write: (line: string) => said.push(line) });
    bench = await BoxBench.open({ templates: true, log });
  });
  after(async () => {
    if (process.env["A3S_TEST_DRIVER"] !== "krun") await bench[Symbol.asyncDispose]();
  });

  /** With a device, whose netns is its own. */
  async function boot(): Promise<Box> {
    const spec = await bench.spec({ tap: "tap0" });
    await native.createTap(spec.netnsPath, "tap0");
    return await bench.bootOf(spec);
  }

  async function configured(box: Box): Promise<Box> {
    const request = {
      hostname: "one",
      wallClockNs: BigInt(Date.now()) * 1_000_000n,
      sysctls: {},
      shmSizeBytes: 0n,
      rehearsal: false,
    };
    await box.agent.configureSandbox({ ...request, interfaces: [], entropy: randomBytes(64) }, within(30_000));
    return box;
  }

  async function ran(box: Box, command: string): Promise<string> {
    const spec = (root: string): object => {
      const plain = busyboxSpec(root, `PATH=/tmp:/bin; ${command}`);
      const all = { bounding: capabilities, effective: capabilities, permitted: capabilities };
      return { ...plain, process: { ...plain.process, capabilities: all } };
    };
    const session = await startSession(box, bench, { spec });
    try {
      const { stdout, stderr, code } = await session.ended();
      expect(code, stderr).to.equal(0);
      return stdout;
    } finally {
      await session.remove();
    }
  }

  async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
    const begun = performance.now();
    const result = await work();
    return { ms: performance.now() - begun, result };
  }

  it("is made behind the first Box of its class, and nothing else of it is left", async () => {
    const { ms, result: box } = await timed(boot);
    process.stdout.write(`      booted in ${ms.toFixed(0)} ms\n`);
    await eventually("a template", limit(90_000), async () =>
      (await files()).some((one) => one.endsWith(".ram")) ? true : undefined,
    );
    await bench.discard(box.id);
    await eventually("nothing beside it", limit(20_000), async () => ((await files()).length === 1 ? true : undefined));
    expect(said.join("")).to.contain("template made");
  });

  it("is gone on from by Boxes whose files take attributes, which their file server is asked for in words of its own", async () => {
    await bench.snapshot();
    const program = join(bench.directory, "layer/bin/attributes");
    await promisify(execFile)("cc", ["-static", "-O1", "-o", program, join(import.meta.dirname, "attributes.c")]);
    const box = await configured(await boot());
    expect(await ran(box, "attributes")).to.equal("user: one\nacl: 28 bytes\nshared: 0\n");
    await bench.discard(box.id);
  });

  it("is gone on from without a word to the network, nor one to the guest that it should say one", async () => {
    await bench.snapshot();
    const spec = await bench.spec({ tap: "tap0" });
    await native.createTap(spec.netnsPath, "tap0");
    const box = await configured(await bench.bootOf(spec));
    // by its bit: VIRTIO_NET_F_GUEST_ANNOUNCE. Its work in the guest and a device that is taken down wait for each other for ever.
    const features = await ran(
      box,
      "mkdir /tmp/sys; mount -t sysfs sysfs /tmp/sys; cat /tmp/sys/class/net/eth0/device/features",
    );
    expect(features).to.match(/^[01]{64}\n$/);
    expect(features[21], features).to.equal("0");
    await setTimeout(announcedMs);
    const { stdout } = await promisify(execFile)("nsenter", [
      ...[`--net=${spec.netnsPath}`, "ip", "-s", "-j", "link", "show", "tap0"],
    ]);
    const [{ stats64 } = { stats64: undefined }] = JSON.parse(stdout) as { stats64: { rx: { packets: number } } }[];
    expect(stats64?.rx.packets, "frames of QEMU's own").to.equal(0);
    await bench.discard(box.id);
  });

  it("is gone on from by Boxes that have no number in common", async () => {
    await bench.snapshot();
    const program = join(bench.directory, "layer/bin/numbers");
    await promisify(execFile)("cc", ["-static", "-O1", "-o", program, join(import.meta.dirname, "numbers.c")]);
    const seen = new Map<string, string>();
    for (let pair = 0; pair < pairs; pair++) {
      const { ms, result: boxes } = await timed(() => Promise.all([boot(), boot()]));
      process.stdout.write(`      two at once in ${ms.toFixed(0)} ms\n`);
      const said = await Promise.all(boxes.map(async (box) => ran(await configured(box), numbers)));
      for (const [index, box] of boxes.entries()) {
        const own = new Map(
          (said[index] ?? "")
            .trim()
            .split("\n")
            .map((line) => line.split(" "))
            .map(([kind = "", value = ""]) => [kind, value] as const),
        );
        const at = Number(own.get("at"));
        expect(Math.abs(at - Date.now() / 1000), "its clock").to.be.below(limit(30));
        own.delete("at");
        expect([...own.keys()]).to.deep.equal([...kinds]);
        expect(said[index]?.match(/boot_id .*/g), "boot_id").to.satisfy(([one, again]: string[]) => one === again);
        for (const [kind, value] of own) {
          expect(value, kind).to.match(/^(?:0x)?[0-9a-f-]{8,}$/);
          expect(seen.get(`${kind} ${value}`), `${kind} ${value}`).to.equal(undefined);
          seen.set(`${kind} ${value}`, box.id);
        }
        await bench.discard(box.id);
      }
    }
    expect(seen.size).to.equal(2 * pairs * kinds.length);
  });

  it("stays where a Box fails before it is gone on from", async () => {
    const spec = await bench.spec({ tap: "tap0" });
    const netnsPath = join(bench.directory, "nowhere");
    expect(await bench.bootOf({ ...spec, netnsPath }).then(String, String)).to.contain("nowhere");
    expect(await files()).to.have.lengthOf(1);
    expect(said.join("")).to.not.contain("could go on");
  });

  it("that can't be gone on from is dropped; the Box boots all the same", async () => {
    const [file = ""] = await files();
    await truncate(join(bench.directory, "kept", file), 4096);
    const box = await boot();
    expect(await ran(await configured(box), "echo up")).to.equal("up\n");
    expect(said.join("")).to.contain("no Box could go on from this template");
    expect(await files()).to.not.include(file);
    await bench.discard(box.id);
  });

  it("is taken away half made by the daemon that ends, and by the next one where it did not come to that", async () => {
    const state = join(bench.directory, "state");
    const halfMade = async (): Promise<number> => (await halfMadeIn(state)).paths.length;
    const processes = async (): Promise<string[]> => {
      const all = await Promise.all(
        (await readdir("/proc")).map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
      );
      return all.filter((line) => line.includes(`${templatesDirectory(state)}/boxes/`));
    };
    const begun = async (): Promise<void> => {
      const box = await bench.boot({ memoryMib: 128 });
      await eventually("a template's machine", limit(30_000), async () =>
        (await processes()).length > 1 ? true : undefined,
      );
      await bench.discard(box.id);
    };

    await bench.factory.idle(); // with what is made in the place of the one that was dropped
    await begun();
    const before = bench.factory;
    await bench.reopen();
    expect([await halfMade(), await processes()]).to.deep.equal([0, []]);
    await before.idle();
    expect(await halfMade()).to.equal(0);

    await begun();
    await bench.close();
    expect([await halfMade(), await processes()]).to.deep.equal([0, []]);
    expect((await files()).filter((name) => !name.endsWith(".ram"))).to.deep.equal([]);
  });
});
