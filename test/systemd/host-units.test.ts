/** Units as the chart's pod on a node has them started, over the bus of a real systemd (`src/cli/node/host-units.ts`). */
import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { expect } from "chai";
import { hostUnits } from "../../src/cli/node/host-units.js";
import { managerSockets } from "../../src/vmm/systemd/manager.js";
import { eventually, limit } from "../support/wait.js";

const run = promisify(execFile);
const [served, once] = ["a3s-test-served.service", "a3s-test-once.service"];
const files = [served, once].map((name) => `/etc/systemd/system/${name}`);

describe("units of a node", function () {
  this.timeout(limit(60_000));
  const units = hostUnits(managerSockets);
  const signal = AbortSignal.timeout(limit(55_000));

  before(async () => {
    if (process.env["A3S_TEST_SYSTEMD"] === undefined) throw new Error("run it by npm run test:systemd");
    const service = (start: string): string => `[Service]\nExecStart=${start}\n[Install]\nWantedBy=multi-user.target\n`;
    await writeFile(`/etc/systemd/system/${served}`, service("/bin/sleep 1000"));
    await writeFile(
      `/etc/systemd/system/${once}`,
      `[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n`,
    );
    await units.reload(signal);
  });
  after(async () => {
    await run("systemctl", ["stop", served, once]).catch(() => undefined);
    for (const file of files) await rm(file, { force: true });
    await run("systemctl", ["daemon-reload"]);
  });

  const shown = async (unit: string, property: string): Promise<string> =>
    (await run("systemctl", ["show", "--value", "-p", property, unit])).stdout.trim();
  const state = (unit: string, wanted: string): Promise<unknown> =>
    eventually(`${unit} is ${wanted}`, 20_000, async () =>
      (await shown(unit, "ActiveState")) === wanted ? true : undefined,
    );

  it("start now and with the node; what runs goes on, unless it is to start anew", async () => {
    await units.start(served, false, signal);
    await state(served, "active");
    expect(await shown(served, "UnitFileState")).to.equal("enabled");
    const pid = await shown(served, "MainPID");
    await units.start(served, false, signal);
    expect(await shown(served, "MainPID")).to.equal(pid);
    await units.start(served, true, signal);
    await eventually("another process", 20_000, async () => {
      const now = await shown(served, "MainPID");
      return now !== "0" && now !== pid ? true : undefined;
    });
  });

  it("run once, without being enabled", async () => {
    await units.runOnce(once, signal);
    await state(once, "active");
    expect(await shown(once, "UnitFileState")).to.equal("static");
  });

  it("stop for good", async () => {
    await units.stop(served, signal);
    await state(served, "inactive");
    expect(await shown(served, "UnitFileState")).to.equal("disabled");
  });

  it("are named in what systemd refuses", async () => {
    const why = await units.runOnce("a3s-test-none.service", signal).catch((thrown: unknown) => thrown);
    expect(why).to.be.instanceOf(Error).with.property("message").that.contains("a3s-test-none.service");
  });
});
