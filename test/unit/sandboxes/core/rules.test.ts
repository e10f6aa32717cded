import { expect } from "chai";
import { configOf, parseFile } from "../../../../src/config/load.js";
import { defaultConfigText } from "../../../../src/config/default-text.js";
import type { SandboxesConfig } from "../../../../src/config/sandboxes.js";
import { newSandboxName, sandboxName } from "../../../../src/sandboxes/core/names.js";
import { fitsFilter, pageOf } from "../../../../src/sandboxes/core/pages.js";
import { fits } from "../../../../src/base/patterns.js";
import type { SandboxView } from "../../../../src/sandboxes/core/sandbox.js";
import { checkQuota, Starts } from "../../../../src/sandboxes/core/tenants.js";
import { TimerQueue } from "../../../../src/sandboxes/core/timer-queue.js";
import { Uses } from "../../../../src/sandboxes/core/uses.js";

const configured = (toml: string): SandboxesConfig => configOf(parseFile(toml, "test")).sandboxes;

function view(startedAtMs: number, more: Partial<SandboxView> = {}): SandboxView {
  return {
    ...{ id: newSandboxName(), tenant: "t", template: "base", image: "i", command: [], state: "running", startedAtMs },
    ...{ endsAtMs: 0, vcpus: 1, memoryMib: 256, diskMib: 16, env: {}, user: "", workingDir: "", mounts: [] },
    ...{
      metadata: {},
      network: "none",
      atEnd: "end",
      endsWithOwner: false,
      accessToken: "",
      podId: "",
      containerId: "",
    },
    ...more,
  };
}

describe("names of sandboxes", () => {
  it("fit where clients put them, and nothing else is one", () => {
    const names = new Set(Array.from({ length: 500 }, newSandboxName));
    expect(names.size).to.equal(500);
    for (const name of names) expect(sandboxName(name)).to.match(/^[a-z][a-z0-9]{19}$/);
    for (const raw of ["", "A".repeat(20), "a".repeat(19), `${"a".repeat(19)}-`, `${"a".repeat(20)}\n`]) {
      expect(sandboxName(raw)).to.equal(undefined);
    }
  });
});

describe("patterns of images", () => {
  it("fit where the parts between the stars come one after the other", () => {
    const rows: readonly (readonly [string, string, boolean])[] = [
      ["*", "docker.io/library/busybox:1", true],
      ["docker.io/library/*", "docker.io/library/busybox:1", true],
      ["docker.io/library/*", "docker.io.evil/library/busybox:1", false],
      ["*/team/*:1", "r.example/team/app:1", true],
      ["*/team/*:1", "r.example/team/app:2", false],
      ["a*a", "a", false],
      ["ab*ba", "aba", false],
      ["exact:1", "exact:1", true],
      ["exact:1", "exact:12", false],
      ["", "", true],
    ];
    for (const [pattern, text, expected] of rows) expect(fits(pattern, text), `${pattern} ${text}`).to.equal(expected);
    expect(fits("*a".repeat(200), "b".repeat(100_000))).to.equal(false);
  });
});

describe("pages of sandboxes", () => {
  it("have each once, newest first, whatever comes and goes between them", () => {
    const all = [5, 3, 3, 1, 4].map((at) => view(at));
    const seen: SandboxView[] = [];
    let after: string | undefined;
    do {
      const page = pageOf([...all, ...(after === undefined ? [] : [view(9)])], {
        limit: 2,
        ...(after === undefined ? {} : { after }),
      });
      seen.push(...page.items);
      after = page.next;
    } while (after !== undefined);
    expect(seen.map(({ startedAtMs }) => startedAtMs)).to.deep.equal([5, 4, 3, 3, 1]);
    expect(new Set(seen.map(({ id }) => id)).size).to.equal(5);
  });

  it("refuse limits and tokens that mean nothing", () => {
    expect(() => pageOf([], { limit: 0 })).to.throw("not possible");
    expect(() => pageOf([], { limit: Number.NaN })).to.throw("not possible");
    expect(() => pageOf([], { limit: 1, after: "x" })).to.throw("none of ours");
  });

  it("hold what fits all that is given", () => {
    const one = view(5, { metadata: { app: "a", tier: "b" } });
    expect(fitsFilter(one, {})).to.equal(true);
    expect(
      fitsFilter(one, { metadata: { app: "a" }, states: ["running"], template: "base", startedAfterMs: 4 }),
    ).to.equal(true);
    expect(fitsFilter(one, { metadata: { app: "b" } })).to.equal(false);
    expect(fitsFilter(one, { metadata: { toString: "a" } })).to.equal(false);
    expect(fitsFilter(one, { states: ["paused"] })).to.equal(false);
    expect(fitsFilter(one, { startedAfterMs: 5 })).to.equal(false);
  });
});

describe("quotas of sandboxes", () => {
  const config = configured(
    "[sandboxes.quota]\nsandboxes = 2\nvcpus = 3\nstarts_a_minute = 2\n[sandboxes.tenants.rich]\nvcpus = 0\nmemory_mib = 1024\n",
  );
  const small = { vcpus: 1, memoryMib: 256 };

  it("are of each tenant, and name themselves and what to do", () => {
    checkQuota("a", small, [small], config);
    expect(() => {
      checkQuota("a", small, [small, small], config);
    }).to.throw(/quota sandboxes of a: 2 of 2 .*\[sandboxes\.quota\]/);
    expect(() => {
      checkQuota("a", { ...small, vcpus: 3 }, [small], config);
    }).to.throw("quota vcpus of a: 1 of 3 are used, 3 more");
    checkQuota("rich", { ...small, vcpus: 64 }, [small], config);
    expect(() => {
      checkQuota("rich", { ...small, memoryMib: 1000 }, [small], config);
    }).to.throw("quota memory_mib of rich");
  });

  it("let a tenant begin so many within a minute, and no other wait for it", () => {
    let now = 0;
    const starts = new Starts(config, () => now);
    starts.take("a");
    now = 30_000;
    starts.take("a");
    expect(() => {
      starts.take("a");
    }).to.throw("try again in 30 s");
    starts.take("b");
    now = 60_000;
    starts.take("a");
    expect(() => {
      starts.take("a");
    }).to.throw("starts_a_minute");
  });
});

describe("a queue of times", () => {
  it("fires each key once, at its last time, the first first", async () => {
    const fired: string[] = [];
    await new Promise<void>((resolve) => {
      const queue = new TimerQueue<string>((key) => {
        fired.push(key);
        if (key === "last") resolve();
      });
      const now = Date.now();
      queue.set("last", now + 40);
      queue.set("first", now + 5);
      queue.set("moved", now + 500_000);
      queue.set("moved", now + 20);
      queue.set("gone", now + 10);
      queue.delete("gone");
      queue.set("past", now - 5);
      setTimeout(() => undefined, 100); // its own timer keeps no process
    });
    expect(fired).to.deep.equal(["past", "first", "moved", "last"]);
  });
});

describe("uses of a sandbox", () => {
  const id = newSandboxName();
  it("go on while a stream is open, and are over when the last has ended", () => {
    const ended: number[] = [];
    const uses = new Uses((_, atMs) => ended.push(atMs));
    expect(uses.lastMs(id, 7)).to.equal(7);
    const [one, two] = [uses.begin(id), uses.begin(id)];
    one();
    one();
    expect(uses.lastMs(id, 7)).to.equal(undefined);
    two();
    expect(uses.lastMs(id, 7)).to.be.within(Date.now() - 1000, Date.now());
    expect(ended).to.have.length(2);
  });
});

describe("[sandboxes] and [templates] of the configuration", () => {
  it("have defaults, and templates and tenants that fall back to them", () => {
    const plain = configured("");
    expect(plain).to.deep.include({
      vcpus: 2,
      memoryMib: 2048,
      diskMib: 10_240,
      diskBound: "auto",
      lifeMs: 300_000,
      tenants: {},
      templates: {},
    });
    const given = configured(
      '[sandboxes.tenants.ci]\nmounts = ["/srv/ci"]\n[templates.py]\nimage = "python:3.13"\nvcpus = 1\n[templates.py.env]\nA = "b"\n',
    );
    expect(given.tenants["ci"]).to.deep.equal({ ...plain.everyone, mounts: ["/srv/ci"] });
    expect(given.templates["py"]).to.deep.include({
      image: "python:3.13",
      vcpus: 1,
      env: { A: "b" },
      startCommand: [],
    });
  });

  it("are printed whole, in sections that read back as the defaults", () => {
    const text = defaultConfigText();
    expect(text).to.contain("[sandboxes.quota]");
    expect(configOf(parseFile(text, "default"))).to.deep.equal(configOf(new Map()));
  });

  it("refuse what is no template, and what is more than their own most", () => {
    for (const toml of [
      "[templates.a]\nvcpus = 1\n",
      '[templates.a]\nimage = "x"\ncolour = "red"\n',
      '[templates.a]\nimage = "x"\nenv = { "A=B" = "c" }\n',
      '[templates.a]\nimage = "x"\nvcpus = 64\n',
      "[sandboxes]\nlife_ms = 900000000\n",
      "[sandboxes]\nmemory_mib = 65536\n",
      '[sandboxes.tenants."A b"]\nvcpus = 1\n',
      '[sandboxes]\nmounts = ["relative"]\n',
      '[sandboxes]\ndisk_bound = "perhaps"\n',
    ]) {
      expect(() => configured(toml), toml).to.throw(/allow/);
    }
  });
});
