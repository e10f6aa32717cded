/**
 * Two tenants on one socket of a node: pods that a real kubelet has started in two namespaces, on the host, each with the
 * socket by a hostPath. Who they are is the kernel's word; then the same pods before a daemon that does not run them.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { isReady, Kubelet, kubeletProgram, nodeName, readOnlyUrl } from "../support/kubelet.js";
import { NodeNetwork } from "../support/node-network.js";
import { agentImage, agentImageName } from "../support/sandboxes/agent-image.js";
import { skipBecause } from "../support/skip.js";
import { spdyCommand } from "../support/streaming/spdy-client.js";
import { Undo } from "../support/undo.js";
import { limit } from "../support/wait.js";

/** Socket, method, path, body and headers of one request: prints what is answered. */
const client = `
import socket, sys
path, method, target, body, *headers = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as s:
    s.connect(path)
    head = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body.encode())}"]
    head += headers
    s.sendall(("\\r\\n".join(head) + "\\r\\n\\r\\n" + body).encode())
    answer = b""
    while part := s.recv(65536):
        answer += part
sys.stdout.write(answer.decode())
`;

/**
 * Socket, and a file whose coming ends it, at the latest after a minute: as many connections that say nothing as there is room
 * for, and eight that ask without a pause. Prints how often it was answered.
 */
const flood = `
import os, socket, sys, threading, time
path, stop = sys.argv[1:3]
end = time.monotonic() + 60
idle = []
answered = [0] * 8
def connected():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(path)
    return s
def ask(at):
    while not os.path.exists(stop) and time.monotonic() < end:
        try:
            with connected() as s:
                s.sendall(b"GET /v1/sandboxes HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
                while s.recv(65536):
                    pass
            answered[at] += 1
        except OSError:
            time.sleep(0.01)
try:
    while len(idle) < 600:
        idle.append(connected())
except OSError:
    pass
threads = [threading.Thread(target=ask, args=(at,)) for at in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(answered))
`;

interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly headers?: readonly string[];
  readonly body?: unknown;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

const sandboxes = (directory: string, more: string): string => `
[sandboxes]
listen = ["unix://${directory}/box.sock"]
pull = "never"
network = "none"
${more}
[templates.base]
image = "${busyboxImage}"
vcpus = 1
memory_mib = 256
workdir = "/tmp"
`;

const quota = `
[sandboxes.tenants.team-a]
sandboxes = 1
`;

describe("two tenants of a real kubelet", function () {
  this.timeout(limit(120_000));
  let directory: string;
  let daemon: Daemon;
  let other: Daemon;
  let kubelet: Kubelet;
  const undo = new Undo();
  const tenants = ["team-a", "team-b"] as const;
  type Tenant = (typeof tenants)[number];

  before("a kubelet, and a pod of each", async function () {
    this.timeout(limit(300_000));
    if (!existsSync(kubeletProgram)) skipBecause(this, "no kubelet: the set-up builds it where Go is installed");
    directory = await mkdtemp(join(tmpdir(), "a3s-h"));
    undo.add(() => rm(directory, { recursive: true, force: true }));
    const node = await NodeNetwork.here();
    undo.add(() => node.remove());
    for (const name of ["ours", "other"]) await mkdir(join(directory, name), { mode: 0o755 });
    for (const [name, text] of Object.entries({ client, flood })) await writeFile(join(directory, `${name}.py`), text);
    const images = [await busybox(), await agentImage()];
    const config = `host_namespaces = "native"\n${sandboxes(join(directory, "ours"), quota)}`;
    daemon = await Daemon.start({ images, config });
    undo.add(() => removed(daemon));
    kubelet = await Kubelet.start(daemon);
    undo.add(() => kubelet.remove());
    const asksKubelet = `kubelet = "${readOnlyUrl}"`;
    other = await Daemon.start({ images: [await busybox()], config: sandboxes(join(directory, "other"), asksKubelet) });
    undo.add(() => removed(other));
    for (const tenant of tenants) await kubelet.place("app", appPod(directory), tenant);
    for (const tenant of tenants) await kubelet.until("app", "is Ready", 120_000, isReady, tenant);
  });

  after(async function () {
    this.timeout(limit(120_000));
    await undo.run();
  });

  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    process.stderr.write(`--- kubelet\n${await kubelet.logTail()}\n--- daemon\n${await daemon.logTail()}\n`);
  });

  /** In the tenant's pod; what it prints. */
  const inPod = async (tenant: Tenant, words: readonly string[]): Promise<string> => {
    const command = words.map((word) => `command=${encodeURIComponent(word)}`).join("&");
    const url = kubelet.url(`/exec/${tenant}/app-${nodeName}/app?output=1&error=1&${command}`);
    const { stdout, stderr, error } = await spdyCommand(url, { stdout: true, stderr: true });
    const [out, err, status] = [await stdout.ending(), await stderr.ending(), await error.ending()];
    if (!status.includes('"Success"')) throw new Error(`${words.join(" ")}: ${status}: ${err}`);
    return out;
  };
  const ask = async (tenant: Tenant, { method = "GET", path, headers = [], body }: Asked, at = "ours") => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const words = ["python3", "/node/client.py", `/node/${at}/box.sock`, method, path, text, ...headers];
    return answerIn(await inPod(tenant, words));
  };
  const create = async (tenant: Tenant): Promise<Answer> =>
    await ask(tenant, {
      method: "POST",
      path: "/v1/sandboxes",
      body: { template: "base", metadata: { name: "mine" } },
    });
  const idOf = ({ body }: Answer): string => /"id":"([a-z0-9]{20})"/.exec(body)?.[1] ?? "";
  const ids: Record<Tenant, string> = { "team-a": "", "team-b": "" };

  it("have each a sandbox of the same name, and see their own alone", async () => {
    for (const tenant of tenants) {
      const made = await create(tenant);
      expect(made.status, made.body).to.equal(201);
      ids[tenant] = idOf(made);
    }
    for (const tenant of tenants) {
      const { body } = await ask(tenant, { path: "/v1/sandboxes?metadata.name=mine" });
      expect([...body.matchAll(/"id":"([a-z0-9]{20})"/g)].map(([, id]) => id)).to.deep.equal([ids[tenant]]);
    }
  });

  it("reach neither sandbox, program, file nor port of the other: it is as one that never was", async () => {
    const run = { command: "echo ours > /tmp/file; cat /tmp/file" };
    const ran = await ask("team-a", { method: "POST", path: `/v1/sandboxes/${ids["team-a"]}/run`, body: run });
    expect([ran.status, ran.body]).to.deep.equal([
      200,
      '{"exit_code":0,"signal":0,"timed_out":false,"stdout":"ours\\n","stderr":""}\n',
    ]);
    const never = "aaaaaaaaaaaaaaaaaaaa";
    const deeds = (id: string): Asked[] => [
      { path: `/v1/sandboxes/${id}` },
      { method: "POST", path: `/v1/sandboxes/${id}/run`, body: run },
      { method: "POST", path: `/v1/sandboxes/${id}/extend`, body: { life_ms: 60_000 } },
      { path: "/v1/files/file", headers: [`x-sandbox-id: ${id}`] },
      { method: "DELETE", path: "/v1/files/file", headers: [`x-sandbox-id: ${id}`] },
      { path: `/sandboxes/${id}` },
      { method: "POST", path: `/v2/sandboxes/${id}/connect`, body: {} },
      { method: "POST", path: "/process.Process/List", headers: byE2b(id, 49_983), body: {} },
      { path: "/files?path=/tmp/file", headers: byE2b(id, 49_983) },
      { path: "/", headers: byE2b(id, 8000) },
      { method: "DELETE", path: `/v1/sandboxes/${id}` },
    ];
    const nothing = deeds(never);
    for (const [at, deed] of deeds(ids["team-a"]).entries()) {
      const said = await ask("team-b", deed);
      const unknown = await ask("team-b", nothing[at] ?? deed);
      expect(said.status, deed.path).to.equal(deed.headers?.length === 2 ? 502 : 404);
      expect(said.body.replaceAll(ids["team-a"], never), deed.path).to.equal(unknown.body);
    }
    const file = await ask("team-a", { path: "/v1/files/file", headers: [`x-sandbox-id: ${ids["team-a"]}`] });
    expect([file.status, file.body]).to.deep.equal([200, "ours\n"]);
    const port = await ask("team-a", { path: "/", headers: byE2b(ids["team-a"], 8000) });
    expect([port.status, port.body]).to.satisfy(
      ([status, body]: [number, string]) => status === 502 && body.includes("port is not open"),
    );
  });

  it("are served while the other has all its connections open, asks without a pause and keeps its sandbox busy", async () => {
    const words = { command: "echo here" };
    const deed = { method: "POST", path: `/v1/sandboxes/${ids["team-b"]}/run`, body: words };
    const busy = { command: "while :; do :; done", limit_ms: 30_000 };
    const spinning = ask("team-a", { method: "POST", path: `/v1/sandboxes/${ids["team-a"]}/run`, body: busy });
    const flooding = inPod("team-a", ["python3", "/node/flood.py", "/node/ours/box.sock", "/node/stop"]);
    const tookMs: number[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      const startedMs = performance.now();
      const ran = await ask("team-b", deed);
      tookMs.push(performance.now() - startedMs);
      expect([ran.status, ran.body]).to.satisfy(
        ([status, body]: [number, string]) => status === 200 && body.includes('"stdout":"here\\n"'),
      );
    }
    await writeFile(join(directory, "stop"), "");
    const answered = Number(await flooding);
    process.stdout.write(
      `      ${answered} answers to the one; the other waited ${Math.max(...tookMs).toFixed(0)} ms at most\n`,
    );
    expect(answered).to.be.greaterThan(50);
    expect(Math.max(...tookMs)).to.be.below(limit(15_000));
    expect((await spinning).body).to.contain('"timed_out":true');
  });

  it("have a quota each: one that has used its own up takes nothing of the other's", async () => {
    const refused = await create("team-a");
    expect([refused.status, refused.body]).to.satisfy(
      ([status, body]: [number, string]) => status === 429 && body.includes("RESOURCE_EXHAUSTED"),
    );
    const second = await create("team-b");
    expect(second.status, second.body).to.equal(201);
    const ended = await ask("team-b", { method: "DELETE", path: `/v1/sandboxes/${idOf(second)}` });
    expect(ended.status).to.be.oneOf([200, 204]);
  });

  it("have no network between their sandboxes where they were given none", async () => {
    const lines = { command: "ip -o link | wc -l; ip route | wc -l" };
    for (const tenant of tenants) {
      const { body } = await ask(tenant, { method: "POST", path: `/v1/sandboxes/${ids[tenant]}/run`, body: lines });
      expect(body).to.contain('"stdout":"1\\n0\\n"');
    }
  });

  it("are told apart by kubelet's word where another runtime runs them", async () => {
    const made = await ask("team-a", { method: "POST", path: "/v1/sandboxes", body: { template: "base" } }, "other");
    expect(made.status, made.body).to.equal(201);
    const seen = async (tenant: Tenant) => (await ask(tenant, { path: "/v1/sandboxes" }, "other")).body;
    expect(await seen("team-a")).to.contain(idOf(made));
    expect(await seen("team-b")).to.not.contain(idOf(made));
    const theirs = await ask("team-b", { method: "DELETE", path: `/v1/sandboxes/${idOf(made)}` }, "other");
    expect(theirs.status).to.equal(404);
    const owned = { template: "base", ends_with_owner: true };
    const refused = await ask("team-a", { method: "POST", path: "/v1/sandboxes", body: owned }, "other");
    expect(refused.status, refused.body).to.equal(400);
    await ask("team-a", { method: "DELETE", path: `/v1/sandboxes/${idOf(made)}` }, "other");
  });

  it("end theirs", async () => {
    for (const tenant of tenants) {
      const ended = await ask(tenant, { method: "DELETE", path: `/v1/sandboxes/${ids[tenant]}` });
      expect(ended.status).to.be.oneOf([200, 204]);
    }
  });
});

/** Sandboxes that a failed test has left are not in lists for kubelet. */
async function removed(daemon: Daemon): Promise<void> {
  const labelSelector = { "a3s.dev/made-for": "agents" };
  const { items } = await daemon.cri.call(runtime.listPodSandbox, {
    filter: { id: "", state: undefined, labelSelector },
  });
  for (const { id } of items) {
    await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: id });
    await daemon.cri.call(runtime.removePodSandbox, { podSandboxId: id });
  }
  await daemon.remove();
}

/** On the host, in the network of the node: what asks there has its pod's group and no other. */
function appPod(directory: string): Record<string, unknown> {
  return {
    ...{ hostNetwork: true, terminationGracePeriodSeconds: 1 },
    containers: [
      {
        ...{ name: "app", image: agentImageName, imagePullPolicy: "Never", command: ["sleep", "100000"] },
        resources: { requests: { cpu: "100m" } },
        securityContext: { runAsUser: 0 },
        volumeMounts: [{ name: "node", mountPath: "/node" }],
      },
    ],
    volumes: [{ name: "node", hostPath: { path: directory, type: "Directory" } }],
  };
}

function byE2b(id: string, port: number): string[] {
  return [`E2b-Sandbox-Id: ${id}`, `E2b-Sandbox-Port: ${String(port)}`];
}

function answerIn(text: string): Answer {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  return { status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? "0"), body: rest.join("\r\n\r\n") };
}
