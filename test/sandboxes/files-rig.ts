/** A container of a real Box, and its files as the agents' edge asks for them. */
import { containerId } from "../../src/base/ids.js";
import { filesOf } from "../../src/sandboxes/core/container-files.js";
import type { FileBody, Files, FileScope } from "../../src/sandboxes/core/file.js";
import type { Box } from "../../src/vmm/box.js";
import { BoxBench, within } from "../vmm/bench-of-boxes.js";
import { startSession, type Running } from "../vmm/sessions.js";

const capabilities = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SYS_ADMIN"];
const none = { inheritable: [], ambient: [] };

export const process = {
  terminal: false,
  args: [""],
  env: ["PATH=/bin:/tools"],
  cwd: "/",
  user: { uid: 0, gid: 0, additionalGids: [0] },
  capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities, ...none },
  rlimits: [],
  noNewPrivileges: false,
};

export const people = [
  "echo 'root:x:0:0::/root:/bin/sh' > /etc/passwd",
  "echo 'me:x:1000:1000::/home/me:/bin/sh' >> /etc/passwd",
  "echo 'me:x:1000:' > /etc/group",
].join("; ");

/** A compiled AppArmor profile, and its name. */
export interface Profile {
  readonly name: string;
  readonly policy: Uint8Array;
}

function spec(root: string, profile: Profile | undefined): object {
  const mount = (destination: string, type: string, options: string[]) => ({
    ...{ destination, type, source: type, options },
  });
  const first = `/bin/busybox mkdir -p /tools /etc /root /home/me /work /closed; /bin/busybox --install -s /tools; ${people}`;
  const rest = "chown me /home/me; chmod 1777 /tmp; chmod 777 /work; echo ready; exec sleep 10000";
  return {
    ociVersion: "1.2.0",
    root: { path: root },
    process: {
      ...process,
      ...(profile === undefined ? {} : { apparmorProfile: profile.name }),
      args: ["/bin/busybox", "sh", "-c", `${first}; ${rest}`],
    },
    mounts: [
      mount("/proc", "proc", ["nosuid", "noexec", "nodev"]),
      mount("/dev", "tmpfs", ["nosuid", "mode=755", "size=1m"]),
      mount("/small", "tmpfs", ["nosuid", "nodev", "size=1m", "mode=777"]),
    ],
    linux: { namespaces: ["pid", "mount", "ipc", "uts", "cgroup"].map((type) => ({ type })) },
  };
}

export const asRoot: FileScope = { user: "root", base: "/work" };
export const asMe: FileScope = { user: "me" };
export const inWork: FileScope = { user: "root", base: "/work", root: "/work" };

export class FilesRig {
  readonly bench: BoxBench;
  readonly box: Box;
  readonly files: Files;
  readonly #session: Running;

  private constructor(bench: BoxBench, box: Box, session: Running) {
    this.bench = bench;
    this.box = box;
    this.#session = session;
    const container = {
      id: containerId(session.id),
      sandboxId: box.id,
      state: "running",
      resources: undefined,
      record: { process },
    } as const;
    const live = { liveBox: () => Promise.resolve(box) };
    this.files = filesOf(container, { sandboxes: { require: () => live } });
  }

  static async start(profile?: Profile): Promise<FilesRig> {
    const bench = await BoxBench.open();
    try {
      const box = await bench.boot();
      const session = await startSession(box, bench, {
        spec: (root) => spec(root, profile),
        ...(profile === undefined ? {} : { apparmorPolicy: profile.policy }),
      });
      const rig = new FilesRig(bench, box, session);
      await rig.shell("until [ -d /work ] && grep -q me /etc/passwd && [ -k /tmp ]; do :; done");
      return rig;
    } catch (thrown) {
      await bench[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** As root, in the container; must succeed. */
  async shell(line: string): Promise<string> {
    const done = await this.#session.exec({ ...process, args: ["/bin/busybox", "sh", "-c", line] });
    if (done.code !== 0) throw new Error(`${line}: ${String(done.code)} ${done.stderr}`);
    return done.stdout;
  }

  async write(path: string, content: string | Uint8Array, scope = asRoot) {
    return await this.files.write(path, scope, bodyOf(content), { parents: true }, within(60_000));
  }

  async text(path: string, scope = asRoot): Promise<string> {
    const body = await this.files.read(path, scope, { offset: 0 }, within(60_000));
    return (await all(body)).toString();
  }

  async names(path: string): Promise<string[]> {
    const list = await this.files.list(path, asRoot, { depth: 1, limit: 10_000 }, within(20_000));
    return list.entries.map(({ name }) => name);
  }

  /** The container's first process. */
  async kill(): Promise<void> {
    await this.box.agent.signalProcess({ sessionId: this.#session.id, execId: "" }, 9, false, within(10_000));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.remove();
    await this.bench[Symbol.asyncDispose]();
  }
}

export async function* bodyOf(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array, void> {
  for (const part of parts) {
    await Promise.resolve();
    yield Buffer.from(part);
  }
}

export async function all({ data }: FileBody): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of data) parts.push(part);
  return Buffer.concat(parts);
}
