/**
 * What POSIX promises of a file system, in a container's root and in a volume of a Box: fails only what fails for a
 * container of the host on the same directories, but for block devices. The suite is the crate pjdfstest.
 */
import { chmod, mkdtemp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { busyboxSource } from "../support/images.js";
import { exited, logLines, removeContainer, runPod, startContainer, type Pod } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { buildLayer } from "../support/tar-builder.js";
import { Undo } from "../support/undo.js";
import { limit } from "../support/wait.js";

const isWhole = process.env["A3S_TEST_POSIX"] === "all";
/** Of 398 tests those of two calls are in every run. In a root those with a device fail: 0:0 is overlayfs's whiteout. */
const patterns = isWhole ? [] : ["rename", "open"];
const least = isWhole ? 300 : 50;
const suiteMs = 600_000;
/** A Box makes no devices on disks (ADR 0083); those of characters are 0:0, for which nobody is asked. */
const ofBlockDevices = "::block";
/** Does not wait until the program whose file it opens has begun. */
const racing = "::etxtbsy";

const suiteImage = "localhost/test/posix:1";
const settings = `[features]
posix_fallocate = {}
[settings]
naptime = 0.05
[dummy_auth]
entries = [["nobody", "nobody"], ["user", "user"]]
`;

describe("POSIX in a Box", function () {
  this.timeout(limit(2 * suiteMs));
  let daemon: Daemon;
  let volume: string;
  let pods: { readonly box: Pod; readonly host: Pod };
  const undo = new Undo();
  before(async () => {
    const program = await readFile(join(projectDirectory, "build/assets/bin/pjdfstest"));
    const layer = buildLayer([
      { name: "bin/pjdfstest", mode: 0o755, content: program },
      { name: "etc/posix.toml", content: settings },
      { name: "work/", type: "directory", mode: 0o1777 },
    ]);
    const images = [{ tag: suiteImage, ...(await busyboxSource({}, [layer])) }];
    daemon = await Daemon.start({ images, config: nativeHandler });
    undo.add(() => daemon.remove());
    volume = await mkdtemp(join(daemon.base, "volume-"));
    await chmod(volume, 0o1777);
    const [box, host] = await Promise.all([runPod(daemon), runPod(daemon, {}, "native")]);
    pods = { box, host };
  });
  after(async () => {
    await undo.run();
  });

  /** The verdict of each test that ran in that directory of a container. */
  const verdictsIn = async (pod: Pod, directory: string): Promise<Map<string, string>> => {
    const command = ["pjdfstest", "-c", "/etc/posix.toml", "-p", directory, ...patterns];
    const id = await startContainer(daemon, pod, {
      image: { image: suiteImage },
      command,
      mounts: [{ hostPath: volume, containerPath: "/data" }],
    });
    const { logPath } = await exited(daemon, id, suiteMs);
    const lines = await logLines(logPath);
    await removeContainer(daemon, id);
    const verdict = /\b(\w+(?:::\w+)+) +(ok|FAILED|skipped)$/;
    const verdicts = lines.map(({ text }) => verdict.exec(text)).filter((found) => found !== null);
    return new Map(
      verdicts.map(([, test = "", result = ""]) => [test, result] as const).filter(([test]) => !test.endsWith(racing)),
    );
  };
  const having = (verdicts: Map<string, string>, wanted: string): string[] =>
    [...verdicts].filter(([, result]) => result === wanted).map(([test]) => test);

  for (const [what, directory] of [
    ["a volume", "/data"],
    ["a container's root", "/work"],
  ] as const) {
    it(`${what}: only what fails for a container of the host`, async () => {
      const inBox = await verdictsIn(pods.box, directory);
      const onHost = await verdictsIn(pods.host, directory);
      expect(having(inBox, "ok").length).to.be.at.least(least);
      const failed = having(inBox, "FAILED").filter((test) => !test.endsWith(ofBlockDevices));
      expect(having(onHost, "FAILED")).to.include.members(failed);
    });
  }
});
