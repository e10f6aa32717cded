/** Images whose root file system tries to lead the runtime out of it, or to take the place of what it mounts. */
import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { failure, runtime, status } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { busyboxSource, type NamedImage } from "../support/images.js";
import {
  containerStatus,
  createContainer,
  removeContainer,
  runPod,
  runToEnd,
  shell,
  startContainer,
  type ContainerConfigPart,
  type Pod,
} from "../support/pods.js";
import { sharedPod } from "../support/shared-pod.js";
import { buildLayer, type TarEntry } from "../support/tar-builder.js";

/** A layer on top of busybox in which these links take the place of what was there. */
async function imageOf(tag: string, links: Readonly<Record<string, string>>): Promise<NamedImage> {
  const entries = Object.entries(links).flatMap(([path, link]): TarEntry[] => {
    const at = path.lastIndexOf("/") + 1;
    return [
      { name: `${path.slice(0, at)}.wh.${path.slice(at)}`, content: "" },
      { name: path, type: "symlink", link },
    ];
  });
  return { tag, ...(await busyboxSource({}, [buildLayer(entries)])) };
}

const name = (what: string): string => `localhost/hostile/${what}:1`;

describe("A hostile image", () => {
  let daemon: Daemon;
  let pod: Pod;
  let directory: string;
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon);
      return pod;
    },
  );
  before(async () => {
    const images = await Promise.all([
      imageOf(name("proc"), { proc: "/tmp" }),
      imageOf(name("sys"), { sys: "../../../../mnt" }),
      imageOf(name("dev"), { dev: "/mnt" }),
      imageOf(name("etc"), { etc: "/../../../../../c" }),
      imageOf(name("users"), { "etc/passwd": "/../../../../../../etc/passwd", "etc/group": "/proc/1/root/etc/group" }),
      imageOf(name("files"), { "etc/hosts": "/../../../v", "etc/resolv.conf": "/../../../etc/shadow" }),
      imageOf(name("magic"), { "etc/resolv.conf": "/proc/1/root/etc/shadow" }),
      imageOf(name("targets"), { data: "/../../../../../v", deep: "data/../../..", loop: "loop" }),
    ]);
    daemon = await Daemon.start({ images });
    directory = await mkdtemp(join(daemon.logs, "hostile-"));
    await writeFile(join(directory, "file"), "of the volume\n");
  });
  after(async () => {
    await daemon.remove();
  });
  const of = (what: string, part: ContainerConfigPart = {}): ContainerConfigPart => ({
    image: { image: name(what) },
    ...part,
  });
  /** Nothing that was made stayed in the guest's own directories: the share's top, seen from the host. */
  const shareIsClean = async (): Promise<void> => {
    const boxes = join(daemon.state, "boxes");
    for (const box of await readdir(boxes)) {
      const layout = join(boxes, box, "layout");
      for (const area of ["proc", "sys", "dev", "run", "tmp"]) {
        expect(await readdir(join(layout, area)), `${area} of the share`).to.deep.equal([]);
      }
    }
  };
  afterEach(shareIsClean);

  for (const what of ["proc", "sys"]) {
    it(`whose /${what} is a link is refused: masks would be beside what they are to hide`, async () => {
      await failure(startContainer(daemon, pod, of(what)), status.FAILED_PRECONDITION, /is not a plain directory/);
    });
  }

  it("whose /dev is a link gets its devices where the link leads inside of it", async () => {
    const line = "readlink /dev; echo x >/dev/null && ls /mnt | grep -c null; test -c /mnt/zero && echo node";
    expect(await runToEnd(daemon, pod, line, of("dev"))).to.equal("/mnt\n1\nnode\n");
  });

  it("whose /etc leads out of it gets its files inside of it, and sees none of the guest's", async () => {
    const line = "readlink /etc; ls /c; cat /etc/hostname >/dev/null && echo named; ls /base /v 2>/dev/null | wc -l";
    expect(await runToEnd(daemon, pod, line, of("etc"))).to.equal(
      "/../../../../../c\nhostname\nhosts\nresolv.conf\nnamed\n0\n",
    );
  });

  it("whose passwd and group lead out of it names no user of the host or of the guest", async () => {
    const asked = (runAsUsername: string): ContainerConfigPart =>
      of("users", { linux: { securityContext: { runAsUsername } } });
    for (const user of ["root", "daemon"]) {
      await failure(
        createContainer(daemon, pod, asked(user)),
        status.INVALID_ARGUMENT,
        new RegExp(`"${user}" is not in`),
      );
    }
    const line = "id -u; cat /etc/passwd 2>&1 | head -c 100";
    const by = { linux: { securityContext: { runAsUser: { value: 7n } } } };
    expect(await runToEnd(daemon, pod, line, of("users", by))).to.match(/^7\ncat: can't open/);
  });

  it("whose /etc/hosts and /etc/resolv.conf lead out of it has the pod's files all the same", async () => {
    const line = "cat /etc/hosts | grep -c localhost; cat /etc/shadow 2>&1 | head -c 40; ls /v";
    const seen = await runToEnd(daemon, pod, line, of("files"));
    expect(seen).to.match(/^[1-9]\n/);
    expect(seen).to.not.match(/root:/);
    const magic = startContainer(daemon, pod, of("magic"));
    await failure(magic, status.FAILED_PRECONDITION, /\/etc\/resolv.conf: make its target: Too many symbolic links/);
  });

  it("whose mount targets are links has its volumes inside of it", async () => {
    const mounts = [
      { hostPath: directory, containerPath: "/data/sub", readonly: true },
      { hostPath: directory, containerPath: "/deep/er" },
    ];
    const id = await startContainer(daemon, pod, of("targets", { mounts }));
    expect(await shell(daemon, id, "cat /v/sub/file /er/file; ls /v")).to.equal("of the volume\nof the volume\nsub\n");
    await removeContainer(daemon, id);
    const around = of("targets", { mounts: [{ hostPath: directory, containerPath: "/loop/x" }] });
    await failure(startContainer(daemon, pod, around), status.FAILED_PRECONDITION, /[Tt]oo many .*links/);
  });

  it("can't choose a working directory or a program of the guest's through /proc", async () => {
    const start = async (part: ContainerConfigPart): Promise<string> => {
      const id = await createContainer(daemon, pod, of("dev", part));
      const why = await daemon.cri.call(runtime.startContainer, { containerId: id }).then(
        () => "started",
        (thrown: unknown) => String(thrown),
      );
      const { exitCode } = await containerStatus(daemon, id);
      await removeContainer(daemon, id);
      return `${why} ${exitCode}`;
    };
    for (const part of [{ workingDir: "/proc/self/fd/7" }, { command: ["/proc/self/exe"] }]) {
      const outcome = await start(part).catch((thrown: unknown) => String(thrown));
      expect(outcome, JSON.stringify(part)).to.not.match(/^started/);
    }
  });
});
