import { expect } from "chai";
import { Daemon } from "../support/daemon.js";
import { eventsOf, ofType, written } from "../support/interpreter.js";
import { exec, runPod, startContainer, type Pod } from "../support/pods.js";
import { sharedPod } from "../support/shared-pod.js";
import { baseImage, importTemplate, interpreterImage } from "../support/template-images.js";

/** Python and git want more than busybox does. */
const memory = { memoryLimitInBytes: 512n << 20n };

/** What a client posts, and what comes back. */
const question = JSON.stringify({ code: "x = 6\nprint('out')\nx * 7" });

describe("the images of the templates, in a Box", () => {
  let daemon: Daemon;
  let pod: Pod;
  let container: string;
  before(async () => {
    daemon = await Daemon.start();
    await importTemplate(daemon, "base");
    await importTemplate(daemon, "code-interpreter-v1");
  });
  sharedPod(
    () => daemon,
    async () => {
      pod = await runPod(daemon, { linux: { resources: memory } });
      container = await startContainer(daemon, pod, { image: { image: baseImage }, command: ["sleep", "infinity"] });
      return pod;
    },
  );
  after(() => daemon.remove());

  /** As an agent's shell does; what it says on standard output, without the last line's end. */
  async function says(line: string): Promise<string> {
    const done = await exec(daemon, container, ["/bin/bash", "-l", "-c", line], 60);
    expect(done, line).to.deep.include({ exitCode: 0, stderr: "" });
    return done.stdout.trimEnd();
  }

  it("is in the store by its name, with its user and the list of its packages", async () => {
    const { stdout } = await daemon.command("image inspect", "--json", baseImage);
    const shown: unknown = JSON.parse(stdout);
    expect(shown).to.nested.include({ "repoTags[0]": baseImage, "imageSpec.config.User": "user" });
    expect(shown).to.have.nested.property("imageSpec.config.Cmd[0]", "/bin/bash");
    const label = /"a3s-box.packages": "([^"]*)"/.exec(stdout)?.[1]?.split(" ") ?? [];
    for (const name of ["bash", "git", "python3", "libc6"]) {
      expect(
        label.filter((entry) => entry.startsWith(`${name}=`)),
        name,
      ).to.have.length(1);
    }
    expect(stdout).to.match(/"org.opencontainers.image.version": "trixie-13\.\d+-\d{4}-\d\d-\d\d"/);
  });

  it("runs a login shell as `user`, at home, who may write there and not to the system", async () => {
    expect(await says("id -un; id -u; echo $HOME; pwd; touch here && rm here; umask; locale charmap")).to.equal(
      "user\n1000\n/home/user\n/home/user\n0022\nUTF-8",
    );
    const done = await exec(daemon, container, [
      "bash",
      "-c",
      "for file in /usr/bin/x /etc/x /x; do echo > $file; done",
    ]);
    expect(done.stderr.match(/Permission denied/g)).to.have.length(3);
  });

  it("has the programs that an agent's shell reaches for", async () => {
    const named =
      "awk bzip2 diff find gzip hostname less openssl patch pgrep pidof pip ps python sed ssh tar top unzip which xargs xz zip";
    const lines = [
      `for name in ${named}; do command -v $name > /dev/null || echo no $name; done`,
      "git --version; curl --version | head -n 1; jq --version; rg --version | head -n 1",
    ];
    expect(await says(lines.join("\n"))).to.match(/^git version 2\..*\ncurl 8\..*\njq-1\..*\nripgrep .*$/);
  });

  it("has a Python that knows authorities, and a git that commits", async () => {
    const lines = [
      `python3 -c "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 100)"`,
      "cd $(mktemp -d) && git init --quiet && echo text > file && git add file",
      "git -c user.name=n -c user.email=e@x commit --quiet --message=one && git log --format=%s",
    ];
    expect(await says(lines.join("\n"))).to.equal("True\none");
  });

  it("answers code on port 49999 of the code interpreter, by what its image runs", async () => {
    const interpreter = await startContainer(daemon, pod, { image: { image: interpreterImage }, command: [] });
    const ready = "until curl -fs http://127.0.0.1:49999/health; do sleep 0.2; done";
    const ask = `curl -sS http://127.0.0.1:49999/execute -d "${question.replaceAll(/["\\]/g, "\\$&")}"`;
    const done = await exec(daemon, interpreter, ["bash", "-c", `${ready} && ${ask}`], 90);
    expect(done).to.deep.include({ exitCode: 0, stderr: "" });
    const events = eventsOf(done.stdout.slice("OK".length));
    expect(written(events, "stdout")).to.equal("out\n");
    expect(ofType(events, "result")).to.deep.equal([{ type: "result", text: "42", is_main_result: true }]);
    expect(events.at(-1)).to.deep.equal({ type: "end_of_execution" });
  });
});
