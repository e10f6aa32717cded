import { expect } from "chai";
import { LayeredRoots, type RootOwner } from "../../../../src/runtime/volumes/layered-roots.js";

const { signal } = new AbortController();

/** A pod's Box whose agent says so. */
function ownerOf(
  layeredRoots: boolean,
  more: object = {},
): { readonly owner: RootOwner; readonly asked: () => number } {
  let asked = 0;
  const guest = (): Promise<object> => {
    asked += 1;
    return Promise.resolve({ layeredRoots, kernelRelease: "6.12.9-a3s" });
  };
  const box = { handle: { driver: "qemu" }, agent: { guest } };
  const owner: unknown = { box, boundary: { placesSources: true }, userNamespace: undefined, ...more };
  return { owner: owner as RootOwner, asked: () => asked };
}

describe("layered roots", () => {
  it("are had where the guest's kernel can", async () => {
    const roots = new LayeredRoots("erofs");
    expect(roots.state.layers).to.equal("unknown");
    const { owner } = ownerOf(true);
    expect(await roots.of(owner, signal)).to.equal(true);
    expect(roots.state).to.deep.equal({ layers: "erofs", reason: "the guest's kernel 6.12.9-a3s mounts them" });
  });

  it("are not had where it can't, which is told", async () => {
    const roots = new LayeredRoots("erofs");
    expect(await roots.of(ownerOf(false).owner, signal)).to.equal(false);
    expect(roots.state.layers).to.equal("shared");
    expect(roots.state.reason).to.include("6.12.9-a3s mounts no file");
  });

  it("are asked of nobody where they are not wanted, nor in reach of a file server that can", async () => {
    const box = { handle: { driver: "krun" } };
    const others = [{ box }, { userNamespace: {} }, { boundary: { placesSources: false } }];
    for (const more of others)
      expect(await new LayeredRoots("erofs").of(ownerOf(true, more).owner, signal)).to.equal(false);
    const { owner, asked } = ownerOf(true);
    expect(await new LayeredRoots("shared").of(owner, signal)).to.equal(false);
    expect(asked()).to.equal(0);
  });
});
