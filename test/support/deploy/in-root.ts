/** A program in a root of its own, as on another machine: its mounts, processes and network are gone with it. */
import { spawn } from "node:child_process";

/** What `build/assets/image/busybox.tar` is imported as. */
export const shippedBusybox = "localhost/a3s-box/busybox:1";

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a machine has mounted. Without a chroot (where no user namespace can be made): the root itself is another. */
const prepare = `set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --rbind /sys "$1/sys"
for name in run tmp; do mount -t tmpfs tmpfs "$1/$name"; done
exec python3 -c "$2" "$1" /bin/sh -c "$3"`;
const pivot = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])
for call, args in ((libc.pivot_root, (b".", b".")), (libc.umount2, (b".", 2))):
    if call(*args) != 0: raise OSError(ctypes.get_errno(), call.__name__)
os.chdir("/")
os.execve(sys.argv[2], sys.argv[2:], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})
`;

export async function shellInRoot(root: string, script: string, limitMs: number): Promise<Ended> {
  const namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--net"];
  return await ended("unshare", [...namespaces, "sh", "-c", prepare, "sh", root, pivot, script], { limitMs });
}

export interface EndedOptions {
  readonly limitMs: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly input?: string;
}

/** Runs a program to its end, or kills it at the limit. */
export async function ended(file: string, args: readonly string[], options: EndedOptions): Promise<Ended> {
  const { limitMs: timeout, env = process.env, cwd, input = "" } = options;
  const child = spawn(file, args, { env, timeout, killSignal: "SIGKILL", ...(cwd === undefined ? {} : { cwd }) });
  child.stdin.on("error", () => undefined).end(input);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { status, stdout, stderr };
}

/** Resolves to what it wrote; throws with all of it unless it ended well. */
export async function succeeded(file: string, args: readonly string[], options: EndedOptions): Promise<string> {
  const { status, stdout, stderr } = await ended(file, args, options);
  if (status === 0) return stdout;
  throw new Error(`${file} ${args.slice(0, 4).join(" ")} ended with ${String(status)}\n${stdout}${stderr}`);
}
