import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { directoryNames, readHosts } from "../../../../src/image/registry/hosts-directory.js";

describe("the directories of hosts.toml", () => {
  let top: string;

  beforeEach(async () => {
    top = await mkdtemp(join(tmpdir(), "hosts-"));
  });
  afterEach(async () => {
    await rm(top, { recursive: true });
  });

  async function put(path: string, text: string): Promise<void> {
    await mkdir(join(top, path, ".."), { recursive: true });
    await writeFile(join(top, path), text);
  }

  async function server(host: string, dirs = [top]): Promise<string | undefined> {
    return (await readHosts(dirs, host)).hosts.at(-1)?.root;
  }

  it("are looked for as containerd does", () => {
    expect(directoryNames("r.example:5000")).to.deep.equal(["r.example_5000_", "r.example:5000", "_default"]);
    expect(directoryNames("r.example")).to.deep.equal(["r.example", "_default"]);
    expect(directoryNames("[::1]:5000")[0]).to.equal("[::1]_5000_");
  });

  it("count in this order: the port's with underscores, the host's, everybody's", async () => {
    expect(await server("r.example:5000")).to.equal(undefined);
    await put("_default/hosts.toml", 'server = "https://default.example"');
    expect(await server("r.example:5000")).to.equal("https://default.example/v2");
    await put("r.example:5000/hosts.toml", 'server = "https://colon.example"');
    expect(await server("r.example:5000")).to.equal("https://colon.example/v2");
    await put("r.example_5000_/hosts.toml", 'server = "https://underscore.example"');
    expect(await server("r.example:5000")).to.equal("https://underscore.example/v2");
    expect(await server("other.example")).to.equal("https://default.example/v2");
  });

  it("count in the order of the config, also with a default in the first", async () => {
    await put("a/_default/hosts.toml", 'server = "https://a.example"');
    await put("b/r.example/hosts.toml", 'server = "https://b.example"');
    const dirs = ["a", "b"].map((name) => join(top, name));
    expect(await server("r.example", dirs)).to.equal("https://a.example/v2");
    expect(await server("r.example", dirs.reverse())).to.equal("https://b.example/v2");
  });

  it("may hold certificates alone, as Docker lays them out", async () => {
    for (const name of ["ca.crt", "client.cert", "client.key", "alone.cert", "README"])
      await put(`r.example/${name}`, "x");
    const host = (await readHosts([top], "r.example")).hosts[0];
    const path = (name: string): string => join(top, "r.example", name);
    expect(host?.caFiles).to.deep.equal([path("ca.crt")]);
    expect(host?.clientPairs).to.have.deep.members([
      { certFile: path("client.cert"), keyFile: path("client.key") },
      { certFile: path("alone.cert"), keyFile: path("alone.cert") },
    ]);
  });

  it("are an error when the file there can't be read", async () => {
    await put("r.example/hosts.toml", "server = 5");
    const thrown = await readHosts([top], "r.example").catch((caught: unknown) => caught);
    expect(thrown)
      .to.have.property("message")
      .that.matches(/^server in .*r\.example\/hosts\.toml/);
    await put("other.example/hosts.toml/file", "");
    const directory = await readHosts([top], "other.example").catch((caught: unknown) => caught);
    expect(directory)
      .to.have.property("message")
      .that.matches(/other\.example\/hosts\.toml can't be read/);
  });
});
