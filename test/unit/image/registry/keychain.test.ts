import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { keychainOf, type KeychainOptions } from "../../../../src/image/registry/keychain.js";

const signal = new AbortController().signal;
const none = { username: "", password: "", auth: "", identityToken: "", registryToken: "", serverAddress: "" };
const given = { ...none, username: "pull", password: "p" };
const nothing: KeychainOptions = { logins: {}, dockerConfig: undefined };

describe("the credentials for a host", () => {
  let directory: string;
  let dockerConfig: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "keychain-"));
    dockerConfig = join(directory, "config.json");
    const auth = Buffer.from("docker:p").toString("base64");
    await writeFile(dockerConfig, JSON.stringify({ auths: { "https://r.example:5000/v2/": { auth } } }));
  });
  after(async () => {
    await rm(directory, { recursive: true });
  });

  async function user(options: KeychainOptions, auth: typeof none | undefined, host: string): Promise<string> {
    const found = await keychainOf(options, auth).credentials(host, "team/app", signal);
    return found.kind === "password" ? found.username : found.kind;
  }

  it("are the pull's, then the config's, then docker's, and no others than the first found", async () => {
    const { serverAddress: _, ...login } = { ...none, username: "config", password: "p" };
    const all = { logins: { "r.example:5000": login }, dockerConfig };
    expect(await user(all, given, "r.example:5000")).to.equal("pull");
    expect(await user(all, none, "r.example:5000")).to.equal("config");
    expect(await user(all, undefined, "r.example:5000")).to.equal("config");
    expect(await user({ ...all, logins: {} }, undefined, "r.example:5000")).to.equal("docker");
    expect(await user(all, undefined, "other.example")).to.equal("anonymous");
  });

  for (const [serverAddress, host, sent] of [
    ["", "mirror.example", true],
    ["r.example:5000", "r.example:5000", true],
    ["https://r.example:5000/v2/", "r.example:5000", true],
    ["HTTPS://R.Example:5000", "r.example:5000", true],
    ["https://index.docker.io/v1/", "registry-1.docker.io", true],
    ["docker.io", "registry-1.docker.io", true],
    ["r.example", "r.example:5000", false],
    ["r.example", "r.example.evil.example", false],
    ["r.example", "mirror.example", false],
    ["https://r.example@evil.example", "r.example", false],
  ] as const) {
    it(`are ${sent ? "" : "not "}sent to ${host} when the pull says that they are for "${serverAddress}"`, async () => {
      expect(await user(nothing, { ...given, serverAddress }, host)).to.equal(sent ? "pull" : "anonymous");
    });
  }
});
