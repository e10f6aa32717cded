/** The root of a Box's container: layers that the guest mounts itself, and a directory of the host for what is written. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import * as z from "zod";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busyboxImage, busyboxSource } from "../support/images.js";
import {
  exec,
  removeContainer,
  removePod,
  runPod,
  shell,
  startContainer,
  type ContainerConfigPart,
  type Pod,
} from "../support/pods.js";
import { sharedPod } from "../support/shared-pod.js";
import { skipBecause } from "../support/skip.js";
import { buildLayer, type TarEntry } from "../support/tar-builder.js";
import { Undo } from "../support/undo.js";
import { limit } from "../support/wait.js";

const layeredImage = "localhost/test/layered:1";
const lower: readonly TarEntry[] = [
  { name: "data/", type: "directory" },
  { name: "data/lower", content: "of the lower layer\n" },
  { name: "data/removed", content: "x" },
  { name: "data/hard", type: "hardlink", link: "data/lower" },
  { name: "data/hidden/", type: "directory" },
  { name: "data/hidden/lower", content: "x" },
  { name: "data/link", type: "symlink", link: "lower" },
  { name: "data/theirs", content: "y", uid: 1000, gid: 1000, mode: 0o640 },
  { name: "data/su", content: "#!/bin/sh\n", mode: 0o4755 },
  { name: "data/large", content: Buffer.alloc(3 * 1024 * 1024 + 17, "0123456789") },
];
const upper: readonly TarEntry[] = [
  { name: "data/.wh.removed", content: "" },
  { name: "data/hidden/", type: "directory" },
  { name: "data/hidden/.wh..wh..opq", content: "" },
  { name: "data/hidden/upper", content: "z" },
];

/** What is mounted on `/`, as the kernel says: the kind of file system, and its options. */
async function rootOf(daemon: Daemon, container: string): Promise<{ readonly kind: string; readonly options: string }> {
  const [, , kind = "", options = ""] = (await shell(daemon, container, "grep ' / ' /proc/mounts")).trim().split(" ");
  return { kind, options };
}

/** Entries of a Box's share, on the host. */
async function sharedIn(daemon: Daemon, pod: Pod): Promise<string[]> {
  return await readdir(join(daemon.state, "boxes", pod.id.slice(0, 24), "layout", "v"));
}

describe("A root of layers", () => {
  const undo = new Undo();
  let daemon: Daemon;
  let pod: Pod;
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      return pod;
    },
  );
  before(async function () {
    this.timeout(limit(60_000));
    const images = [
      { tag: busyboxImage, ...(await busyboxSource()) },
      { tag: layeredImage, ...(await busyboxSource({}, [buildLayer(lower), buildLayer(upper)])) },
    ];
    daemon = await Daemon.start({ images });
    undo.add(() => daemon.remove());
    const first = await runPod(daemon);
    await startContainer(daemon, first);
    const { info } = await daemon.cri.call(runtime.status, { verbose: true });
    const { layers, reason } = z
      .object({ layers: z.string(), reason: z.string() })
      .parse(JSON.parse(info["imageLayers"] ?? ""));
    await removePod(daemon, first);
    if (layers !== "erofs") skipBecause(this, reason);
  });
  after(async () => {
    await undo.run();
  });

  const layered = async (part: ContainerConfigPart = {}): Promise<string> =>
    await startContainer(daemon, pod, { image: { image: layeredImage }, ...part });

  it("is an overlay of the guest's, whose layers its kernel keeps", async () => {
    const id = await layered();
    const { kind, options } = await rootOf(daemon, id);
    expect(kind).to.equal("overlay");
    expect(options.split(",")).to.include("userxattr");
    await removeContainer(daemon, id);
  });

  it("shows what the layers say: what is hidden, links, owners, modes, content", async () => {
    const id = await layered();
    const shown = await shell(
      daemon,
      id,
      "cd /data; ls; ls hidden; cat hard link; stat -c '%u:%g %a' theirs su; wc -c <large; md5sum <large",
    );
    const md5 = (await shell(daemon, id, "md5sum /data/large")).split(" ")[0];
    expect(shown.split("\n").slice(0, 6)).to.deep.equal(["hard", "hidden", "large", "link", "lower", "su"]);
    expect(shown).to.include(
      "theirs\nupper\nof the lower layer\nof the lower layer\n1000:1000 640\n0:0 4755\n3145745\n",
    );
    expect(shown).to.include(md5);
    await removeContainer(daemon, id);
  });

  it("can be written to by root and by others, as their rights are", async () => {
    const id = await layered();
    const asUser = ["su", "user", "-c"];
    expect(await shell(daemon, id, "echo more >>/data/lower; cat /data/lower")).to.equal("of the lower layer\nmore\n");
    expect(await shell(daemon, id, "rm -r /data/hidden; mkdir /data/hidden; ls -A /data/hidden")).to.equal("");
    expect(
      await shell(daemon, id, "mv /data/su /data/moved; ln -s a /data/new; chown 5:6 /data/link -h; ls /data"),
    ).to.equal("hard\nhidden\nlarge\nlink\nlower\nmoved\nnew\ntheirs\n");
    const user = await exec(daemon, id, [
      ...asUser,
      "cd /tmp; echo mine >f && mkdir d && mv f d && cat d/f; stat -c %u:%g d/f",
    ]);
    expect(user).to.deep.equal({ stdout: "mine\n1000:1000\n", stderr: "", exitCode: 0 });
    const own = await exec(daemon, id, [...asUser, "echo >>/data/theirs && stat -c %u:%g:%a /data/theirs"]);
    expect(own.stdout).to.equal("1000:1000:640\n");
    const denied = await exec(daemon, id, [
      ...asUser,
      "echo x >>/data/lower; rm /data/moved; mkdir /data/no; ls /data | wc -l",
    ]);
    expect(denied.stdout).to.equal("8\n");
    expect(denied.stderr.match(/denied/g)).to.have.length(3);
    await removeContainer(daemon, id);
  });

  it("keeps a file for its other names when one has gone, or leads to another file", async () => {
    const id = await layered();
    const script = [
      "cd /data; echo a >one; ln one two; ln one three; rm one; cat two; echo b >four; mv four two; cat three two",
      "stat -c %h three; ln three five; rm three; sleep 1.1; cat five; mv five six; cat six; rm hard; cat lower",
    ];
    expect(await shell(daemon, id, script.join("; "))).to.equal("a\na\nb\n1\na\na\nof the lower layer\n");
    await removeContainer(daemon, id);
  });

  it("has numbers for its files that 32-bit programs take, one for all names of a file", async () => {
    const id = await layered();
    const numbers = (
      await shell(daemon, id, "cd /data; stat -c %i lower hard large su theirs; echo x >>su; stat -c %i su")
    )
      .trim()
      .split("\n");
    expect(numbers[0]).to.equal(numbers[1]);
    expect(new Set(numbers.slice(0, 5)).size).to.equal(4);
    for (const number of numbers) expect(Number(number)).to.be.within(1, 2 ** 32 - 1);
    await removeContainer(daemon, id);
  });

  it("is read-only where the container's is", async () => {
    const id = await layered({ linux: { securityContext: { readonlyRootfs: true } } });
    const { stderr, exitCode } = await exec(daemon, id, ["sh", "-c", "echo x >/data/new"]);
    expect({ stderr, exitCode }).to.deep.include({ exitCode: 1 });
    expect(stderr).to.include("Read-only file system");
    await removeContainer(daemon, id);
  });

  it("has its layers once in a Box, for as long as a container has them, and nothing stays", async () => {
    const before = await sharedIn(daemon, pod);
    const [one, two] = await Promise.all([layered(), layered()]);
    const between = await sharedIn(daemon, pod);
    const layers = between.filter((name) => name.startsWith("ro-alone-"));
    expect(layers).to.have.length(3);
    expect(between.filter((name) => name.startsWith("written-"))).to.have.length(2);
    await shell(daemon, one, "echo of one >/data/own");
    expect((await exec(daemon, two, ["cat", "/data/own"])).exitCode).to.equal(1);
    await removeContainer(daemon, one);
    expect((await sharedIn(daemon, pod)).filter((name) => name.startsWith("ro-alone-"))).to.deep.equal(layers);
    expect(await shell(daemon, two, "cat /data/lower")).to.equal("of the lower layer\n");
    await removeContainer(daemon, two);
    expect(await sharedIn(daemon, pod)).to.deep.equal(before);
  });

  it("goes on when the daemon has died, shared with containers that come after", async function () {
    this.timeout(limit(60_000));
    const one = await layered();
    await shell(daemon, one, "echo before >/data/own");
    await daemon.stop("SIGKILL");
    await daemon.launch();
    const two = await layered();
    expect((await sharedIn(daemon, pod)).filter((name) => name.startsWith("ro-alone-"))).to.have.length(3);
    expect(await shell(daemon, one, "cat /data/own /data/lower")).to.equal("before\nof the lower layer\n");
    await removeContainer(daemon, one);
    expect(await shell(daemon, two, "cat /data/lower; ls /data/own 2>/dev/null || true")).to.equal(
      "of the lower layer\n",
    );
    await removeContainer(daemon, two);
  });

  it("writes to the host's disk, where it is counted and taken away", async () => {
    const id = await layered();
    const written = join(daemon.root, "images", "containers", id, "written", "upper");
    await shell(daemon, id, "dd if=/dev/zero of=/data/mib bs=1M count=1 2>/dev/null; sync");
    expect((await stat(join(written, "data/mib"))).size).to.equal(1024 * 1024);
    await removeContainer(daemon, id);
    expect(await readdir(join(daemon.root, "images", "containers"))).to.not.include(id);
  });

  it("is what the host shares in a pod with a user namespace, and where the configuration says so", async function () {
    this.timeout(limit(60_000));
    const images = [{ tag: busyboxImage, ...(await busyboxSource()) }];
    const shared = await Daemon.start({ images, config: '[sandbox]\nimage_layers = "shared"\n' });
    undo.add(() => shared.remove());
    const other = await runPod(shared);
    const id = await startContainer(shared, other);
    expect((await rootOf(shared, id)).kind).to.equal("virtiofs");
    await removePod(shared, other);
  });
});
