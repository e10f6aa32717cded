/** The runtime API at ports of a pod of Kubernetes, by clients that people have, unmodified: through port-forward and by the pod's address. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ChannelCredentials, Metadata, status } from "@grpc/grpc-js";
import { expect } from "chai";
import { ProcessServiceClient } from "../../src/gen/process/v1/process.js";
import { NamespaceMode } from "../../src/gen/runtime/v1/api.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { NodeNetwork } from "../support/node-network.js";
import { podStatus, removePod, runPod, shell, startContainer, type Pod } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { nextOf } from "../support/sandboxes/calls.js";
import { skipBecause } from "../support/skip.js";
import { openTunnel } from "../support/streaming/port-tunnel.js";
import { eventually, limit } from "../support/wait.js";

const grpcurl = join(projectDirectory, "build/assets/bin/grpcurl");
const python = join(projectDirectory, "build/assets/python-clients/bin/python");
const script = join(projectDirectory, "test/sandboxes/k8s_agent_sandbox_client.py");
const allowed = 'annotations = ["runtime_api"]';
const handlers = `[handlers.agents]\n${allowed}\n[handlers.host]\ndriver = "native"\n${allowed}\n`;
const asked = { annotations: { "a3s.dev/runtime-api": "true" } };
const run = promisify(execFile);

const seenByClient = {
  run: ["out\n/workspace\n", "err\n", 3],
  env: "value\n",
  late: [true, 124],
  read: "hello",
  read_to: 300_000,
  list: [["a b.txt", "file", 5, "0644"]],
  exists: [true, false],
  deleted: false,
  cwd: "/workspace/dir\n",
  escape: true,
  escape_file: 403,
};

describe("the runtime API of a pod", function () {
  this.timeout(limit(120_000));
  let node: NodeNetwork;
  let daemon: Daemon;
  let pod: Pod;
  let address: string;
  let first: string;
  let second: string;

  before(async () => {
    node = await NodeNetwork.create();
    const bridge = { type: "bridge", bridge: "pods", isGateway: true, ipam: node.ipam("10.97.0.0/24") };
    await node.configure([bridge]);
    const config = `${node.daemonConfig}${handlers}[streaming]\naddress = "127.0.0.1"\n`;
    daemon = await Daemon.start({ images: [await busybox()], config, nodeNetns: node.netns });
    pod = await runPod(daemon, asked, "agents");
    address = (await podStatus(daemon, pod.id)).network?.ip ?? "";
    const main = { metadata: { name: "main", attempt: 0 }, workingDir: "/workspace" };
    first = await startContainer(daemon, pod, main);
    second = await startContainer(daemon, pod, { metadata: { name: "beside", attempt: 0 }, workingDir: "/beside" });
  });

  after(async () => {
    await removePod(daemon, pod);
    expect(await readdir(join(daemon.root, "pod-processes")).catch(() => [])).to.deep.equal([]);
    await daemon.remove();
    await node.remove();
  });

  const curl = async (...args: readonly string[]): Promise<string> =>
    await node.run("curl", "-sS", "-m", "60", ...args);

  it("is at the pod's address for agent-sandbox's client, with nothing of it in the image", async function () {
    if (!existsSync(python)) skipBecause(this, "no python-clients: run the set-up");
    const client = [python, script, "8080", "9090", "some-sandbox", address];
    const line = (await node.run("env", ...client)).trim().split("\n").at(-1) ?? "";
    expect(JSON.parse(line)).to.deep.equal(seenByClient);
  });

  it("is at the pod's address for grpcurl and curl, and acts in the container that is named", async function () {
    const files = `http://${address}:8080/v1/files`;
    await curl("-X", "PUT", "--data-binary", "one", `${files}/name`);
    await curl("-X", "PUT", "--data-binary", "two", "-H", "x-container-name: beside", `${files}/name`);
    expect(await shell(daemon, first, "cat /workspace/name")).to.equal("one");
    expect(await shell(daemon, second, "cat /beside/name")).to.equal("two");
    // the router of agent-sandbox has a header of its own, which names no container
    expect(await curl("-H", "x-sandbox-id: some-sandbox", `${files}/name`)).to.equal("one");
    const missing = await curl("-H", "x-container-name: nobody", `${files}/name`);
    expect(missing).to.match(/NOT_FOUND.*no container/);
    expect(await curl(`http://${address}:8080/v1/sandboxes`)).to.match(/nothing is at/);
    if (!existsSync(grpcurl)) skipBecause(this, "no grpcurl: the set-up needs Go for it");
    const services = await node.run(grpcurl, "-plaintext", `${address}:9090`, "list");
    expect(
      services.split("\n").filter((name) => name.startsWith("sandboxes") || name.startsWith("process")),
    ).to.deep.equal(["process.v1.ProcessService"]);
    const data = JSON.stringify({ config: { command: ["sh", "-c", "pwd; id -u"] } });
    const call = ["-plaintext", "-H", "x-container-name: beside", "-d", data, `${address}:9090`];
    const { stdout } = JSON.parse(await node.run(grpcurl, ...call, "process.v1.ProcessService/Execute")) as {
      stdout: string;
    };
    expect(Buffer.from(stdout, "base64").toString()).to.equal("/beside\n0\n");
  });

  it("is refused where the handler does not allow it, and where the word is none", async () => {
    for (const [handler, value, why] of [
      ["", "true", /not allowed by the pod's handler/],
      ["agents", "yes", /"yes" is unknown/],
    ] as const) {
      const refused = await runPod(daemon, { annotations: { "a3s.dev/runtime-api": value } }, handler).catch(String);
      expect(refused).to.match(why);
    }
  });
});

describe("the runtime API of a pod without a network", function () {
  this.timeout(limit(120_000));
  let daemon: Daemon;
  let pod: Pod;
  let container: string;

  before(async () => {
    daemon = await Daemon.start({ images: [await busybox()], config: handlers });
    pod = await runPod(daemon, { annotations: { "a3s.dev/runtime-api": "loopback" } }, "agents");
    container = await startContainer(daemon, pod, { workingDir: "/workspace" });
  });

  after(async () => {
    await removePod(daemon, pod);
    await daemon.remove();
  });

  it("is reached by port-forward, with agent-sandbox's client", async function () {
    if (!existsSync(python)) skipBecause(this, "no python-clients: run the set-up");
    using rest = await openTunnel(daemon.cri, pod.id, 8080);
    using grpc = await openTunnel(daemon.cri, pod.id, 9090);
    const args = [script, String(rest.port), String(grpc.port), "some-sandbox"];
    const { stdout } = await run(python, args, { timeout: limit(100_000) });
    expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).to.deep.equal(seenByClient);
  });

  it("is reached by the pod's own programs, at the loopback alone", async () => {
    const request = "wget -qO- http://127.0.0.1:8080/v1/health";
    expect(await shell(daemon, container, request)).to.match(/"status":"ok"/);
    const listened = await shell(daemon, container, "netstat -ltn | grep -E ':(8080|9090) ' | awk '{print $4}' | sort");
    expect(listened.trim().split("\n")).to.deep.equal(["127.0.0.1:8080", "127.0.0.1:9090", "::1:8080", "::1:9090"]);
  });

  it("is there again after the daemon was killed, which ends the programs of its calls and nothing else", async () => {
    const credentials = ChannelCredentials.createInsecure();
    const runsSleep = "ps -o pid,args | grep '[s]leep 4713' || true";
    using grpc = await openTunnel(daemon.cri, pod.id, 9090);
    const client = new ProcessServiceClient(`127.0.0.1:${String(grpc.port)}`, credentials);
    const config = { command: ["sleep", "4713"], envVars: {}, cwd: undefined };
    const started = client.start({ config, pty: undefined }, new Metadata());
    expect(await nextOf(started)).to.have.property("init");
    const failed = new Promise<unknown>((resolve) => started.once("error", resolve));
    started.resume();
    expect(await shell(daemon, container, runsSleep)).to.match(/\d/);
    await daemon.stop("SIGKILL");
    await failed;
    client.close();
    await daemon.launch();
    await eventually("it answers again", 30_000, async () => {
      const health = await shell(daemon, container, "wget -T 20 -qO- http://127.0.0.1:8080/v1/health").catch(() => "");
      return health.includes('"ok"') ? true : undefined;
    });
    await eventually("the program has ended", 30_000, async () =>
      (await shell(daemon, container, runsSleep)).trim() === "" ? true : undefined,
    );
    expect(await shell(daemon, container, "ps -o args | grep -c '^top'")).to.match(/[1-9]/);
    using again = await openTunnel(daemon.cri, pod.id, 9090);
    expect(await executed(again.port, ["echo", "on"])).to.equal("on\n");
  });

  it("is there in a pod of the host, and refused where that has the host's network", async () => {
    const ofHost = await runPod(daemon, { annotations: { "a3s.dev/runtime-api": "loopback" } }, "host");
    const id = await startContainer(daemon, ofHost);
    expect(await shell(daemon, id, "wget -qO- http://127.0.0.1:8080/v1/health")).to.match(/"status":"ok"/);
    using grpc = await openTunnel(daemon.cri, ofHost.id, 9090);
    expect(await executed(grpc.port, ["hostname"])).to.equal(`${ofHost.config.metadata?.name ?? ""}\n`);
    await removePod(daemon, ofHost);
    const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.POD, ipc: NamespaceMode.POD };
    const shared = { ...asked, linux: { securityContext: { namespaceOptions } } };
    expect(await runPod(daemon, shared, "host").catch(String)).to.match(/shares the host's network/);
  });

  it("asks for the pod's token, where it has one, whatever is called, and takes no other", async () => {
    const token = "a-token-of-this-pod";
    const digest = createHash("sha256").update(token).digest("hex");
    const annotations = { "a3s.dev/runtime-api": "loopback", "a3s.dev/runtime-api-token-sha256": digest };
    const none = { annotations: { ...annotations, "a3s.dev/runtime-api-token-sha256": token } };
    expect(await runPod(daemon, none, "host").catch(String)).to.match(/no SHA-256 in hexadecimal/);
    const guarded = await runPod(daemon, { annotations }, "host");
    await startContainer(daemon, guarded);
    using rest = await openTunnel(daemon.cri, guarded.id, 8080);
    const url = `http://127.0.0.1:${String(rest.port)}`;
    const wrong = [
      {},
      { authorization: `Bearer ${digest}` },
      { authorization: `Basic ${token}` },
      { "x-api-key": "wrong" },
    ];
    for (const headers of [...wrong, { authorization: "Bearer wrong", "x-sandbox-id": "some-sandbox" }]) {
      for (const [method, path] of [
        ["GET", "/v1/files/etc"],
        ["PUT", "/v1/files/new"],
        ["DELETE", "/v1/files/etc?recursive=true"],
        ["GET", "/v1/metadata"],
        ["POST", "/execute"],
        ["GET", "/list/."],
      ] as const) {
        const body = method === "GET" ? {} : { body: "{}" };
        const { status: got } = await fetch(url + path, { method, headers: { ...headers }, ...body });
        expect(got, `${method} ${path} ${JSON.stringify(headers)}`).to.equal(401);
      }
    }
    const refused = await fetch(`${url}/v1/files/.`);
    expect(await refused.json()).to.include({ code: "UNAUTHENTICATED" });
    const bearer = { authorization: `Bearer ${token}` };
    expect((await fetch(`${url}/v1/files/.`, { headers: bearer })).status).to.equal(200);
    expect((await fetch(`${url}/v1/health`)).status, "of nothing but its health").to.equal(200);
    using grpc = await openTunnel(daemon.cri, guarded.id, 9090);
    for (const authorization of [undefined, `Bearer ${digest}`, token]) {
      const failed: unknown = await executed(grpc.port, ["true"], authorization).catch((thrown: unknown) => thrown);
      expect(failed, String(authorization)).to.include({ code: status.UNAUTHENTICATED });
    }
    expect(await executed(grpc.port, ["echo", "on"], bearer.authorization)).to.equal("on\n");
    if (existsSync(grpcurl)) {
      const list = run(grpcurl, ["-plaintext", `127.0.0.1:${String(grpc.port)}`, "list"]);
      expect(await list.then(({ stdout }) => stdout, String)).to.match(/Unauthenticated/);
    }
    await removePod(daemon, guarded);
  });

  it("says NOT_FOUND for a process that is not there, and takes no megabytes in one message", async () => {
    using grpc = await openTunnel(daemon.cri, pod.id, 9090);
    const client = new ProcessServiceClient(`127.0.0.1:${String(grpc.port)}`, ChannelCredentials.createInsecure());
    const written = async (bytes: number): Promise<number | undefined> =>
      await new Promise((resolve) => {
        client.writeStdin({ processId: 99, input: Buffer.alloc(bytes), eof: undefined }, (error) => {
          resolve(error?.code);
        });
      });
    expect(await written(1)).to.equal(status.NOT_FOUND);
    expect(await written(2 << 20)).to.equal(status.RESOURCE_EXHAUSTED);
    client.close();
  });
});

/** What a program has written, run by process.v1 at this port. */
async function executed(port: number, command: string[], authorization?: string): Promise<string> {
  const client = new ProcessServiceClient(`127.0.0.1:${String(port)}`, ChannelCredentials.createInsecure());
  try {
    return await new Promise<string>((resolve, reject) => {
      const metadata = new Metadata();
      if (authorization !== undefined) metadata.set("authorization", authorization);
      client.execute({ config: { command, envVars: {}, cwd: undefined } }, metadata, (error, answer) => {
        if (error === null) resolve(answer.stdout.toString());
        else reject(error);
      });
    });
  } finally {
    client.close();
  }
}
