/** Who calls on a Unix socket, by what the kernel says of real processes in groups of a pod's name. */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, readFile, readlink, rm, rmdir } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { cgroupHierarchies, makeGroup, type CgroupHierarchy } from "../../src/base/cgroups.js";
import { RuntimeError } from "../../src/base/errors.js";
import { readMountinfo } from "../../src/base/mountinfo.js";
import { procStat } from "../../src/base/proc-stat.js";
import { descriptorOf } from "../../src/base/unix-socket.js";
import { loadNative } from "../../src/native/addon.js";
import type { OwnerPod } from "../../src/sandboxes/core/caller.js";
import { groupOwner } from "../../src/sandboxes/listen/who/group-owner.js";
import type { Known } from "../../src/sandboxes/listen/who/known.js";
import { peerOf, type PeerParts } from "../../src/sandboxes/listen/who/peer.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { eventually } from "../support/wait.js";

const { native } = loadNative(join(projectDirectory, "build/assets"));

/** Connects to its first argument and says its number; "leave": its child keeps the connection, and it ends unwaited for. */
const client = `
use Socket; $| = 1;
if ($ARGV[1] eq "leave" && fork()) { sleep 60; exit }
if ($ARGV[2]) { $) = "$ARGV[2] $ARGV[2]"; $< = $> = $ARGV[2]; }
socket(S, PF_UNIX, SOCK_STREAM, 0) or die; connect(S, sockaddr_un($ARGV[0])) or die;
print "$$\\n";
exit if $ARGV[1] eq "leave" && fork();
<S>;`;

describe("who calls on a Unix socket", () => {
  const prefix = `a3stest${randomBytes(4).toString("hex")}`;
  const uid = randomUUID();
  const pod: OwnerPod = { namespace: "team-a", name: "app-0", uid };
  const theirs = randomUUID();
  const their: OwnerPod = { namespace: "team-b", name: "app-1", uid: theirs };
  const pods: PeerParts["pods"] = { byUid: (one) => (one === uid ? pod : undefined), byBox: () => undefined };
  const made: string[] = [];
  const children: { readonly child: ChildProcess; readonly closed: Promise<unknown> }[] = [];
  let hierarchies: CgroupHierarchy[];
  let directory: string;
  let server: Server;

  before(async () => {
    hierarchies = cgroupHierarchies(await readMountinfo(), true);
    directory = await mkdtemp(join(tmpdir(), "a3s-peer-"));
    server = createServer();
    await new Promise<void>((resolve) => server.listen(join(directory, "s"), resolve));
    await chmod(directory, 0o755);
    await chmod(join(directory, "s"), 0o666);
  });

  afterEach(async () => {
    for (const { child, closed } of children.splice(0)) {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
      await closed;
    }
    for (const path of made.splice(0).reverse()) {
      await eventually(`${path} is empty`, 5_000, async () => await rmdir(path).then(() => true));
    }
  });

  after(async () => {
    server.close();
    await rm(directory, { recursive: true });
  });

  async function groupsOf(path: string, of = hierarchies): Promise<string[]> {
    const procs: string[] = [];
    for (const hierarchy of of) {
      await makeGroup(hierarchy, path);
      const parts = path.split("/");
      for (const [at] of parts.entries()) made.push(join(hierarchy.mountPoint, ...parts.slice(0, at + 1)));
      procs.push(join(hierarchy.mountPoint, path, "cgroup.procs"));
    }
    return procs;
  }

  async function connected(procs: readonly string[], ...words: string[]): Promise<{ socket: Socket; pid: number }> {
    const enter = procs.map((file) => `echo $$ > ${file}; `).join("");
    const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
    const child = spawn("sh", ["-c", `${enter}exec perl -e "$0" "$@"`, client, join(directory, "s"), ...words], {
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push({ child, closed: once(child, "close") });
    const said = new Promise<number>((resolve) => {
      child.stdout.once("data", (text: Buffer) => {
        resolve(Number(text.toString()));
      });
    });
    const [socket, pid] = await Promise.all([accepted, said]);
    return { socket, pid };
  }

  async function knownBy(
    socket: Socket,
    callers: PeerParts["callers"] = "known",
    among: PeerParts["pods"] = pods,
  ): Promise<Known> {
    try {
      return await peerOf(descriptorOf(socket) ?? -1, { native, pods: among, callers });
    } finally {
      socket.destroy();
    }
  }

  function whyOf(known: Known): string {
    return known.kind === "refused" ? `${known.why.code}: ${known.why.message}` : JSON.stringify(known);
  }

  it("is a pod of this node, whatever user its program is, by kubelet's group for it", async () => {
    const procs = await groupsOf(`${prefix}-kubepods/burstable/pod${uid}/${"a".repeat(64)}`);
    for (const user of ["", "1000"]) {
      const { socket } = await connected(procs, "stay", user);
      expect(await knownBy(socket)).to.deep.equal({
        kind: "caller",
        caller: { tenant: "team-a", name: "pod team-a/app-0", owner: pod },
      });
    }
  });

  it("is not another pod by a group of that one's name in its own", async () => {
    const other = `${prefix}-kubepods/pod${randomUUID()}`;
    const { socket } = await connected(await groupsOf(`${other}/${prefix}-kubepods/pod${uid}`));
    expect(whyOf(await knownBy(socket))).to.match(/^permissionDenied: pod .* its namespace is not known/);
  });

  it("is a pod of another runtime's by kubelet's word, and owns nothing; nobody where kubelet does not know it", async () => {
    const others = { ...pods, ofOthers: (one: string) => Promise.resolve(one === theirs ? their : undefined) };
    const procs = await groupsOf(`${prefix}-kubepods/burstable/pod${theirs}/${"a".repeat(64)}`);
    const { socket } = await connected(procs, "stay", "1000");
    expect(await knownBy(socket, "known", others)).to.deep.equal({
      kind: "caller",
      caller: { tenant: "team-b", name: "pod team-b/app-1" },
    });
    const nobody = await connected(await groupsOf(`${prefix}b-kubepods/pod${randomUUID()}`), "stay");
    expect(whyOf(await knownBy(nobody.socket, "known", others))).to.match(/^permissionDenied: .* is not known/);
    const silent = { ...pods, ofOthers: () => Promise.reject(new RuntimeError("unavailable", "no answer")) };
    const unheard = await connected(procs, "stay");
    expect(whyOf(await knownBy(unheard.socket, "known", silent))).to.equal("unavailable: no answer");
  });

  it("is the node's administrator as root of the machine, and nobody as another user of it", async () => {
    const root = await connected([], "stay");
    expect(await knownBy(root.socket)).to.deep.equal({ kind: "caller", caller: { tenant: "_node", name: "uid 0" } });
    const user = await connected([], "stay", "1000");
    expect(whyOf(await knownBy(user.socket))).to.match(/^permissionDenied: user 1000 of the machine may not call/);
  });

  it("is nobody as root of a container that no pod of this node has", async () => {
    const { socket } = await connected(await groupsOf(`${prefix}-docker/${"b".repeat(64)}`));
    expect(whyOf(await knownBy(socket))).to.match(/^permissionDenied: the caller is in container bbbbbbbbbbbb/);
  });

  it("is nobody once the process that has connected ends, which its groups would call root of the machine", async function () {
    const old = hierarchies.filter(({ version }) => version === 1);
    if (old.length === 0) skipBecause(this, "it is about cgroup v1, which this machine has not");
    const { socket, pid } = await connected(await groupsOf(`${prefix}-kubepods/pod${uid}`, old), "leave");
    await eventually("it has ended", 5_000, async () => (await procStat(pid))?.state === "Z" || undefined);
    expect(groupOwner(await readFile(`/proc/${pid}/cgroup`, "utf8"))).to.deep.equal({ kind: "machine" });
    expect(whyOf(await knownBy(socket))).to.match(/^unauthenticated: the process that has connected is gone/);
  });

  it("is whoever can open the socket, where the node's owner says so", async () => {
    const { socket } = await connected([], "stay", "1000");
    expect(await knownBy(socket, "anyone")).to.deep.equal({
      kind: "caller",
      caller: { tenant: "_local", name: "uid 1000" },
    });
  });

  it("leaves no descriptor behind", async () => {
    const { socket } = await connected([], "stay");
    const before = await pidfds();
    for (let round = 0; round < 10; round += 1) {
      await peerOf(descriptorOf(socket) ?? -1, { native, pods, callers: "known" });
    }
    expect(await pidfds()).to.equal(before);
    socket.destroy();
  });
});

async function pidfds(): Promise<number> {
  const names = await readdir("/proc/self/fd");
  const links = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => "")));
  return links.filter((link) => link.includes("pidfd")).length;
}
