/** The operator's smaller parts: store, queue, reading of JSON, skills, flags. */
import { expect } from "chai";
import { faultIn, mistakeIn } from "../../../operator/src/box/skills.js";
import { chooseEngine } from "../../../operator/src/box/resolve.js";
import { readSpec } from "../../../operator/src/box/spec.js";
import { covers, type JsonObject } from "../../../operator/src/kube/json.js";
import { Store } from "../../../operator/src/kube/store.js";
import { parseOptions } from "../../../operator/src/options.js";
import { WorkQueue } from "../../../operator/src/runtime/queue.js";
import { skillText } from "../../support/agents/skill-directory.js";

const object = (name: string, version: number, more: JsonObject = {}): JsonObject => ({
  metadata: { namespace: "n", name, uid: `u-${name}`, resourceVersion: String(version), ...more },
});

describe("the operator's store", () => {
  const open = (): { store: Store; told: string[] } => {
    const told: string[] = [];
    const store = new Store({ onChange: ({ metadata }) => told.push(JSON.stringify(metadata)) });
    return { store, told };
  };

  it("keeps the newer of two, in whatever order they come", () => {
    const { store } = open();
    store.set(object("a", 9));
    store.set(object("a", 10));
    store.set(object("a", 9));
    expect(store.get("n/a")).to.deep.equal(object("a", 10));
  });

  it("does not bring back what is gone by an answer that comes late", () => {
    const { store } = open();
    store.set(object("a", 9));
    store.delete(object("a", 11));
    store.set(object("a", 10));
    expect(store.get("n/a")).to.equal(undefined);
    // What has its label again is there again.
    store.set(object("a", 12));
    expect(store.get("n/a")).to.deep.equal(object("a", 12));
  });

  it("tells of what a list does not have any more", () => {
    const { store, told } = open();
    store.replace([object("a", 1), object("b", 1)]);
    told.length = 0;
    store.replace([object("a", 1)]);
    expect(told.some((line) => line.includes("u-b"))).to.equal(true);
    expect(store.get("n/b")).to.equal(undefined);
  });

  it("finds by its index, and forgets an object's old place in it", () => {
    const indexOf = ({ metadata }: JsonObject): string => (JSON.stringify(metadata).includes('"of":"x"') ? "x" : "y");
    const store = new Store({ onChange: () => undefined, indexOf });
    store.set(object("a", 1, { of: "x" }));
    expect(store.indexed("x")).to.have.length(1);
    store.set(object("a", 2, { of: "y" }));
    expect(store.indexed("x")).to.have.length(0);
    expect(store.indexed("y")).to.have.length(1);
  });
});

describe("the operator's queue", () => {
  it("works on a key once at a time, and again for what came meanwhile", async () => {
    const queue = new WorkQueue();
    const end = new AbortController();
    const seen: string[] = [];
    let working = 0;
    let most = 0;
    const running = queue.run(
      4,
      async (key) => {
        seen.push(key);
        working += 1;
        most = Math.max(most, working);
        if (seen.length === 1) {
          queue.add("a");
          queue.add("a");
        }
        await new Promise((resolve) => setImmediate(resolve));
        working -= 1;
        if (seen.length === 2) end.abort();
      },
      end.signal,
    );
    queue.add("a");
    await running;
    expect(seen).to.deep.equal(["a", "a"]);
    expect(most).to.equal(1);
  });

  it("waits longer after each failure, and forgets them", async () => {
    const queue = new WorkQueue();
    const end = new AbortController();
    const times: number[] = [];
    const running = queue.run(
      1,
      async (key) => {
        times.push(performance.now());
        if (times.length < 3) queue.retry(key);
        else end.abort();
        await Promise.resolve();
      },
      end.signal,
    );
    queue.add("a");
    await running;
    const [first = 0, second = 0, third = 0] = times;
    expect(second - first).to.be.greaterThan(180);
    expect(third - second).to.be.greaterThan(370);
  });
});

describe("what is wanted of an object", () => {
  it("is covered by one that has more", () => {
    expect(covers({ a: 1, b: { c: "x", d: 2 } }, { b: { c: "x" } })).to.equal(true);
    expect(covers({ b: { c: "y" } }, { b: { c: "x" } })).to.equal(false);
    expect(covers({ l: [{ name: "o" }, { name: "n", v: 1, w: 2 }] }, { l: [{ name: "n", v: 1 }] })).to.equal(true);
    expect(covers({ l: [] }, { l: [{ name: "n" }] })).to.equal(false);
    expect(covers({ l: ["a"] }, { l: ["b"] })).to.equal(false);
    expect(covers(undefined, {})).to.equal(false);
  });
});

describe("a skill's ConfigMap", () => {
  it("has a SKILL.md, and keys that are paths", () => {
    expect(mistakeIn(["SKILL.md", "scripts__run.py"])).to.equal(undefined);
    expect(mistakeIn(["skill.md"])).to.match(/no key SKILL.md/);
    for (const key of ["..__x", "a____b", "__a", "a__"])
      expect(mistakeIn(["SKILL.md", key]), key).to.match(/is no path/);
    expect(mistakeIn(["SKILL.md", "a", "a__b"])).to.match(/both as a file and as a directory/);
  });

  it("has a SKILL.md that agents take, or is named with what they will find wrong with it", () => {
    const fault = (text: string): string | undefined => faultIn({ data: { "SKILL.md": text } }, "review");
    for (const text of [
      skillText("review"),
      "---\r\nname: review\r\ndescription: does it\r\n---",
      '---\nname: "review"\ndescription: >-\n  over\n  lines\nlicense: MIT\n---\ntext',
    ]) {
      expect(fault(text), text).to.equal(undefined);
    }
    expect(faultIn({ binaryData: { "SKILL.md": "aGFsbG8=" } }, "review")).to.equal(undefined);
    for (const text of ["", "# review", "---\nname: review\n", `---\n${"x: y\n".repeat(10_000)}---\n`])
      expect(fault(text), text.slice(0, 20)).to.match(/has no front matter/);
    expect(fault("---\nname: review\n---\n")).to.equal("has no description");
    expect(fault("---\ndescription: a\nname:\n---\n")).to.equal("has no name");
    expect(fault(skillText("other"))).to.equal('has the name "other", which is not that of its directory');
  });
});

describe("the engine of an A3sBox", () => {
  const choose = (spec: JsonObject, before: string | undefined, has: boolean): unknown =>
    chooseEngine(readSpec({ spec }), before, has);

  it("is agent-sandbox's where it is installed, and stays what it was", () => {
    expect(choose({}, undefined, true)).to.equal("AgentSandbox");
    expect(choose({}, undefined, false)).to.equal("Pod");
    expect(choose({}, "Pod", true)).to.equal("Pod");
    // An API server that has just started does not serve it yet.
    expect(choose({}, "AgentSandbox", false)).to.include({ reason: "AgentSandboxMissing" });
    expect(choose({ engine: "Pod" }, "AgentSandbox", true)).to.equal("Pod");
    expect(choose({ engine: "AgentSandbox" }, undefined, false)).to.include({ reason: "AgentSandboxMissing" });
    expect(choose({ pool: { replicas: 1 } }, undefined, false)).to.include({ reason: "AgentSandboxMissing" });
  });
});

describe("the operator's flags", () => {
  it("have defaults, and refuse what is no number", () => {
    expect(parseOptions([], { POD_NAMESPACE: "p", A3S_BOX_IMAGE: "i" })).to.include({
      namespace: "p",
      runtimeImage: "i",
      leaseSeconds: 10,
    });
    expect(parseOptions(["--help"], {})).to.equal(undefined);
    expect(() => parseOptions(["--lease-seconds", "soon"], {})).to.throw("--lease-seconds: a whole number");
    expect(() => parseOptions(["--wrong"], {})).to.throw("wrong");
  });
});
