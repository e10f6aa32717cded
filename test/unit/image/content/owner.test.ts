import { expect } from "chai";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { isOwnerGone, ownName } from "../../../../src/image/content/owner.js";

describe("an ingest directory's owner", () => {
  it("is there while its process is, and gone after it", async () => {
    expect(await isOwnerGone(`${await ownName()}-0123`)).to.equal(false);
    const child = spawn("sleep", ["60"]);
    await once(child, "spawn");
    const stat = await readFile(`/proc/${String(child.pid)}/stat`, "utf8");
    const name = `${String(child.pid)}-${stat.split(" ")[21] ?? ""}-0123`;
    expect(await isOwnerGone(name)).to.equal(false);
    child.kill("SIGKILL");
    await once(child, "close");
    expect(await isOwnerGone(name)).to.equal(true);
  });

  it("is gone where another process has its number, and may be there where the name does not say", async () => {
    expect(await isOwnerGone(`${process.pid}-1-0123`)).to.equal(true);
    expect(await isOwnerGone("0123456789abcdef")).to.equal(false);
  });
});
