import { expect } from "chai";
import { messageOf } from "../../../../src/base/errors.js";
import { TreeWalks, type TreeSize } from "../../../../src/runtime/stats/tree-walks.js";

const never = new AbortController().signal;
const size: TreeSize = { bytes: 1n, inodes: 2n };

interface Begun {
  readonly path: string;
  readonly stop: Int32Array | undefined;
  readonly answer: () => void;
}

/** Walks that end when they are told to. */
function parts(): { walks: TreeWalks; begun: Begun[] } {
  const begun: Begun[] = [];
  const treeUsage = (path: string, stop?: Int32Array): Promise<TreeSize> =>
    new Promise((resolve) => {
      begun.push({
        path,
        stop,
        answer: () => {
          resolve(size);
        },
      });
    });
  return { walks: new TreeWalks({ treeUsage }), begun };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("walks of trees", () => {
  it("are one for all who ask for a tree meanwhile, and another for who asks later", async () => {
    const { walks, begun } = parts();
    const asked = Array.from({ length: 50 }, () => walks.size("/a", never));
    await settled();
    expect(begun.map(({ path }) => path)).to.deep.equal(["/a"]);
    begun[0]?.answer();
    expect(new Set(await Promise.all(asked))).to.deep.equal(new Set([size]));
    const later = walks.size("/a", never);
    await settled();
    begun[1]?.answer();
    expect(await later).to.equal(size);
  });

  it("go on while one waits, and end with the last; who comes then has a walk of its own", async () => {
    const { walks, begun } = parts();
    const callers = [new AbortController(), new AbortController()];
    const asked = callers.map(({ signal }) => walks.size("/a", signal).catch(messageOf));
    await settled();
    const stopped = (): number | undefined => begun[0]?.stop?.[0];
    callers[0]?.abort(new Error("gone"));
    expect([await asked[0], stopped()]).to.deep.equal(["gone", 0]);
    callers[1]?.abort(new Error("gone too"));
    expect([await asked[1], stopped()]).to.deep.equal(["gone too", 1]);
    const own = walks.size("/a", never);
    await settled();
    expect(begun.length).to.equal(2);
    begun[1]?.answer();
    expect(await own).to.equal(size);
  });

  it("are two at once; one that nobody waits for any more when its turn comes does not begin", async () => {
    const { walks, begun } = parts();
    const gone = new AbortController();
    const asked = ["/a", "/b", "/c"].map((path) =>
      walks.size(path, path === "/c" ? gone.signal : never).catch(messageOf),
    );
    const last = walks.size("/d", never);
    await settled();
    expect(begun.map(({ path }) => path)).to.deep.equal(["/a", "/b"]);
    gone.abort(new Error("gone"));
    expect(await asked[2]).to.equal("gone");
    begun[0]?.answer();
    expect(await asked[0]).to.equal(size);
    await settled();
    expect(begun.map(({ path }) => path)).to.deep.equal(["/a", "/b", "/d"]);
    for (const { answer } of begun) answer();
    expect(await last).to.equal(size);
  });
});
