import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makeTokenFile } from "../../../src/cli/make-token.js";
import { serveFlags } from "../../../src/cli/serve-flags.js";
import { loadConfig } from "../../../src/config/load.js";

describe("the token of the environment", () => {
  let directory = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "a3s-token-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it("is made at the first start, for root alone, and stays", async () => {
    const path = join(directory, "token");
    const made = await Promise.all([1, 2, 3].map(async () => await makeTokenFile(path)));
    expect(made).to.include(true);
    const token = await readFile(path, "utf8");
    expect(token).to.match(/^[\w-]{43}\n$/);
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    expect(await makeTokenFile(path)).to.equal(false);
    expect(await readFile(path, "utf8")).to.equal(token);
    expect(await readdir(directory)).to.deep.equal(["token"]);
  });

  it("says what to do where none can be made", async () => {
    const failure = await makeTokenFile(join(directory, "none/token")).catch((thrown: unknown) => String(thrown));
    expect(failure).to.contain("set A3S_BOX_TOKEN");
  });

  const beyond = ["--sandboxes", "tcp://0.0.0.0:4088", "--plain"];
  const configured = async (env: NodeJS.ProcessEnv) => {
    const file = join(directory, "config.toml");
    await writeFile(file, '[sandboxes.tokens.ci]\ntoken_file = "/run/ci"\n');
    return (await loadConfig(serveFlags([...beyond, "--config", file], env))).sandboxPort.tokens;
  };

  it("is one more of those that are known, whose value is nowhere in the configuration", async () => {
    const ci = { file: "/run/ci", variable: undefined, tenant: "ci" };
    expect(await configured({})).to.deep.equal({ ci });
    expect(await configured({ A3S_BOX_TOKEN: "" })).to.deep.equal({ ci });
    const variable = { file: undefined, variable: "A3S_BOX_TOKEN", tenant: "default" };
    expect(await configured({ A3S_BOX_TOKEN: "secret-secret-secret" })).to.deep.equal({ ci, default: variable });
    const file = { file: "/run/t", variable: undefined, tenant: "default" };
    expect(await configured({ A3S_BOX_TOKEN: "x", A3S_BOX_TOKEN_FILE: "/run/t" })).to.deep.equal({ ci, default: file });
  });

  it("is what a port that others reach does not open without", async () => {
    const empty = join(directory, "empty.toml");
    await writeFile(empty, "");
    const failure = await loadConfig(serveFlags([...beyond, "--config", empty], {})).catch((thrown: unknown) =>
      String(thrown),
    );
    expect(failure).to.contain("there are no tokens");
  });
});
