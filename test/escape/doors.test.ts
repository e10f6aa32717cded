/** The daemon's own doors, from the side of who should not come in, or comes and does nothing. */
import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { removePod, runPod } from "../support/pods.js";
import { eventually, limit } from "../support/wait.js";

/** HTTP/2's first bytes (RFC 9113, 3.4), and a frame that promises more than comes. */
const halfARequest = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0x10, 0, 1, 4, 0, 0, 0, 1, 0x82]),
]);

describe("the daemon's doors", function () {
  this.timeout(limit(60_000));
  let daemon: Daemon;
  before(async () => {
    daemon = await Daemon.start();
  });
  after(async () => {
    await (daemon as Daemon | undefined)?.remove();
  });

  /** Connects as somebody else, with these capabilities; answers what came of it. */
  function asNobody(path: string, capabilities = "chown"): string {
    const script = `require("net").connect(${JSON.stringify(path)})
      .on("connect", () => process.stdout.write("in"))
      .on("close", (failed) => { if (!failed) process.stdout.write(", then hung up on") })
      .on("error", (e) => console.log(e.code)).resume()`;
    const user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const rights = [`--inh-caps=+${capabilities}`, `--ambient-caps=+${capabilities}`];
    const program = [process.execPath, "-e", script];
    const { stdout } = spawnSync("setpriv", [...user, ...rights, ...program], { encoding: "utf8", timeout: 30_000 });
    return stdout.trim();
  }

  it("lets no other user of the machine connect to the CRI socket", async () => {
    expect((await stat(daemon.socket)).mode & 0o777).to.equal(0o660);
    expect(asNobody(daemon.socket)).to.equal("EACCES");
  });

  it("hangs up on who is not root, though it passes the mode by CAP_DAC_OVERRIDE", async () => {
    expect(asNobody(daemon.socket, "dac_override")).to.equal("in, then hung up on");
    await eventually("the log names who it was", 10_000, async () =>
      /refused a client that is not root/.test(await daemon.logTail(10_000)) ? true : undefined,
    );
    expect(await daemon.logTail(10_000)).to.match(/"uid":65534,"gid":65534/);
    expect((await daemon.cri.call(runtime.version, {})).runtimeName).to.equal("a3s-box");
  });

  it("keeps its records, images and Boxes from other users", async () => {
    const pod = await runPod(daemon);
    const boxes = join(daemon.state, "boxes");
    const forOthers = async (path: string): Promise<number> => (await stat(path)).mode & 0o007;
    // a pod of the host in a user namespace passes the directory on the way to its own; it can't be listed
    expect(await forOthers(boxes)).to.equal(1);
    const directories = await readdir(boxes);
    expect(directories).to.have.lengthOf(1);
    for (const directory of directories) expect(await forOthers(join(boxes, directory)), directory).to.equal(0);
    const recordsFor = (uid: number): string =>
      spawnSync("find", [daemon.root, "-name", "*.json", "-readable"], { uid, gid: uid }).stdout.toString();
    expect(recordsFor(0)).to.not.equal("");
    expect(recordsFor(65_534)).to.equal("");
    await removePod(daemon, pod);
  });

  it("serves on while 300 connections say nothing, or break off in the middle of a request", async () => {
    const before = (await readdir(`/proc/${daemon.pid}/fd`)).length;
    const idle: Socket[] = [];
    try {
      for (let i = 0; i < 300; i++) {
        const socket = connect(daemon.socket).on("error", () => undefined);
        if (i % 2 === 1) socket.write(halfARequest);
        idle.push(socket);
      }
      await eventually("all are connected", 20_000, async () =>
        (await readdir(`/proc/${daemon.pid}/fd`)).length >= before + 300 ? true : undefined,
      );
      const beganMs = performance.now();
      expect((await daemon.cri.call(runtime.version, {})).runtimeName).to.equal("a3s-box");
      expect(performance.now() - beganMs).to.be.below(limit(5000));
    } finally {
      for (const socket of idle) socket.destroy();
    }
    await eventually("their descriptors are given back", 20_000, async () =>
      (await readdir(`/proc/${daemon.pid}/fd`)).length < before + 30 ? true : undefined,
    );
  });

  it("has its streaming server on the loopback, and no other port", async () => {
    const inode = new Set<string>();
    for (const fd of await readdir(`/proc/${daemon.pid}/fd`)) {
      const link = spawnSync("readlink", [`/proc/${daemon.pid}/fd/${fd}`], { encoding: "utf8" }).stdout;
      const found = /socket:\[(\d+)\]/.exec(link)?.[1];
      if (found !== undefined) inode.add(found);
    }
    const listening = ["tcp", "tcp6"].flatMap((family) =>
      spawnSync("cat", [`/proc/${daemon.pid}/net/${family}`], { encoding: "utf8" })
        .stdout.split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter((words) => words[3] === "0A" && inode.has(words[9] ?? "")),
    );
    expect(listening.map((words) => words[1]?.split(":")[0])).to.deep.equal(["0100007F"]);
  });
});
