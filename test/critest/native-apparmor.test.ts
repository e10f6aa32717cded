/**
 * AppArmor where the host has it (docs/adr/0146): pods of the host are confined by its kernel, and Boxes get profiles that it
 * has loaded. The nested VM of `test:krun` has it.
 */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { SecurityProfile_ProfileType } from "../../src/gen/runtime/v1/api.js";
import { isThere } from "../../src/base/is-there.js";
import { failure, status } from "../support/cri-client.js";
import { Daemon, nativeHandler } from "../support/daemon.js";
import { builtConfig } from "../support/guest-kernel/kernel.js";
import { busybox } from "../support/images.js";
import { createContainer, exec, removeContainer, removePod, runPod, shell, startContainer } from "../support/pods.js";
import { projectDirectory } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { Undo } from "../support/undo.js";
import { limit } from "../support/wait.js";

const run = promisify(execFile);
const securityfs = "/sys/kernel/security";
const profile = "a3s-test-deny-write";
const { RuntimeDefault, Localhost } = SecurityProfile_ProfileType;
const current = "cat /proc/self/attr/current";

/** As apparmor_parser does it, with what it has made; gone again afterwards. */
async function loadOnHost(name: string, undo: Undo): Promise<void> {
  const policy = await readFile(join(projectDirectory, "build/assets/apparmor-tests", name));
  await writeFile(join(securityfs, "apparmor/.replace"), policy);
  undo.add(() => writeFile(join(securityfs, "apparmor/.remove"), name));
}

describe("AppArmor of the host", function () {
  this.timeout(limit(120_000));
  const undo = new Undo();
  let daemon: Daemon;

  before(async function () {
    const enabled = await readFile("/sys/module/apparmor/parameters/enabled", "utf8").catch(() => "N");
    if (enabled.trim() !== "Y") skipBecause(this, "this machine's kernel has no AppArmor: the nested VM's has");
    if (!(await isThere(join(securityfs, "apparmor")))) {
      await run("mount", ["-t", "securityfs", "none", securityfs]);
      undo.add(() => run("umount", [securityfs]));
    }
    await loadOnHost(profile, undo);
    const handler = process.env["A3S_TEST_HANDLER"] === "native" ? "" : nativeHandler;
    daemon = await Daemon.start({ images: [await busybox()], config: handler });
    undo.add(() => daemon.remove());
  });
  after(async () => {
    await undo.run();
  });

  it("confines containers and execs of a pod of the host by RuntimeDefault, and by a profile that is loaded", async () => {
    const pod = await runPod(daemon, {}, "native");
    try {
      const apparmor = { profileType: RuntimeDefault };
      const usual = await startContainer(daemon, pod, { linux: { securityContext: { apparmor } } });
      expect(await shell(daemon, usual, `${current} /proc/1/attr/current`)).to.include("a3s-box-default (enforce)\n");
      const caps = { capabilities: { addCapabilities: ["ALL"] }, apparmor };
      const strong = await startContainer(daemon, pod, { linux: { securityContext: caps } });
      const mounted = await exec(daemon, strong, ["sh", "-c", "mkdir -p /m && mount -t tmpfs none /m"]);
      expect(mounted.stderr).to.match(/denied|permitted/);
      const named = { apparmor: { profileType: Localhost, localhostRef: profile } };
      const id = await startContainer(daemon, pod, { linux: { securityContext: named } });
      expect(await shell(daemon, id, current)).to.equal(`${profile} (enforce)\n`);
      expect((await exec(daemon, id, ["touch", "/tmp/x"])).stderr).to.include("Permission denied");
      const unknown = { apparmor: { profileType: Localhost, localhostRef: "not-loaded" } };
      const creating = createContainer(daemon, pod, { linux: { securityContext: unknown } });
      await failure(creating, status.INVALID_ARGUMENT, /no profile "not-loaded"/);
      for (const one of [usual, strong, id]) await removeContainer(daemon, one);
    } finally {
      await removePod(daemon, pod);
    }
  });

  it("gives a Box the profile that the host's kernel has loaded", async function () {
    if ((await builtConfig()) === undefined) skipBecause(this, "the kernel of the package has no AppArmor");
    const pod = await runPod(daemon, {});
    try {
      const apparmor = { profileType: Localhost, localhostRef: profile };
      const id = await startContainer(daemon, pod, { linux: { securityContext: { apparmor } } });
      expect(await shell(daemon, id, current)).to.equal(`${profile} (enforce)\n`);
      expect((await exec(daemon, id, ["touch", "/tmp/x"])).stderr).to.include("Permission denied");
      await removeContainer(daemon, id);
    } finally {
      await removePod(daemon, pod);
    }
  });
});
