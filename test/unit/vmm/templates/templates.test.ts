import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir, uptime } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import pino from "pino";
import { newBoxId } from "../../../../src/base/ids.js";
import type { Native } from "../../../../src/native/addon.js";
import type { BoxSpec } from "../../../../src/vmm/box.js";
import type { Driver } from "../../../../src/vmm/drivers/driver.js";
import { openTemplates } from "../../../../src/vmm/templates/open-templates.js";
import { keyOf } from "../../../../src/vmm/templates/template-class.js";
import { TemplateFiles } from "../../../../src/vmm/templates/template-files.js";
import { Templates, identityOf, type TemplateDeps } from "../../../../src/vmm/templates/templates.js";

const size = { vcpus: 1, memoryMib: 256, tap: "tap0" };
const spec: BoxSpec = { id: newBoxId(), ...size, netnsPath: "/n", cgroupParent: "" };

describe("templates", () => {
  let directory: string;
  let removedNetns: string[];
  let said: string[];
  const closing = new AbortController();
  closing.abort(); // none is made here: that takes a machine

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-templates-"));
    [removedNetns, said] = [[], []];
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  const path = (...names: readonly string[]): string => join(directory, ...names);

  function deps(): TemplateDeps {
    const native: Partial<Native> = {
      removeNetns: (netns) => {
        removedNetns.push(netns);
        return Promise.resolve();
      },
    };
    return {
      native: native as Native,
      log: pino({ level: "info" }, { write: (line: string) => said.push(line) }),
      state: path("state"),
      guestBase: path("guest"),
      ...{
        bootTimeoutMs: 1,
        healthTimeoutMs: 0,
        kernelParameters: [],
        cgroups: { manager: "cgroupfs", everywhere: false },
      },
      owners: { mapped: true },
      inTurn: (_id, _signal, work) => work(),
      closing: closing.signal,
    };
  }

  function driverThat(looks: () => Promise<string>): Driver {
    const driver: Partial<Driver> = { name: "qemu", snapshots: { identity: looks } };
    return driver as Driver;
  }

  async function putAgent(): Promise<void> {
    await mkdir(path("guest/usr/bin"), { recursive: true });
    await writeFile(path("guest/usr/bin/agent"), "");
  }

  /** What a Box of the size goes on from. */
  async function putTemplate(driver: Driver): Promise<string> {
    const file = path("kept", `${keyOf(size, await identityOf(deps(), driver, AbortSignal.timeout(5000)))}.ram`);
    await writeFile(file, "");
    return file;
  }

  it("that can't be looked for fail no Box, and are looked for anew by the next", async () => {
    const driver = driverThat(() => Promise.resolve("these programs"));
    const templates = await Templates.open(deps(), driver, path("kept"));
    expect(await templates.find(spec)).to.equal(undefined);
    expect(said.join("")).to.contain("templates can't be looked at").and.to.contain("ENOENT");
    await putAgent();
    const file = await putTemplate(driver);
    expect(await templates.find(spec)).to.equal(file);
  });

  it("are not of programs that have been replaced", async () => {
    let programs = "old";
    const driver = driverThat(() => Promise.resolve(programs));
    await putAgent();
    const templates = await Templates.open(deps(), driver, path("kept"));
    const file = await putTemplate(driver);
    expect(await templates.find(spec)).to.equal(file);
    expect(await templates.find({ ...spec, memoryMib: 512 })).to.equal(undefined);
    programs = "new";
    expect(await templates.find(spec)).to.equal(undefined);
  });

  it("that can't be dropped fail no Box", async () => {
    const templates = await Templates.open(
      deps(),
      driverThat(() => Promise.resolve("")),
      path("kept"),
    );
    await mkdir(path("kept/0.ram/full"), { recursive: true });
    await templates.drop(path("kept/0.ram"), "the test");
    expect(said.join("")).to.contain("a template can't be removed");
  });

  it("that other daemons of the machine are making in the same directory are left to them", async () => {
    const own = newBoxId();
    await mkdir(path("state/templates"), { recursive: true });
    await mkdir(path("kept"));
    await writeFile(path(`state/templates/${own}.netns`), "");
    for (const name of [own, "other"]) await writeFile(path(`kept/${name}.part`), "");
    await openTemplates(deps(), new Map(), path("kept"));
    expect(await readdir(path("kept"))).to.deep.equal(["other.part"]);
    expect(removedNetns).to.deep.equal([path(`state/templates/${own}.netns`)]);
  });

  it("that there can't be keep no daemon from its start", async () => {
    const drivers = new Map([["qemu" as const, driverThat(() => Promise.resolve(""))]]);
    await writeFile(path("file"), "");
    expect(await openTemplates(deps(), drivers, path("file/kept"))).to.have.property("size", 0);
    expect(said.join("")).to.contain("no templates; Boxes boot");
    const deep = { ...deps(), state: path("x".repeat(60)) };
    expect(await openTemplates(deep, drivers, path("kept"))).to.have.property("size", 0);
    expect(said.join("")).to.contain("the state directory's path is too long");
    expect(await openTemplates(deps(), drivers, path("kept"))).to.have.property("size", 1);
  });

  it("of an earlier boot of the machine go", async () => {
    await TemplateFiles.open(path("kept"));
    for (const name of ["old.ram", "old.part", "new.ram", "new.part", "no-template"])
      await writeFile(path("kept", name), "");
    const before = new Date(Date.now() - uptime() * 1000 - 60_000);
    for (const name of ["old.ram", "old.part", "no-template"]) await utimes(path("kept", name), before, before);
    await TemplateFiles.open(path("kept"));
    expect((await readdir(path("kept"))).sort()).to.deep.equal(["new.part", "new.ram", "no-template"]);
  });

  it("are eight at most: those used last, and none gives way that was used within minutes", async () => {
    const files = await TemplateFiles.open(path("kept"));
    const minutesAgo = (minutes: number): Date => new Date(Date.now() - minutes * 60_000);
    for (let index = 0; index < 8; index++) {
      await writeFile(path(`kept/${index}.ram`), "");
      await utimes(path(`kept/${index}.ram`), minutesAgo(index), minutesAgo(index));
    }
    expect(await files.haveRoom()).to.equal(false);
    await utimes(path("kept/3.ram"), minutesAgo(20), minutesAgo(20));
    expect(await files.haveRoom()).to.equal(true);
    const id = newBoxId();
    await writeFile(files.partOf(id), "");
    await files.publish(id, "new");
    expect((await readdir(path("kept"))).sort()).to.deep.equal(
      ["0", "1", "2", "4", "5", "6", "7", "new"].map((key) => `${key}.ram`),
    );
    expect(await files.use("3")).to.equal(undefined);
  });
});
