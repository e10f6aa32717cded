/** That a release has one number, wherever it stands. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { textOf } from "../../support/documents.js";
import { packageVersion } from "../../../src/base/version.js";
import { projectDirectory } from "../../support/project.js";

const read = async (path: string): Promise<string> => await readFile(join(projectDirectory, path), "utf8");

describe("the version", () => {
  it("is that of the last release in the changelog, of the lock files, of the agent, the SDK and the operator", async () => {
    const changelog = await textOf("CHANGELOG.md");
    const released = /^## (\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d$/m.exec(changelog)?.[1];
    const lock = /^ {2}"version": "([^"]+)",\n.*?\n {6}"version": "([^"]+)"/ms.exec(await read("package-lock.json"));
    const agent = /^version = "([^"]+)"/m.exec(await read("guest/Cargo.toml"))?.[1];
    const locked = /name = "agent"\nversion = "([^"]+)"/.exec(await read("guest/Cargo.lock"))?.[1];
    const sdk = /^ {2}"version": "([^"]+)"/m.exec(await read("sdk/typescript/package.json"))?.[1];
    const operator = /^ {2}"version": "([^"]+)"/m.exec(await read("operator/package.json"))?.[1];
    const found = [released, lock?.[1], lock?.[2], agent, locked, sdk, operator];
    expect(found).to.deep.equal(found.map(() => packageVersion()));
  });

  it("is that of the images that the operator's files name", async () => {
    const files = [
      "deploy/operator/deployment.yaml",
      "deploy/operator/injection.yaml",
      "operator/Dockerfile",
      "operator/src/options.ts",
    ];
    const named = (await Promise.all(files.map(read))).flatMap((text) => [
      ...text.matchAll(/a3s-box(?:-operator)?:(\d[\d.]*\d)/g),
    ]);
    expect(named.length).to.be.greaterThan(3);
    expect([...new Set(named.map(([, version]) => version))]).to.deep.equal([packageVersion()]);
  });

  it("has a place above it for what comes", async () => {
    const headings = [...(await textOf("CHANGELOG.md")).matchAll(/^## (.*)$/gm)].map(([, heading = ""]) => heading);
    expect(headings[0]).to.equal("Unreleased");
  });
});
