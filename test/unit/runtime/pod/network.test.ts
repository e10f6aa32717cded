import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { PortMapping, type PodSandboxConfig } from "../../../../src/gen/runtime/v1/api.js";
import { recover } from "../../../../src/runtime/recovery.js";
import { runPodSandbox } from "../../../../src/cri/rpc/run-pod-sandbox.js";
import { status } from "../../../../src/cri/rpc/status.js";
import { stopPodSandbox } from "../../../../src/cri/rpc/stop-pod-sandbox.js";
import { eventually } from "../../../support/wait.js";
import { call, failureOf, makeWorld, podRequest, type World } from "./fakes.js";

const ports = (hostPort: number, hostIp = ""): Partial<PodSandboxConfig> => ({
  portMappings: [PortMapping.fromPartial({ hostPort, containerPort: 80, hostIp })],
});

/** Another pod each time. */
let pods = 0;
function pod(part: Partial<PodSandboxConfig>): ReturnType<typeof podRequest> {
  const name = `pod-${String(++pods)}`;
  return podRequest({ metadata: { name, namespace: "shop", uid: name, attempt: 0 }, ...part });
}

describe("network of a sandbox", () => {
  let world: World;
  beforeEach(async () => {
    world = await makeWorld({ network: "cni" });
  });
  afterEach(async () => {
    await world.remove();
  });

  it("is refused while there is no configuration, and Status says the same", async () => {
    const failure = await failureOf(runPodSandbox(pod({}), call(), world.deps));
    expect(failure.code).to.equal("unavailable");
    expect(failure.message).to.contain(`no CNI configuration in ${world.deps.config.cni.confDir}`);
    const { status: found } = await status({ verbose: false }, call(), world.deps);
    const network = found?.conditions.find(({ type }) => type === "NetworkReady");
    expect(network?.status).to.equal(false);
    expect(network?.message).to.contain("no CNI configuration");
    expect(world.deps.sandboxes.all()).to.have.length(0);
  });

  it("comes from the plugins, goes to the guest, and is left when the sandbox stops", async () => {
    await configure(world);
    const { podSandboxId } = await runPodSandbox(pod(ports(8080)), call(), world.deps);
    const sandbox = world.deps.sandboxes.require(podSandboxId);
    const [configured] = world.boxes.live.get(sandbox.id)?.configured ?? [];
    const [link] = configured?.interfaces ?? [];
    expect(link?.addresses).to.deep.equal(["10.1.0.5/24"]);
    expect(link?.mac).to.equal("aa:bb:cc:00:00:01");
    expect(link?.deviceMac).to.equal(sandbox.box?.deviceMac);
    expect(world.boxes.specs[0]?.tap).to.equal("tap0");
    expect([link?.promiscuous, link?.allMulticast, link?.transmitQueue]).to.deep.equal([true, false, 77]);
    expect(link?.routes.map(({ gateway }) => gateway)).to.deep.equal(["", "10.1.0.1"]);
    expect(configured?.sysctls).to.deep.equal({
      "net.core.somaxconn": "500",
      "net.ipv4.ip_unprivileged_port_start": "0",
      "net.ipv4.ping_group_range": "0 2147483647",
    });
  });

  it("gives a host port to one sandbox at a time", async () => {
    await configure(world);
    await runPodSandbox(pod(ports(8080)), call(), world.deps);
    const failure = await failureOf(runPodSandbox(pod(ports(8080, "10.9.9.9")), call(), world.deps));
    expect(failure.code).to.equal("alreadyExists");
    expect(failure.message).to.contain("host port 8080/tcp is taken by pod shop/pod-");
    await runPodSandbox(pod(ports(8081)), call(), world.deps);
  });

  it("is checked after a restart beside whoever wants the sandbox, for whom the plugin gives way", async () => {
    const began = join(world.directory, "check");
    await configure(world, `[ $CNI_COMMAND = CHECK ] && { touch ${began}; exec sleep 60; }`);
    const { podSandboxId } = await runPodSandbox(pod({}), call(), world.deps);
    await world.restart();
    await recover(world.deps);
    await eventually("the plugin is asked", 5_000, () => (existsSync(began) ? true : undefined));
    const beganMs = performance.now();
    await stopPodSandbox({ podSandboxId }, call(), world.deps);
    expect(performance.now() - beganMs).to.be.lessThan(3_000);
    expect(world.log.join("")).to.not.contain("network of a sandbox is not as it was made");
  });

  it("is taken back when a plugin fails, with what the plugins before it have answered", async () => {
    await configure(world, `case $CNI_COMMAND in ADD) echo '{"code": 7, "msg": "no way"}'; exit 1;; esac`);
    const failure = await failureOf(runPodSandbox(pod({}), call(), world.deps));
    expect(failure.message).to.contain('CNI plugin "tuning" ADD: no way');
    expect(world.deps.sandboxes.all()).to.have.length(0);
    expect(world.kernel.netns.size).to.equal(0);
  });
});

/** Two plugins: one that answers with an address, and "tuning", which runs the shell lines given. */
async function configure({ deps }: World, tuning = ""): Promise<void> {
  const { binDirs, confDir } = deps.config.cni;
  const [binDir = ""] = binDirs;
  await mkdir(binDir, { recursive: true });
  await mkdir(confDir, { recursive: true });
  const answer = `{"cniVersion":"1.0.0","ips":[{"address":"10.1.0.5/24"}]}`;
  const plugin = (lines: string): string => `#!/bin/sh\ncat > /dev/null\n${lines}\necho '${answer}'\n`;
  await writeFile(join(binDir, "first"), plugin(""), { mode: 0o755 });
  await writeFile(join(binDir, "tuning"), plugin(tuning), { mode: 0o755 });
  const plugins = [{ type: "first" }, { type: "tuning", sysctl: { "net.core.somaxconn": "500" } }];
  await writeFile(join(confDir, "1.conflist"), JSON.stringify({ cniVersion: "1.0.0", name: "net", plugins }));
}
