/**
 * The outer VM: x86 with software SVM under TCG, so that `/dev/kvm` in it can run a guest on any host. Its root is the
 * host's, read-only through virtiofsd: everything built here is at the same path inside.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { projectDirectory } from "../project.js";
import { eventually } from "../wait.js";

export interface OuterRun {
  /** Shell script to run inside, as root. */
  readonly script: string;
  readonly memoryMib: number;
  readonly cpus: number;
  readonly limitMs: number;
  readonly onOutput: (chunk: string) => void;
}

export interface OuterResult {
  /** Lines that the script wrote to `$A3S_RESULTS`, and the VM's own last one. */
  readonly results: readonly string[];
  /** Why it did not end by itself; undefined when it did. */
  readonly failure: string | undefined;
}

/** Boots the VM, runs the script, waits for the VM's end, and leaves nothing. */
export async function runInOuterVm(run: OuterRun): Promise<OuterResult> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-nested-"));
  const children: ChildProcess[] = [];
  try {
    await mkdir(join(directory, "job"));
    await mkdir(join(directory, "root"));
    await writeFile(join(directory, "job/job.sh"), run.script);
    const fileServer = start("unshare", fileServerArguments(directory), "inherit");
    children.push(fileServer);
    await eventually("virtiofsd listens", 10_000, () => (existsSync(join(directory, "fs.sock")) ? true : undefined));
    const machine = start("qemu-system-x86_64", await machineArguments(directory, run), "pipe");
    children.push(machine);
    let errors = "";
    machine.stdout?.setEncoding("utf8").on("data", run.onOutput);
    machine.stderr?.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
    const failure = await endOf(machine, fileServer, run.limitMs);
    const text = await readFile(join(directory, "results"), "utf8").catch(() => "");
    const results = text.split("\n").filter((line) => line !== "");
    return { results, failure: failure === undefined ? undefined : `${failure}${errors === "" ? "" : `; ${errors}`}` };
  } finally {
    for (const child of children.reverse()) await ended(child);
    await rm(directory, { recursive: true, force: true });
  }
}

async function endOf(machine: ChildProcess, fileServer: ChildProcess, limitMs: number): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve) => {
      timer = setTimeout(() => {
        resolve(`the outer VM is still running after ${limitMs / 1000} s`);
      }, limitMs);
      machine.once("error", (error) => {
        resolve(`qemu-system-x86_64: ${error.message}`);
      });
      fileServer.once("error", (error) => {
        resolve(`virtiofsd: ${error.message}`);
      });
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.once(signal, () => {
          resolve(`interrupted by ${signal}`);
        });
      }
      machine.once("close", (code, signal) => {
        resolve(code === 0 ? undefined : `QEMU ended with ${String(signal ?? code)}`);
      });
    });
  } finally {
    clearTimeout(timer);
  }
}

function start(file: string, args: readonly string[], output: "pipe" | "inherit"): ChildProcess {
  return spawn(file, args, { stdio: ["ignore", output, output] });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

/**
 * What the VM's root is made of: all of the host but three that it has itself. On the host they are mounts, whose directories
 * would have one number, 1, in one file system: to a guest inside that would be the same directory three times.
 */
const makeRoot = `root=$1; shift
mount --rbind / "$root"
for own in dev proc sys; do umount -l "$root/$own" || true; done
exec "$@"`;

function fileServerArguments(directory: string): string[] {
  const root = join(directory, "root");
  const share = ["--shared-dir", root, "--readonly", "--cache", "always", "--xattr"];
  const options = ["--socket-path", join(directory, "fs.sock"), ...share, "--sandbox", "none", "--log-level", "error"];
  const program = join(projectDirectory, "build/assets/bin/virtiofsd");
  return ["--mount", "--", "sh", "-c", makeRoot, "sh", root, program, ...options];
}

/**
 * An old processor under AMD's name, for SVM: kernels then leave alone what costs under emulation (page tables of five
 * levels, AVX, XSAVE), and what it might get wrong in a guest's guest. A tenth less processor time than `max` for three
 * boots of a guest.
 */
const processor = "Nehalem,vendor=AuthenticAMD,+svm,+npt,+rdrand,+rdtscp,+pdpe1gb";

async function machineArguments(directory: string, run: OuterRun): Promise<string[]> {
  const { kernel, initrd, modules } = await outerKernel();
  const size = `${run.memoryMib}M`;
  // The assets are links into the directory that all clones share.
  const cache = dirname(dirname(await realpath(join(projectDirectory, "build/assets/bin/virtiofsd"))));
  const parameters = [
    "console=hvc0 rootfstype=virtiofs root=hostroot ro quiet loglevel=3 reboot=t panic=-1 mitigations=off",
    `A3S_JOB=${join(directory, "job")}`,
    `A3S_MODULES=${modules}`,
    `A3S_KEEP=${projectDirectory}:${cache}`,
    `init=${join(projectDirectory, "test/support/nested-vm/init.sh")}`,
  ];
  return [
    ...["-M", "q35,memory-backend=mem", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", processor],
    ...["-smp", String(run.cpus), "-m", size, "-object", `memory-backend-memfd,id=mem,size=${size},share=on`],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-device", "virtio-serial-pci,id=vs"],
    ...["-chardev", "stdio,id=console,signal=off", "-device", "virtconsole,chardev=console,bus=vs.0,nr=0"],
    ...["-chardev", `file,id=results,path=${join(directory, "results")}`],
    ...["-device", "virtserialport,bus=vs.0,nr=1,chardev=results,name=results"],
    ...["-chardev", `socket,id=fs,path=${join(directory, "fs.sock")}`],
    ...["-device", "vhost-user-fs-pci,chardev=fs,tag=hostroot,queue-size=512"],
    ...["-kernel", kernel, ...initrd, "-append", parameters.join(" ")],
  ];
}

/**
 * The distribution's cloud kernel and its modules, as the set-up unpacked them. One whose virtio-fs is a module, as Debian
 * 12's, has an `initrd.img` beside it that loads it, mounts "hostroot" and goes on with `init`.
 */
async function outerKernel(): Promise<{ kernel: string; initrd: readonly string[]; modules: string }> {
  const outer = process.env["A3S_NESTED_KERNEL"] ?? join(projectDirectory, "build/assets/outer");
  const boot = join(outer, "boot");
  const names = await readdir(boot).catch(() => []);
  const name = names.find((entry) => entry.startsWith("vmlinuz-"));
  const disk = names.find((entry) => entry.startsWith("initrd.img"));
  if (name === undefined || !existsSync(join(outer, "lib/modules"))) {
    throw new Error(`no kernel for the outer VM in ${outer} (run the set-up for test:krun)`);
  }
  return { kernel: join(boot, name), initrd: disk === undefined ? [] : ["-initrd", join(boot, disk)], modules: outer };
}
