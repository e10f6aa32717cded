/** With quotas in memory in place of the kernel's, which not every machine has: `test/image/project-quota.test.ts` has real ones. */
import { expect } from "chai";
import type { ProjectUse } from "../../../../../src/native/values.js";
import { boundFor } from "../../../../../src/image/snapshot/disk/place.js";
import {
  boundByQuota,
  giveBackProject,
  projectOf,
  sweepProjects,
} from "../../../../../src/image/snapshot/disk/project-quota.js";

const ours = 0x4000_0000;
const last = 0x4fff_ffff;

class Quotas {
  readonly uses = new Map<number, ProjectUse>();
  readonly projects = new Map<string, number>();
  readonly calls: string[] = [];
  enforced = true;
  /** Another daemon that comes to the same number between two calls. */
  rival: ((id: number) => void) | undefined;

  put(id: number, use: Partial<ProjectUse>): void {
    const none = { id, bytes: 0n, inodes: 0n, maxBytes: 0n, maxInodes: 0n };
    this.uses.set(id, { ...none, ...this.uses.get(id), ...use });
  }
  boundsProjects = (): Promise<boolean> => Promise.resolve(this.enforced);
  setProject = (directory: string, id: number): Promise<void> => {
    this.calls.push("set");
    this.projects.set(directory, id);
    this.put(id, { inodes: (this.uses.get(id)?.inodes ?? 0n) + 1n });
    this.rival?.(id);
    return Promise.resolve();
  };
  projectOf = (directory: string): Promise<number> => Promise.resolve(this.projects.get(directory) ?? 0);
  limitProject = (_directory: string, id: number, maxBytes: bigint, maxInodes: bigint): Promise<void> => {
    this.calls.push("limit");
    this.put(id, { maxBytes, maxInodes });
    return Promise.resolve();
  };
  nextProject = (_directory: string, from: number): Promise<ProjectUse | null> => {
    const ids = [...this.uses.keys()].filter((id) => id >= from).sort((a, b) => a - b);
    return Promise.resolve(this.uses.get(ids[0] ?? -1) ?? null);
  };
}

describe("project quotas of containers' directories", () => {
  it("bound bytes and files, a project for each directory, which it has before its limit", async () => {
    const quotas = new Quotas();
    await boundByQuota(quotas, "/a", 1_073_741_824n);
    await boundByQuota(quotas, "/b", 67_108_864n);
    expect(quotas.calls).to.deep.equal(["set", "limit", "set", "limit"]);
    const [a, b] = [await projectOf(quotas, "/a"), await projectOf(quotas, "/b")];
    expect(a).to.be.within(ours, last);
    expect(b).to.be.within(ours, last).and.to.not.equal(a);
    expect(quotas.uses.get(a ?? 0)).to.include({ maxBytes: 1_073_741_824n, maxInodes: 65_536n });
    expect(quotas.uses.get(b ?? 0)).to.include({ maxBytes: 67_108_864n, maxInodes: 16_384n });
  });

  it("take another project where somebody else has come to the same", async () => {
    const quotas = new Quotas();
    const taken: number[] = [];
    quotas.rival = (id) => {
      if (taken.length > 1) return;
      taken.push(id);
      quotas.put(id, { inodes: 2n });
    };
    await boundByQuota(quotas, "/a", 67_108_864n);
    const id = await projectOf(quotas, "/a");
    expect(taken).to.have.length(2).and.to.not.include(id);
    for (const other of taken) expect(quotas.uses.get(other)).to.include({ maxBytes: 0n });
  });

  it("are given back when nothing is in them, and nobody else's are touched", async () => {
    const quotas = new Quotas();
    const limits = { maxBytes: 1n, maxInodes: 1n };
    for (const id of [5, ours - 1, ours, last, last + 1]) quotas.put(id, limits);
    quotas.put(ours + 7, { ...limits, inodes: 1n });
    await sweepProjects(quotas, "/store");
    const limited = [...quotas.uses.values()].filter(({ maxBytes }) => maxBytes > 0n).map(({ id }) => id);
    expect(limited).to.have.members([5, ours - 1, ours + 7, last + 1]);
    await giveBackProject(quotas, "/store", ours + 7);
    expect(quotas.uses.get(ours + 7)).to.include({ maxBytes: 0n, maxInodes: 0n });
  });

  it("are no project of ours where the directory is another's", async () => {
    const quotas = new Quotas();
    quotas.projects.set("/kubelets", 1_048_577);
    expect(await projectOf(quotas, "/kubelets")).to.equal(undefined);
    expect(await projectOf(quotas, "/nobodys")).to.equal(undefined);
  });

  it("are taken where they are enforced, and refused where nothing else will do", async () => {
    const quotas = new Quotas();
    expect(await boundFor(quotas, "/a", "auto")).to.equal("quota");
    expect(await boundFor(quotas, "/a", "file")).to.equal("file");
    quotas.enforced = false;
    expect(await boundFor(quotas, "/a", "auto")).to.equal("file");
    const thrown = await boundFor(quotas, "/a", "quota").catch((caught: unknown) => caught);
    expect(thrown).to.have.property("code", "failedPrecondition");
  });
});
