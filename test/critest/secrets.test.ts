import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createGunzip } from "node:zlib";
import { expect } from "chai";
import { extract } from "tar-stream";
import { runtime, image, failure, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busyboxSource } from "../support/images.js";
import { exec, removePod, runPod, startContainer } from "../support/pods.js";
import { pushImage, startRegistry, type TestRegistry } from "../support/registry.js";

/** bcrypt of "secret", as `htpasswd -B` writes it. */
const htpasswd = "user:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";
const wrongPassword = "wrong-Xq7-password";
const environment = "value-of-the-container-Xq8";
const argument = "argument-of-an-exec-Xq9";
const configured = "password-of-the-config-Xq0";
const hiddenLogin = '"elsewhere.test": "(hidden)"';
const annotation = "value-of-an-annotation-Xq1";
const commandWord = "argument-of-the-container-Xq2";

describe("Secrets", () => {
  let open: TestRegistry;
  let closed: TestRegistry;
  let daemon: Daemon;
  let reference: string;
  before(async () => {
    open = await startRegistry();
    closed = await startRegistry({ data: open.data, htpasswd });
    await pushImage(open.host, "private", "1", await busyboxSource());
    reference = `${closed.host}/private:1`;
    const login = `[image.auth."elsewhere.test"]\nusername = "user"\npassword = "${configured}"\n`;
    const config = `[log]\nlevel = "trace"\n[image]\nplain_http = ["${closed.host}"]\n${login}`;
    daemon = await Daemon.start({ config });
  });
  after(async () => {
    await daemon.remove();
    await closed.stop();
    await open.stop();
  });

  const spec = {
    image: "",
    annotations: {},
    userSpecifiedImage: "",
    runtimeHandler: "",
    imageRef: "",
  };
  const pull = (password: string) =>
    daemon.cri.call(image.pullImage, {
      image: { ...spec, image: reference },
      auth: { username: "user", password, auth: "", serverAddress: "", identityToken: "", registryToken: "" },
    });

  it("of pulls are in no log, at any level, and in no file; those of containers in no line that is on by itself", async () => {
    await failure(pull(wrongPassword), status.FAILED_PRECONDITION, /refuses access \(401\)/);
    await pull("secret");
    const pod = await runPod(daemon);
    const container = await startContainer(daemon, pod, {
      image: { ...spec, image: reference },
      envs: [{ key: "TOKEN", value: Buffer.from(environment) }],
    });
    expect((await exec(daemon, container, ["sh", "-c", "echo $TOKEN", argument])).stdout).to.equal(`${environment}\n`);

    const log = await readFile(join(daemon.base, "daemon.log"), "utf8");
    const loud = log.split("\n").filter((line) => /"level":"(info|warn|error|fatal)"/.test(line));
    expect(loud.length).to.be.greaterThan(3);
    for (const secret of [environment, argument]) expect(loud.join("\n")).to.not.include(secret);
    for (const secret of [wrongPassword, basic(wrongPassword), basic("secret")]) {
      expect(log).to.not.include(secret);
      expect(await filesWith(secret, [join(daemon.root, "records"), daemon.state])).to.deep.equal([]);
    }
    await removePod(daemon, pod);
    expect((await daemon.cri.call(runtime.listPodSandbox, {})).items).to.deep.equal([]);
  });

  it("are not in a debug bundle, which has what a bug report needs", async () => {
    await pull("secret");
    const pod = await runPod(daemon, { annotations: { note: annotation } });
    await startContainer(daemon, pod, {
      image: { ...spec, image: reference },
      envs: [{ key: "TOKEN", value: Buffer.from(environment) }],
      annotations: { note: annotation },
      command: ["sh", "-c", `sleep 1000; echo ${commandWord}`],
    });
    const bundle = join(daemon.base, "bundle.tar.gz");
    const { status: ended, stdout, stderr } = await daemon.command("debug bundle", "--output", bundle);
    expect([ended, stderr]).to.deep.equal([0, ""]);
    expect(stdout).to.include(bundle);
    expect((await stat(bundle)).mode & 0o777).to.equal(0o600);

    const files = await filesOfArchive(bundle);
    const box = pod.id.slice(0, 24);
    const names = ["version.json", "config.json", "check.txt", "running.json", "images.json", "host/mounts.json"];
    names.push(`records/sandboxes/${pod.id}.json`, `boxes/${box}/console`, `boxes/${box}/cgroups.txt`, "missing.txt");
    for (const name of names) expect([...files.keys()]).to.include(`a3s-box-debug/${name}`);
    expect([...files].filter(([name, is]) => /processes.*\/status$/.test(name) && /^State:/m.test(is))).to.not.be.empty;
    expect(files.get("a3s-box-debug/running.json")?.trim()).to.equal("[]");
    const all = [...files.values()].join("\n");
    expect(all).to.include("TOKEN=(hidden)").and.to.include(hiddenLogin);
    for (const secret of [environment, annotation, commandWord, configured, wrongPassword, basic("secret")]) {
      expect(all).to.not.include(secret);
    }

    const again = await daemon.command("debug bundle", "--output", bundle);
    expect(again.status).to.equal(1);
    expect(again.stderr).to.match(/EEXIST/);
    await removePod(daemon, pod);
  });

  it("in records can be read by root alone", async () => {
    const pod = await runPod(daemon);
    const files = await filesBelow(join(daemon.root, "records"));
    expect(files.length).to.be.greaterThan(0);
    for (const file of files) expect((await stat(file)).mode & 0o077, file).to.equal(0);
    await removePod(daemon, pod);
  });
});

function basic(password: string): string {
  return Buffer.from(`user:${password}`).toString("base64");
}

async function filesOfArchive(path: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const entries = createReadStream(path).pipe(createGunzip()).pipe(extract());
  for await (const entry of entries) files.set(entry.header.name, await text(entry));
  return files;
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function filesWith(text: string, directories: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const directory of directories) {
    for (const file of await filesBelow(directory)) {
      if (file.includes("/share/")) continue; // the container's own files
      if ((await readFile(file).catch(() => Buffer.alloc(0))).includes(text)) found.push(file);
    }
  }
  return found;
}
