import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { ContainerConfig, NamespaceMode, PodSandboxConfig } from "../../src/gen/runtime/v1/api.js";
import { failure, image, maxMessageBytes, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { expectSameMachine, type MachineState } from "../support/machine.js";
import {
  containerConfig,
  podConfig,
  runPod,
  type ContainerConfigPart,
  type Pod,
  type PodConfigPart,
} from "../support/pods.js";
import { sharedPod } from "../support/shared-pod.js";
import { describeImage, type ImageSource } from "../support/registry.js";
import { buildLayer, sha256, type TarEntry } from "../support/tar-builder.js";

/** Serves whatever it is told to, honest or not. */
interface HostileRegistry {
  readonly host: string;
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, { bytes: Buffer; mediaType: string }>;
  readonly server: Server;
}

describe("Bad input", () => {
  let daemon: Daemon;
  let registry: HostileRegistry;
  let pod: Pod;
  let atRest: MachineState;
  const unknownId = "0123456789abcdef".repeat(4);

  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      return pod;
    },
  );
  // The machine is compared after each case. Log directories belong to kubelet, and tests make them.
  before(async () => {
    registry = await hostileRegistry();
    daemon = await Daemon.start({ images: [await busybox()], config: `[image]\nplain_http = ["${registry.host}"]\n` });
  });
  after(async () => {
    await daemon.remove();
    registry.server.close();
  });
  beforeEach(async () => {
    atRest = await daemon.machine();
  });
  afterEach(async () => {
    await expectSameMachine(daemon.scope, atRest);
  });

  const spec = (name: string) => ({
    image: name,
    annotations: {},
    userSpecifiedImage: "",
    runtimeHandler: "",
    imageRef: "",
  });

  describe("in RunPodSandbox", () => {
    const run = (config: PodSandboxConfig | undefined, runtimeHandler = ""): Promise<unknown> =>
      daemon.cri.call(runtime.runPodSandbox, { config, runtimeHandler });
    const metadata = { name: "n", uid: "u", namespace: "s", attempt: 0 };
    const refused: [string, PodConfigPart, RegExp][] = [
      ["without a name", { metadata: { ...metadata, name: "" } }, /name/],
      ["without a uid", { metadata: { ...metadata, uid: "" } }, /uid/],
      ["with a relative log directory", { logDirectory: "logs" }, /log_directory/],
      ["with a log directory that has ..", { logDirectory: "/var/../etc" }, /log_directory/],
      ["with a hostname of 200 letters", { hostname: "x".repeat(200) }, /hostname/],
      ["with a hostname that is none", { hostname: "a b\nc" }, /hostname/],
      [
        "with a DNS server that would add lines to resolv.conf",
        { dnsConfig: { servers: ["1.1.1.1\nsearch x"] } },
        /dns/,
      ],
      ["with a sysctl that is a path out of /proc/sys", { linux: { sysctls: { "../../etc.passwd": "1" } } }, /sysctl/],
      ["with a negative memory limit", { linux: { resources: { memoryLimitInBytes: -1n } } }, /memory/],
      ["with an absurd CPU period", { linux: { resources: { cpuPeriod: 1n, cpuQuota: 5n } } }, /cpu_period/],
      ["with a cgroup parent that leaves its hierarchy", { linux: { cgroupParent: "/../../etc" } }, /cgroup_parent/],
      ["with a port that is none", { portMappings: [{ containerPort: 70_000 }] }, /port/],
      [
        "with the host's network",
        { linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } },
        /host/,
      ],
      [
        "with the host's IPC",
        { linux: { securityContext: { namespaceOptions: { ipc: NamespaceMode.NODE } } } },
        /host/,
      ],
      [
        "with the host's process ids",
        { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.NODE } } } },
        /host/,
      ],
    ];
    for (const [what, part, message] of refused) {
      it(`refuses a config ${what}`, async () => {
        await failure(run(podConfig(daemon, part)), status.INVALID_ARGUMENT, message);
      });
    }

    it("refuses a request without a config, and one that is empty", async () => {
      await failure(run(undefined), status.INVALID_ARGUMENT, /config/);
      await failure(run(PodSandboxConfig.fromPartial({})), status.INVALID_ARGUMENT, /metadata/);
    });

    it("refuses a handler that it does not know", async () => {
      await failure(run(podConfig(daemon), "no-such-handler"), status.INVALID_ARGUMENT, /no-such-handler/);
    });

    it("takes a half-made pod back when a step in the guest fails: a sysctl that does not exist", async () => {
      const config = podConfig(daemon, { linux: { sysctls: { "kernel.no_such_sysctl": "1" } } });
      await failure(run(config), status.INVALID_ARGUMENT, /no_such_sysctl/);
      const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
      expect(items.map((item) => item.id)).to.deep.equal([pod.id]);
    });

    it("refuses a request of 16 MiB and 1 byte, and serves on", async () => {
      const config = podConfig(daemon, { annotations: { big: "x".repeat(maxMessageBytes) } });
      await failure(run(config), status.RESOURCE_EXHAUSTED);
      expect((await daemon.cri.call(runtime.version, {})).version).to.equal("0.1.0");
    });
  });

  describe("in CreateContainer", () => {
    const create = (part: ContainerConfigPart, podSandboxId = pod.id): Promise<unknown> =>
      daemon.cri.call(runtime.createContainer, {
        podSandboxId,
        config: containerConfig(part),
        sandboxConfig: pod.config,
      });

    it("refuses a sandbox that is not there", async () => {
      await failure(create({}, unknownId), status.NOT_FOUND, new RegExp(unknownId.slice(0, 12)));
    });

    it("refuses a request without a config, and one that is empty", async () => {
      const call = (config: ContainerConfig | undefined): Promise<unknown> =>
        daemon.cri.call(runtime.createContainer, { podSandboxId: pod.id, config, sandboxConfig: pod.config });
      await failure(call(undefined), status.INVALID_ARGUMENT, /config/);
      await failure(call(ContainerConfig.fromPartial({})), status.INVALID_ARGUMENT, /metadata|image/);
    });

    it("refuses no image, and an image that is not there, saying what to do", async () => {
      await failure(create({ image: { image: "" } }), status.INVALID_ARGUMENT, /image/);
      await failure(create({ image: { image: "localhost/not/there:1" } }), status.NOT_FOUND, /not\/there.*pull/s);
    });

    const refused: [string, ContainerConfigPart, status, RegExp][] = [
      [
        "a mount whose source is relative",
        { mounts: [{ hostPath: "etc", containerPath: "/x" }] },
        status.INVALID_ARGUMENT,
        /etc/,
      ],
      [
        "a mount whose source is missing",
        { mounts: [{ hostPath: "/no/such/directory", containerPath: "/x" }] },
        status.INVALID_ARGUMENT,
        /\/no\/such\/directory/,
      ],
      [
        "a mount at no path",
        { mounts: [{ hostPath: "/etc", containerPath: "" }] },
        status.INVALID_ARGUMENT,
        /container_path/,
      ],
      [
        "an environment variable without a name",
        { envs: [{ key: "", value: Buffer.from("x") }] },
        status.INVALID_ARGUMENT,
        /env/,
      ],
      [
        "an environment variable with = in its name",
        { envs: [{ key: "A=B", value: Buffer.from("x") }] },
        status.INVALID_ARGUMENT,
        /env/,
      ],
      [
        "a log path that leaves the pod's directory",
        { logPath: "../../escape.log" },
        status.INVALID_ARGUMENT,
        /log_path/,
      ],
      ["a relative working directory", { workingDir: "tmp" }, status.INVALID_ARGUMENT, /working_dir/],
      [
        "a group without a user",
        { linux: { securityContext: { runAsGroup: { value: 1000n } } } },
        status.INVALID_ARGUMENT,
        /run_as_group/,
      ],
      [
        "a user that the image does not know",
        { linux: { securityContext: { runAsUsername: "nosuchuser" } } },
        status.INVALID_ARGUMENT,
        /nosuchuser/,
      ],
      [
        "a device that the guest has not",
        { devices: [{ hostPath: "/dev/no-such", containerPath: "/dev/x", permissions: "rwm" }] },
        status.INVALID_ARGUMENT,
        /device|\/dev/,
      ],
      ["a NUL in an argument", { command: ["echo", "a\0b"] }, status.INVALID_ARGUMENT, /command|args|NUL/i],
    ];
    for (const [what, part, code, message] of refused) {
      it(`refuses ${what}`, async () => {
        await failure(create(part), code, message);
        expect((await daemon.cri.call(runtime.listContainers, {})).containers).to.deep.equal([]);
      });
    }

    it("refuses an image without anything to run when the config names nothing", async () => {
      await failure(create({ image: { image: busyboxImage }, command: [], args: [""] }), status.INVALID_ARGUMENT);
    });
  });

  describe("ids that nobody has", () => {
    it("are NOT_FOUND wherever kubelet looks for that code", async () => {
      const containerId = unknownId;
      const call = daemon.cri;
      await failure(call.call(runtime.podSandboxStatus, { podSandboxId: unknownId }), status.NOT_FOUND);
      await failure(call.call(runtime.containerStatus, { containerId }), status.NOT_FOUND);
      await failure(call.call(runtime.startContainer, { containerId }), status.NOT_FOUND);
      await failure(call.call(runtime.execSync, { containerId, cmd: ["true"] }), status.NOT_FOUND);
      await failure(call.call(runtime.reopenContainerLog, { containerId }), status.NOT_FOUND);
    });

    it("that are no ids at all get an answer too", async () => {
      for (const podSandboxId of ["", "../../etc", "x".repeat(10_000), "\0"]) {
        await failure(daemon.cri.call(runtime.podSandboxStatus, { podSandboxId }), status.NOT_FOUND);
        await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId });
        await daemon.cri.call(runtime.removePodSandbox, { podSandboxId });
      }
    });
  });

  describe("in PullImage", () => {
    const pull = (name: string) => daemon.cri.call(image.pullImage, { image: spec(name) });
    /** An image whose only layer holds the entries. */
    const offer = (name: string, entries: readonly TarEntry[]): string => {
      const source: ImageSource = { layers: [buildLayer(entries)] };
      serve(registry, name, source);
      return `${registry.host}/${name}:1`;
    };

    it("refuses no image, and names that are none", async () => {
      await failure(daemon.cri.call(image.pullImage, {}), status.INVALID_ARGUMENT, /image/);
      for (const name of ["", "library/UPPER", "a b", "x@sha256:12", "/etc/passwd", "host:port/x:"]) {
        await failure(pull(name), status.INVALID_ARGUMENT);
      }
    });

    it("says NOT_FOUND for an image that the registry has not", async () => {
      await failure(pull(`${registry.host}/not-there:1`), status.NOT_FOUND, /not-there/);
    });

    it("gives kubelet's reason when the registry can't be reached", async () => {
      await failure(pull("127.0.0.1:1/x:1"), status.UNKNOWN, /^RegistryUnavailable/);
    });

    it("refuses a manifest that does not have the digest asked for", async () => {
      offer("other-manifest", [{ name: "file", content: "x" }]);
      const wanted = `sha256:${"1".repeat(64)}`;
      const manifest = registry.manifests.get("other-manifest/1");
      if (manifest !== undefined) registry.manifests.set(`other-manifest/${wanted}`, manifest);
      await failure(pull(`${registry.host}/other-manifest@${wanted}`), status.INTERNAL, /digest/);
    });

    it("refuses a layer that does not have its digest, and names it", async () => {
      const layer = buildLayer([{ name: "file", content: "x".repeat(5000) }]);
      serve(registry, "wrong-layer", { layers: [layer] });
      const bent = Buffer.from(layer.bytes);
      bent[bent.length - 12] = (bent[bent.length - 12] ?? 0) ^ 1;
      registry.blobs.set(layer.digest, bent);
      await failure(pull(`${registry.host}/wrong-layer:1`), status.INTERNAL, new RegExp(layer.digest.slice(0, 19)));
    });

    it("refuses a layer that ends too early", async () => {
      const layer = buildLayer([{ name: "file", content: "y".repeat(5000) }]);
      serve(registry, "short-layer", { layers: [layer] });
      registry.blobs.set(layer.digest, layer.bytes.subarray(0, layer.bytes.length / 2));
      await failure(pull(`${registry.host}/short-layer:1`), status.INTERNAL, new RegExp(layer.digest.slice(0, 19)));
    });

    it("refuses a layer whose content has another digest than the config says", async () => {
      const layer = { ...buildLayer([{ name: "file", content: "z" }]), diffId: `sha256:${"2".repeat(64)}` };
      serve(registry, "wrong-diff", { layers: [layer] });
      await failure(pull(`${registry.host}/wrong-diff:1`), status.INTERNAL, /sha256:/);
    });

    const leaving: [string, TarEntry[]][] = [
      ["a name with ..", [{ name: "../../escaped", content: "x" }]],
      ["a name with .. in the middle", [{ name: "a/../../../escaped", content: "x" }]],
      [
        "a hard link to a file of the host",
        [{ name: "passwd", type: "hardlink", link: "../../../../../../../../etc/passwd" }],
      ],
      [
        "a hard link through a link",
        [
          { name: "out", type: "symlink", link: "/etc" },
          { name: "passwd", type: "hardlink", link: "out/passwd" },
        ],
      ],
      ["a whiteout that names its parent", [{ name: "a/.wh...", content: "" }]],
    ];
    for (const [what, entries] of leaving) {
      it(`refuses a layer that leaves its root by ${what}`, async () => {
        const name = `leaving-${sha256(what).slice(7, 15)}`;
        await failure(pull(offer(name, entries)), status.INTERNAL, /layer|entry|root/);
        const found = await daemon.cri.call(image.imageStatus, { image: spec(`${registry.host}/${name}:1`) });
        expect(found.image).to.equal(undefined);
      });
    }

    for (const link of ["/", "../../../../../../../.."]) {
      it(`keeps a file through a link to ${link} inside of the layer, as containerd does`, async () => {
        const escaped = `escaped-${sha256(link).slice(7, 15)}`;
        const name = `kept-${sha256(link).slice(7, 15)}`;
        const entries: TarEntry[] = [
          { name: "out", type: "symlink", link },
          { name: `out/tmp/${escaped}`, content: "x" },
        ];
        const { imageRef } = await pull(offer(name, entries));
        expect(existsSync(join("/tmp", escaped))).to.equal(false);
        const layers = join(daemon.root, "images/layers");
        const kept = (await readdir(layers)).map((layer) => join(layers, layer, "fs/tmp", escaped)).filter(existsSync);
        expect(kept).to.have.length(1);
        await daemon.cri.call(image.removeImage, { image: spec(imageRef) });
      });
    }
  });

  it("sees what it is asked to compare: a file more is a difference", async () => {
    const extra = join(daemon.root, "extra");
    await mkdir(daemon.root, { recursive: true });
    await writeFile(extra, "");
    const found = await expectSameMachine(daemon.scope, atRest, 1).catch((thrown: unknown) => thrown);
    expect(found).to.have.property("message").that.includes("left behind: root/extra");
    const { rm } = await import("node:fs/promises");
    await rm(extra);
  });
});

function serve(registry: HostileRegistry, name: string, source: ImageSource): void {
  const { config, manifest, mediaType } = describeImage(source);
  registry.blobs.set(sha256(config), config);
  for (const layer of source.layers) registry.blobs.set(layer.digest, layer.bytes);
  registry.manifests.set(`${name}/1`, { bytes: manifest, mediaType });
  registry.manifests.set(`${name}/${sha256(manifest)}`, { bytes: manifest, mediaType });
}

async function hostileRegistry(): Promise<HostileRegistry> {
  const blobs: HostileRegistry["blobs"] = new Map();
  const manifests: HostileRegistry["manifests"] = new Map();
  const server = createServer((request, response) => {
    const [, name, kind, key] = /^\/v2\/(.+)\/(blobs|manifests)\/(.+)$/.exec(request.url ?? "") ?? [];
    const found = kind === "blobs" ? { bytes: blobs.get(key ?? "") } : manifests.get(`${name ?? ""}/${key ?? ""}`);
    if (request.url === "/v2/") {
      response.end("{}");
    } else if (found?.bytes === undefined) {
      response.writeHead(404).end("{}");
    } else {
      const type = "mediaType" in found ? found.mediaType : "application/octet-stream";
      response.writeHead(200, { "content-type": type, "content-length": found.bytes.length });
      response.end(request.method === "HEAD" ? undefined : found.bytes);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { host: `127.0.0.1:${port}`, blobs, manifests, server };
}
