import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { codeOf, messageOf } from "../../../src/base/errors.js";
import { neverAborted } from "../../../src/base/signals.js";
import type { Caller } from "../../../src/sandboxes/core/caller.js";
import type { SandboxView, SandboxWanted } from "../../../src/sandboxes/core/sandbox.js";
import { busybox } from "../../support/images.js";
import { makeBase, openCore, someCaller, wantedSandbox, type TestCore } from "../../support/sandboxes/open-core.js";
import { eventually } from "../../support/wait.js";

const other: Caller = { tenant: "team-b", name: "token b" };

describe("tenants of the agents' edge", () => {
  let core: TestCore;
  let allowed: string;
  before(async () => {
    const base = await makeBase();
    allowed = join(base, "allowed");
    await mkdir(allowed);
    await writeFile(join(allowed, "note"), "from the host\n");
    await symlink("/etc", join(allowed, "out"));
    core = await openCore(
      base,
      `
      [sandboxes]
      pull = "never"
      max_vcpus = 2
      memory_mib = 512
      max_memory_mib = 1024
      [sandboxes.quota]
      sandboxes = 1
      [sandboxes.tenants.team-b]
      images = []
      sandboxes = 0
      starts_a_minute = 1
      [sandboxes.tenants.team-c]
      sandboxes = 0
      images = ["localhost/test/*"]
      mounts = ["${allowed}"]
      [templates.small]
      image = "localhost/test/busybox:1"
      vcpus = 1
      memory_mib = 256
      env = { FROM = "template" }
      start_command = ["sh", "-c", "sleep 1; touch /tmp/up; exit 3"]
      ready_command = ["test", "-e", "/tmp/up"]
      [templates.never]
      image = "localhost/test/busybox:1"
      vcpus = 1
      memory_mib = 256
      ready_command = ["sh", "-c", "echo still not >&2; exit 7"]
      ready_timeout_ms = 2000
      [templates.gone]
      image = "localhost/test/nothing:1"
      `,
      [await busybox()],
    );
  });
  after(async () => {
    await core.remove();
  });

  const create = async (caller: Caller, more: Partial<SandboxWanted> = {}): Promise<SandboxView> =>
    await core.sandboxes.create(caller, wantedSandbox(more), neverAborted);

  const failure = async (work: () => unknown): Promise<string> => {
    try {
      await work();
    } catch (thrown) {
      return `${codeOf(thrown)}: ${messageOf(thrown)}`;
    }
    throw new Error("it did not fail");
  };

  const nothingLeft = async (): Promise<void> => {
    await eventually("no pod is left", 30_000, () => core.engine.sandboxes.all().length === 0 || undefined);
    expect(core.sandboxes.list(someCaller, {}, { limit: 10 }).items).to.deep.equal([]);
  };

  it("do not know of each other's sandboxes, and have each a quota of their own", async () => {
    const { sandboxes } = core;
    const one = await create(someCaller);
    const never = await failure(() => sandboxes.get(someCaller, "a".repeat(20)));
    for (const ask of [
      () => sandboxes.get(other, one.id),
      () => sandboxes.extend(other, one.id, 1000, "any"),
      () => sandboxes.end(other, one.id, neverAborted),
      () => sandboxes.processes(other, one.id),
      () => sandboxes.files(other, one.id),
      () => sandboxes.usage(other, one.id, neverAborted),
      () => sandboxes.connectPort(other, one.id, 80, neverAborted),
    ]) {
      expect(await failure(ask)).to.equal(never.replace("a".repeat(20), one.id));
    }
    expect(sandboxes.list(other, {}, { limit: 10 })).to.deep.equal({ items: [] });

    const tooMany = await failure(() => create(someCaller));
    expect(tooMany).to.match(/^resourceExhausted: quota sandboxes of team-a: 1 of 1 are used/);
    expect(tooMany).to.contain("[sandboxes.tenants.team-a]");

    const theirs = await create(other, { template: "small" });
    expect(theirs).to.deep.include({
      tenant: "team-b",
      template: "small",
      env: { FROM: "template" },
      state: "running",
    });
    expect(await failure(() => create(other, { template: "small" }))).to.match(/quota starts_a_minute of team-b/);
    const usage = await sandboxes.usage(other, theirs.id, neverAborted);
    expect(usage).to.include({ vcpus: 1, memoryTotalBytes: 256 * 1024 * 1024 });
    expect(usage.memoryUsedBytes).to.be.greaterThan(0);

    const audit = core.log.filter((line) => line["audit"] === true && line["what"] === "create");
    expect(audit.map(({ caller, tenant, outcome }) => [caller, tenant, outcome])).to.deep.equal([
      ["uid 0", "team-a", "ok"],
      ["uid 0", "team-a", "resourceExhausted"],
      ["token b", "team-b", "ok"],
      ["token b", "team-b", "resourceExhausted"],
    ]);
    await sandboxes.end(someCaller, one.id, neverAborted);
    await sandboxes.end(other, theirs.id, neverAborted);
    await nothingLeft();
  });

  it("get errors for what can't be, and nothing is left of it", async () => {
    const mount = (hostPath: string, path = "/data"): Partial<SandboxWanted> => ({
      mounts: [{ hostPath, path, readonly: true }],
    });
    const third: Caller = { tenant: "team-c", name: "uid 0" };
    const table: readonly (readonly [Caller, Partial<SandboxWanted>, RegExp])[] = [
      [someCaller, { template: "" }, /^notFound: template "" is not known/],
      [someCaller, { template: "NO SUCH" }, /^invalidArgument: image reference "NO SUCH"/],
      [someCaller, { template: "localhost/test/nothing:1" }, /^notFound: .*not on this node/],
      [someCaller, { template: "gone" }, /^notFound: .*not on this node/],
      [other, { template: "localhost/test/busybox:1" }, /^notFound: template .*templates: small, never, gone/],
      [third, { template: "docker.io/library/busybox" }, /^permissionDenied: image/],
      [someCaller, { vcpus: 0 }, /^invalidArgument: vcpus 0/],
      [someCaller, { vcpus: 1.5 }, /^invalidArgument: vcpus 1.5/],
      [someCaller, { vcpus: 1_000_000 }, /^invalidArgument: vcpus 1000000 .*1 to 2/],
      [someCaller, { memoryMib: Number.POSITIVE_INFINITY }, /^invalidArgument: memory_mib Infinity/],
      [someCaller, { diskMib: -1 }, /^invalidArgument: disk_mib -1/],
      [someCaller, { lifeMs: Number.NaN }, /^invalidArgument: life time/],
      [someCaller, { env: { "A=B": "c" } }, /^invalidArgument: env "A=B"/],
      [someCaller, { env: { A: "\0" } }, /^invalidArgument: env "A" has a NUL/],
      [someCaller, { env: { A: "x".repeat(300_000) } }, /^invalidArgument: env has 300001 bytes/],
      [someCaller, { user: "nobody-at-all" }, /invalidArgument|not in the image's/],
      [someCaller, { workingDir: "relative" }, /^invalidArgument: working directory/],
      [someCaller, { endsWithOwner: true }, /^invalidArgument: .*uid 0 is no pod/],
      [someCaller, mount("/etc"), /^permissionDenied: .*team-a may not mount \/etc/],
      [third, mount("/etc"), /^permissionDenied: .*team-c may not mount \/etc/],
      [third, mount(`${allowed}/out`), /^permissionDenied: .*may not mount/],
      [third, mount(`${allowed}/../x`), /^invalidArgument: .*"\.\." in it/],
      [third, mount(`${allowed}/missing`), /^invalidArgument: .*not there to be mounted/],
      [third, mount(allowed, "/proc/x"), /^invalidArgument: path of a mount/],
      [someCaller, { template: "never" }, /deadlineExceeded: .*ready check: .*exit status 7: "still not"/],
    ];
    for (const [caller, wanted, expected] of table) {
      expect(await failure(() => create(caller, wanted)), JSON.stringify(wanted).slice(0, 200)).to.match(expected);
    }
    await nothingLeft();
  });

  it("mount nothing outside of what they may, however names are exchanged between a look and a mount", async () => {
    const third: Caller = { tenant: "team-c", name: "uid 0" };
    const outside = join(dirname(allowed), "outside");
    const mine = join(allowed, "mine");
    const place = join(mine, "below");
    await mkdir(join(outside, "below"), { recursive: true });
    const { lookups } = core.engine.containers;
    const honest = lookups.lookUp.bind(lookups);
    // After the core has looked, and after the engine has.
    for (const looks of [1, 2]) {
      await mkdir(place, { recursive: true });
      let seen = 0;
      Object.assign(lookups, {
        lookUp: async (path: string, signal: AbortSignal) => {
          const found = await honest(path, signal);
          if (path !== place || ++seen !== looks) return found;
          await rm(mine, { recursive: true });
          await symlink(outside, mine);
          return found;
        },
      });
      try {
        const mounts = [{ hostPath: place, path: "/data", readonly: false }];
        const said = await failure(() => create(third, { mounts }));
        expect(said, said).to.match(/^permissionDenied: .*(?:outside|mine)\/below is not in/);
        expect(seen).to.be.at.least(looks);
      } finally {
        Object.assign(lookups, { lookUp: honest });
        await rm(mine, { recursive: true, force: true });
      }
    }
    await nothingLeft();
  });

  it("see what they may mount", async () => {
    const third: Caller = { tenant: "team-c", name: "uid 0" };
    const mounts = [{ hostPath: allowed, path: "/data", readonly: true }];
    const view = await create(third, { mounts });
    expect(view.mounts).to.deep.equal(mounts);
    const processes = core.sandboxes.processes(third, view.id);
    const wanted = {
      args: ["cat", "/data/note"],
      env: {},
      workingDir: "",
      user: "",
      stdin: false,
      tag: "",
      limitMs: 0,
    };
    const { id } = await processes.start(wanted, neverAborted);
    let said = "";
    for await (const event of processes.connect(id, "start", neverAborted)) {
      if (event.kind === "output") said += Buffer.from(event.data).toString();
    }
    expect(said).to.equal("from the host\n");
    await core.sandboxes.end(third, view.id, neverAborted);
  });
});
