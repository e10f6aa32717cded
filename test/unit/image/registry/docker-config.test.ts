import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { expect } from "chai";
import { parseDockerConfig, readDockerConfig } from "../../../../src/image/registry/docker-config.js";

const signal = new AbortController().signal;
const auth = (text: string): string => Buffer.from(text).toString("base64");

async function find(config: unknown, host: string, repository = "team/app"): Promise<unknown> {
  return await parseDockerConfig(JSON.stringify(config), "config.json").credentials(host, repository, signal);
}

describe("a docker config.json", () => {
  it("has an entry by host in each way that tools write it", async () => {
    for (const key of ["r.example:5000", "https://r.example:5000", "https://r.example:5000/v2/"]) {
      expect(await find({ auths: { [key]: { auth: auth("u:p") } } }, "r.example:5000"), key).to.include({
        username: "u",
      });
    }
    const hub = { auths: { "https://index.docker.io/v1/": { username: "u", password: "p" } } };
    expect(await find(hub, "registry-1.docker.io")).to.include({ username: "u", password: "p" });
    expect(await find(hub, "r.example")).to.deep.equal({ kind: "anonymous" });
  });

  it("may have one for a part of a registry; the longest that fits counts", async () => {
    const auths = {
      "q.example": { auth: auth("all:p") },
      "q.example/team": { auth: auth("team:p") },
      "q.example/tea": { auth: auth("tea:p") },
    };
    expect(await find({ auths }, "q.example", "team/app")).to.include({ username: "team" });
    expect(await find({ auths }, "q.example", "other/app")).to.include({ username: "all" });
  });

  it("takes an identity token before the empty password beside it", async () => {
    const auths = { "r.example": { auth: auth("00000000-0000-0000-0000-000000000000:"), identitytoken: "t" } };
    expect(await find({ auths }, "r.example")).to.deep.equal({ kind: "identity", token: "t" });
  });

  it("has nothing when it isn't there", async () => {
    const config = await readDockerConfig("/nonexistent/config.json");
    expect(await config.credentials("r.example", "a", signal)).to.deep.equal({ kind: "anonymous" });
  });

  it("is refused with its path and the key, and nothing of its text", () => {
    for (const [text, wanted] of [
      ['{"auths": {"r.example": {"auth": "secret"', /config\.json is not JSON/],
      [
        '{"auths": {"r.example": {"auth": 5, "password": "secret"}}}',
        /config\.json is wrong at auths\.r\.example\.auth/,
      ],
      ["[]", /config\.json is wrong at/],
    ] as const) {
      expect(() => parseDockerConfig(text, "config.json"))
        .to.throw(wanted)
        .with.property("message")
        .that.does.not.include("secret");
    }
  });

  describe("with a credential helper", () => {
    let directory: string;
    const path = process.env["PATH"] ?? "";

    before(async () => {
      directory = await mkdtemp(join(tmpdir(), "helpers-"));
      process.env["PATH"] = `${directory}${delimiter}${path}`;
      const script = `#!/bin/sh
read -r address
case "$1 $address" in
"get r.example") echo '{"ServerURL":"r.example","Username":"u","Secret":"s"}' ;;
"get https://index.docker.io/v1/") echo '{"Username":"<token>","Secret":"t"}' ;;
"get broken.example") echo 'no secret here'; exit 0 ;;
"get failing.example") exit 3 ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac
`;
      await writeFile(join(directory, "docker-credential-test"), script);
      await chmod(join(directory, "docker-credential-test"), 0o755);
    });
    after(async () => {
      process.env["PATH"] = path;
      await rm(directory, { recursive: true });
    });

    it("asks it for the host", async () => {
      const config = { credsStore: "test", auths: { "other.example": { auth: auth("file:p") } } };
      expect(await find(config, "r.example")).to.deep.equal({ kind: "password", username: "u", password: "s" });
      expect(await find(config, "registry-1.docker.io")).to.deep.equal({ kind: "identity", token: "t" });
      expect(await find(config, "other.example")).to.include({ username: "file" });
    });

    it("asks the host's own before the store, and says what is wrong with one", async () => {
      const failure = async (config: unknown, host: string): Promise<unknown> =>
        await find(config, host).then(
          () => "no error",
          (thrown: unknown) => (thrown instanceof Error ? thrown.message : thrown),
        );
      const absent = { credsStore: "test", credHelpers: { "r.example": "absent" } };
      expect(await failure(absent, "r.example")).to.match(/^docker-credential-absent: can't be run: .*ENOENT.*install/);
      expect(await failure({ credsStore: "../x" }, "r.example")).to.match(/"\.\.\/x" is not a name/);
      expect(await failure({ credsStore: "test" }, "broken.example")).to.match(
        /answer for broken\.example can't be read/,
      );
      expect(await failure({ credsStore: "test" }, "failing.example")).to.match(/has failed for failing\.example.*3/);
    });
  });
});
