/**
 * From inside of Boxes without a network: the official SDKs as they are published, a key that changes below a stream, answers without
 * end, and a hostile Box beside another.
 */
import { expect } from "chai";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { makeAuthority, type TestAuthority } from "../support/certificates.js";
import { Daemon } from "../support/daemon.js";
import { freePort } from "../support/free-port.js";
import { clientImage, clientImageName, pythonClients, pythonFacts } from "../support/models/client-image.js";
import { startFakeModels, usual, type FakeModels } from "../support/models/fake-models.js";
import { residentKib } from "../support/machine.js";
import { projectDirectory } from "../support/project.js";
import { edgeCall } from "../support/sandboxes/edge.js";
import { skipBecause } from "../support/skip.js";
import { eventually, limit } from "../support/wait.js";

const key = "sk-test-5a105e8b9d40e1329780d62ea2265d8a";
const site = "lib/python3.11/site-packages";
const ran = z.object({ stdout: z.string(), stderr: z.string(), exit_code: z.number() });

describe("programs in Boxes at the gateway", function () {
  this.timeout(limit(300_000));
  let authority: TestAuthority;
  let models: FakeModels;
  let directory: string;
  let daemon: Daemon;
  let metricsPort: number;
  let box: string;
  let neighbour: string;
  let library: string;

  before(async function () {
    if (!existsSync(pythonClients)) skipBecause(this, "no python-clients: run the set-up");
    authority = await makeAuthority();
    models = await startFakeModels(await authority.issue("models", "IP:127.0.0.1"));
    models.keys = [key];
    directory = await mkdtemp(join(tmpdir(), "a3s-guest-"));
    await putKey("1", key);
    await symlink("..data/key", join(directory, "key"));
    const python = await pythonFacts();
    ({ library } = python);
    metricsPort = await freePort();
    const mounts = [library, pythonClients, join(projectDirectory, "node_modules"), import.meta.dirname];
    const provider = (name: string): string => `[[llm]]
name = "${name}"
kind = "${name}"
upstream = "${models.url}"
value_file = "${directory}/key"
ca_file = "${authority.certFile}"
max_body_mib = 1
`;
    const config = `${provider("anthropic")}${provider("openai")}
[metrics]
address = "127.0.0.1:${String(metricsPort)}"
[sandboxes]
listen = ["unix://${directory}/edge.sock"]
network = "none"
mounts = ${JSON.stringify(mounts)}
[templates.client]
image = "${clientImageName}"
user = "root"
llm = ["anthropic", "openai"]
`;
    daemon = await Daemon.start({ images: [await clientImage(python)], config });
    [box, neighbour] = [await made(), await made()];
  });

  after(async () => {
    if (!existsSync(pythonClients)) return;
    for (const id of [box, neighbour]) await edge("DELETE", `/v1/sandboxes/${id}`);
    await daemon.remove();
    await models.stop();
    await authority.remove();
    await rm(directory, { recursive: true });
  });

  /** As kubelet does it: a new directory, and one link that leads there from then on. */
  async function putKey(version: string, value: string): Promise<void> {
    await mkdir(join(directory, `..v${version}`));
    await writeFile(join(directory, `..v${version}`, "key"), value);
    await symlink(`..v${version}`, join(directory, "..next"));
    await rename(join(directory, "..next"), join(directory, "..data"));
  }

  async function edge(method: string, path: string, value?: unknown): Promise<unknown> {
    return await edgeCall(join(directory, "edge.sock"), method, path, value);
  }

  async function made(): Promise<string> {
    const readonly = true;
    const mounts = [
      { host_path: library, path: library, readonly },
      { host_path: pythonClients, path: "/clients", readonly },
      { host_path: join(projectDirectory, "node_modules"), path: "/js/node_modules", readonly },
      { host_path: import.meta.dirname, path: "/js/tests", readonly },
    ];
    return z.object({ id: z.string() }).parse(await edge("POST", "/v1/sandboxes", { template: "client", mounts })).id;
  }

  async function sh(id: string, command: string): Promise<string> {
    const limit_ms = Math.round(limit(200_000));
    const { stdout, stderr, exit_code } = ran.parse(
      await edge("POST", `/v1/sandboxes/${id}/run`, { command, limit_ms }),
    );
    expect(exit_code, `${command}: ${stderr}`).to.equal(0);
    return stdout;
  }

  const hostile = async (what: string, token = ""): Promise<unknown> =>
    JSON.parse(await sh(box, `python3 /js/tests/hostile_guest.py ${what} ${token}`));

  async function refusals(): Promise<Map<string, number>> {
    const text = await (await fetch(`http://127.0.0.1:${String(metricsPort)}/metrics`)).text();
    const sums = new Map<string, number>();
    for (const [, reason = "", count] of text.matchAll(/^a3s_box_llm_refused_total\{.*reason="(\w+)"\} (\d+)/gm)) {
      sums.set(reason, (sums.get(reason) ?? 0) + Number(count));
    }
    return sums;
  }

  const ask = (model: string): string =>
    `wget -q -O - --header "x-api-key: $ANTHROPIC_API_KEY" --post-data '{"model":"${model}","max_tokens":5,"messages":[],"stream":true}' $ANTHROPIC_BASE_URL/v1/messages`;

  it("the official SDKs of PyPI have their answers, whole and streamed, with nothing but the environment", async () => {
    const said = await sh(box, `PYTHONPATH=/clients/${site} python3 /js/tests/sdk_clients.py`);
    expect(JSON.parse(said)).to.deep.include({
      ...{ messages: [usual.text, 8], "messages streamed": [usual.text, 8], busy: [429, "17"], "another key": 401 },
      ...{ "chat streamed": usual.text, responses: usual.text, "responses streamed": usual.text },
    });
  });

  it("the official SDKs of npm have theirs", async () => {
    const all = ["messages", "messages streamed", "chat", "chat streamed", "responses", "responses streamed"];
    expect(JSON.parse(await sh(box, "node /js/tests/sdk_clients.mjs"))).to.deep.equal(
      Object.fromEntries(all.map((name) => [name, usual.text])),
    );
  });

  it("a key that kubelet changes below a stream ends no stream, and the next call has the new one", async () => {
    let release = (): void => undefined;
    models.hold = new Promise((resolve) => (release = resolve));
    const before = models.seen.length;
    const stream = sh(box, ask("held"));
    await eventually("the stream", 30_000, () => (models.seen.length > before ? true : undefined));
    await putKey("2", `${key}-2`);
    models.keys = [`${key}-2`];
    expect(await sh(box, ask("model-1"))).to.contain("message_stop");
    const { headers } = models.seen.at(-1) ?? { headers: [] };
    expect(headers).to.include(`${key}-2`);
    release();
    expect(await stream).to.contain("message_stop");
  });

  it("answers of 64 MiB go through whole, and the daemon's memory stays as it is", async () => {
    const get = async (): Promise<string> => await sh(box, `${ask("huge")} | wc -c`);
    await get();
    const residentMib = async (): Promise<number> => (await residentKib(daemon.pid)) / 1024;
    const before = await residentMib();
    let most = before;
    const over = new AbortController();
    const watch = (async () => {
      while (!over.signal.aborted) {
        most = Math.max(most, await residentMib());
        await delay(50);
      }
    })();
    expect(await Promise.all([get(), get(), get(), get()])).to.deep.equal(Array(4).fill(`${String(64 << 20)}\n`));
    over.abort();
    await watch;
    expect(most - before).to.be.below(64); // of the 256 that went through
  });

  it("a hostile one smuggles nothing, and gets to no other path or host: refused and counted", async () => {
    const asked = models.seen.length;
    const came = z.record(z.string(), z.array(z.number())).parse(await hostile("smuggling"));
    expect(Object.keys(came)).to.have.length(13);
    for (const [name, statuses] of Object.entries(came)) {
      expect(statuses.length, name).to.be.at.most(1);
      for (const status of statuses) expect(status, name).to.be.within(400, 499);
    }
    expect(models.seen.length).to.equal(asked);
    const counted = await refusals();
    for (const reason of ["path", "host", "http", "token"]) expect(counted.get(reason), reason).to.be.at.least(1);
  });

  it("a hostile one has nothing of another's token", async () => {
    const token = (await sh(neighbour, "echo $ANTHROPIC_API_KEY")).trim();
    const before = (await refusals()).get("token") ?? 0;
    expect(await hostile("once", token)).to.deep.equal([401]);
    expect((await refusals()).get("token")).to.equal(before + 1);
    expect(await hostile("once")).to.deep.equal([200]);
  });

  it("a hostile one's body without end, and its ten thousand connections, are bounded and slow nobody down", async () => {
    const call = async (): Promise<number> => {
      const beganMs = performance.now();
      expect(await sh(neighbour, ask("model-1"))).to.contain("message_stop");
      return performance.now() - beganMs;
    };
    const usually = Math.max(...[await call(), await call(), await call()]);
    const slowest = async (until: Promise<unknown>): Promise<number> => {
      const over = new AbortController();
      void until
        .catch(() => undefined)
        .finally(() => {
          over.abort();
        });
      let most = 0;
      do most = Math.max(most, await call());
      while (!over.signal.aborted);
      return most;
    };
    const body = hostile("endless");
    const besideBody = await slowest(body);
    const said = z.object({ answer: z.string(), sent: z.number() }).parse(await body);
    expect(said.answer).to.match(/^HTTP\/1\.1 413 /);
    expect(said.sent).to.be.below(64 << 20);
    expect((await refusals()).get("size")).to.be.at.least(1);

    const crowd = hostile("crowd");
    const besideCrowd = await slowest(crowd);
    const { refused, held } = z.object({ refused: z.number(), held: z.number() }).parse(await crowd);
    expect(refused + held).to.equal(10_000);
    expect(held).to.be.within(1, 128);
    const figures = [usually, besideBody, besideCrowd].map((ms) => `${ms.toFixed(0)} ms`);
    process.stdout.write(`      a neighbour's call: ${figures.join(", beside the body ")}; held ${String(held)}\n`);
    // Guests share the emulator's two processors: what is meant is that nobody waits for another's time to run out.
    expect(Math.max(besideBody, besideCrowd)).to.be.below(limit(10_000));
    await eventually("a place again", 30_000, async () =>
      JSON.stringify(await hostile("once")) === "[200]" ? true : undefined,
    );
  });
});
