import { mkdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { inStage, messageOf } from "../../src/base/errors.js";
import { installSystemPackages } from "./apt/system-packages.js";
import { addon } from "./assets/addon.js";
import { agent } from "./assets/agent.js";
import { apparmorProfiles, apparmorTestProfiles } from "./assets/apparmor.js";
import { busyboxImage } from "./assets/busybox-image.js";
import { codingAgents } from "./assets/coding-agents.js";
import { crunBase, guestBase } from "./assets/guest-base.js";
import { guestKernel, type KernelName, wantedKernel } from "./assets/guest-kernel.js";
import { debianRoots } from "./assets/debian-roots.js";
import { helm } from "./assets/helm.js";
import { imagePackages } from "./assets/image-packages.js";
import { containerdPrograms, mappingRunc } from "./assets/containerd.js";
import {
  controlPlane,
  kubeClient,
  kubelet,
  kubeProxy,
  kubeRouter,
  oldestKubelet,
  seccompReference,
} from "./assets/kubernetes.js";
import { kernel as packageKernel } from "./assets/kernel.js";
import { launcher } from "./assets/launcher.js";
import { krunFileServer, libkrun } from "./assets/libkrun.js";
import { outerKernel } from "./assets/outer-kernel.js";
import { posixSuite } from "./assets/posix-suite.js";
import { ensureRust } from "./assets/rust.js";
import { pythonClients, pythonSdk } from "./assets/python-clients.js";
import { grpcurl } from "./assets/sandbox-clients.js";
import { sanitized } from "./assets/sanitized.js";
import { templateImages } from "./assets/template-images.js";
import { testUnpackers, unpacker, unpackerPackages } from "./assets/unpacker.js";
import { virtiofsd } from "./assets/virtiofsd.js";
import { type SetupContext, tryRun } from "./run.js";

export type Driver = "krun" | "qemu";

export interface SetupWish {
  readonly drivers: readonly Driver[];
  /** What only the tests need: the nested VM's kernel, a registry, the checks' tools. */
  readonly forTests: boolean;
  /** The images of the templates; tests have them anyway. */
  readonly templates?: boolean;
  /** What takes half an hour more to build, on two cores, the programs of a control plane or another kubelet; or is large. */
  readonly more?: "cluster" | "helm" | "oldest-kubelet" | "coding-agents";
  /** Absent: what A3S_KERNEL says, else ours for tests, else what `guestKernel` decides. */
  readonly kernel?: KernelName | undefined;
}

/** The compiler's packages, for all steps at once: apt is slow to start. */
const buildPackages = [
  "gcc",
  "g++",
  "make",
  "python3",
  "pkg-config",
  "libc6-dev",
  "libseccomp-dev",
  "e2fsprogs",
  ...unpackerPackages,
];
const testPackages = [
  ...["skopeo", "umoci", "attr", "docker-registry", "openssl", "zstd", "kmod", "iproute2", "clang-format"],
  ...["containernetworking-plugins", "iptables", "nftables", "runc", "systemd", "xfsprogs"],
];

export function setupContext(root: string, signal: AbortSignal, say: (line: string) => void): SetupContext {
  // What is made must be readable by the users that the Boxes run as, whatever the person's umask.
  process.umask(0o022);
  const caches = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return { signal, root, say, cache: join(caches, "a3s-box-cri-runtime") };
}

/** Asks the launcher whether this machine's KVM can run a guest kernel. */
export async function usableDriver(context: SetupContext): Promise<Driver> {
  await installSystemPackages(context, { names: buildPackages, fromBackports: [] });
  const program = join(await launcher(context), "a3s-box-launcher");
  return (await tryRun(program, ["probe"], { signal: context.signal })) === undefined ? "qemu" : "krun";
}

/**
 * Makes all that the wish needs and does not exist yet, and links it into `build/assets`. Downloads, Rust and C++ go
 * side by side.
 */
export async function setUp(context: SetupContext, wish: SetupWish): Promise<void> {
  const qemu = wish.drivers.includes("qemu") || wish.forTests;
  await installSystemPackages(context, {
    names: [
      ...[...buildPackages, ...(qemu ? ["libcap-ng-dev"] : []), ...(wish.forTests ? testPackages : [])],
      ...(wish.more === "cluster" ? ["ipset"] : []),
    ],
    fromBackports: qemu ? ["qemu-system-x86"] : [],
  });
  await ensureRust(context, wish.forTests);
  const assets = join(context.root, "build/assets");
  const place = (target: string, name: string): Promise<void> => link(target, join(assets, name));
  const guest = async (inner: SetupContext): Promise<void> => {
    const wanted = wantedKernel({ kernel: wish.kernel, ours: wish.forTests }, process.env);
    const { name, directory } = await guestKernel(inner, wanted);
    await place(join(directory, "vmlinux.elf"), `kernel/${name}/vmlinux.elf`);
    await place(join(directory, "vmlinux.elf"), "kernel/vmlinux.elf");
    if (wish.forTests && name === "own") await packagedKernel(inner, place);
  };
  const downloads = async (inner: SetupContext): Promise<void> => {
    await place(await busyboxImage(inner), "image");
    await crunBase(inner);
    await place(await apparmorProfiles(inner), "apparmor");
    if (wish.forTests || wish.templates === true) await place(await templateImages(inner), "templates");
    if (wish.forTests) {
      await place(await apparmorTestProfiles(inner), "apparmor-tests");
      await place(await imagePackages(inner), "packages");
      await place(await outerKernel(inner), "outer");
      if (wish.more === "coding-agents") await place(await codingAgents(inner), "coding-agents");
      const clients = await pythonClients(inner);
      if (clients !== undefined) await place(clients, "python-clients");
      const sdk = clients === undefined ? undefined : await pythonSdk(inner, clients);
      if (sdk !== undefined) await place(sdk, "python-sdk");
      await place(await debianRoots(inner), "debian-roots");
    }
  };
  const rust = async (inner: SetupContext): Promise<void> => {
    if (qemu) await place(join(await virtiofsd(inner), "virtiofsd"), "bin/virtiofsd");
    await place(await guestBase(inner, await agent(inner), await unpacker(inner)), "guest");
    if (wish.drivers.includes("krun")) await place(await libkrun(inner), "lib/libkrun.so.1");
    if (!wish.forTests) return;
    await place(join(await posixSuite(inner), "pjdfstest"), "bin/pjdfstest");
    await place(await krunFileServer(inner), "lib/libkrun_file_server.so");
  };
  const cpp = async (inner: SetupContext): Promise<void> => {
    await place(join(await launcher(inner), "a3s-box-launcher"), "bin/a3s-box-launcher");
    await place(join(await unpacker(inner), "a3s-box-unpacker"), "bin/a3s-box-unpacker");
    await place(join(await addon(inner), "a3s_box.node"), "native/a3s_box.node");
    if (!wish.forTests) return;
    await place(await testUnpackers(inner), "unpackers");
    await place(await sanitized(inner), "sanitized");
  };
  const go = async (inner: SetupContext): Promise<void> => {
    const directory = await kubelet(inner);
    if (directory !== undefined) await place(join(directory, "kubelet"), "bin/kubelet");
    const client = await kubeClient(inner);
    if (client !== undefined) await place(join(client, "kube-client"), "bin/kube-client");
    const reference = await seccompReference(inner);
    if (reference !== undefined) await place(join(reference, "seccomp-reference"), "bin/seccomp-reference");
    const caller = await grpcurl(inner);
    if (caller !== undefined) await place(join(caller, "grpcurl"), "bin/grpcurl");
    const containerd = await containerdPrograms(inner).catch((thrown: unknown) => {
      inner.signal.throwIfAborted();
      inner.say(`what is compared with containerd is skipped: ${messageOf(thrown)}`);
      return undefined;
    });
    if (containerd !== undefined) await place(containerd, "containerd");
    if (wish.more === "cluster") await clusterPrograms(inner, place);
    const installer = wish.more === "cluster" || wish.more === "helm" ? await helm(inner) : undefined;
    if (installer !== undefined) await place(join(installer, "helm"), "bin/helm");
    const oldest = wish.more === "oldest-kubelet" ? await oldestKubelet(inner) : undefined;
    if (oldest !== undefined) await place(join(oldest, "kubelet"), "bin/kubelet-oldest");
  };
  await allOrFirstFailure(context, [guest, downloads, rust, cpp, ...(wish.forTests ? [go] : [])]);
}

/** Beside ours: the one that a first set-up has. */
async function packagedKernel(
  context: SetupContext,
  place: (target: string, name: string) => Promise<void>,
): Promise<void> {
  const directory = await packageKernel(context).catch((thrown: unknown) => {
    context.signal.throwIfAborted();
    context.say(`what is tested with the kernel of the package is skipped: ${messageOf(thrown)}`);
    return undefined;
  });
  if (directory !== undefined) await place(join(directory, "vmlinux.elf"), "kernel/package/vmlinux.elf");
}

async function clusterPrograms(
  context: SetupContext,
  place: (target: string, name: string) => Promise<void>,
): Promise<void> {
  const plane = await controlPlane(context);
  if (plane !== undefined) await place(plane, "control-plane");
  const proxy = await kubeProxy(context);
  if (proxy !== undefined) await place(proxy, "kube-proxy");
  const policies = await kubeRouter(context);
  if (policies !== undefined) await place(join(policies, "kube-router"), "bin/kube-router");
  const runc = await mappingRunc(context);
  if (runc !== undefined) await place(join(runc, "runc"), "bin/runc");
}

/** Runs all at once; when one fails the others are stopped and waited for, and the failure thrown. */
async function allOrFirstFailure(
  context: SetupContext,
  jobs: readonly ((context: SetupContext) => Promise<void>)[],
): Promise<void> {
  const others = new AbortController();
  let failure: unknown;
  const inner = { ...context, signal: AbortSignal.any([context.signal, others.signal]) };
  await Promise.all(
    jobs.map(async (job) => {
      try {
        await job(inner);
      } catch (thrown) {
        failure ??= thrown;
        others.abort();
      }
    }),
  );
  context.signal.throwIfAborted();
  if (failure !== undefined) throw inStage("set-up", failure);
}

/** Points a name at a cached file or directory, in one step, so that no reader finds it missing. */
async function link(target: string, path: string): Promise<void> {
  const present = await readlink(path).catch(() => undefined);
  if (present === target) return;
  await mkdir(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.${basename(path)}.new`);
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  // A file or directory that was put there by hand gives way; a link is replaced by the rename.
  if (present === undefined) await rm(path, { recursive: true, force: true });
  await rename(temporary, path);
}
