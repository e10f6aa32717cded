/**
 * codex and opencode as they are published, in a Box that has neither a network nor a key: each finishes a task through the gateway.
 * Some minutes in an emulated guest; `npm run setup -- coding-agents` brings the packages, and without them this is skipped.
 */
import { expect } from "chai";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority, type TestAuthority } from "../support/certificates.js";
import { runtime } from "../support/cri-client.js";
import { Daemon } from "../support/daemon.js";
import { writesAFile, written } from "../support/models/coding-agents.js";
import { startFakeModels, type FakeModels } from "../support/models/fake-models.js";
import { foundInMemory } from "../support/models/found-in-memory.js";
import { removePod, runPod, startContainer, vmmPid, type Pod } from "../support/pods.js";
import { projectFolder } from "../support/project.js";
import { skipBecause } from "../support/skip.js";
import { baseImage, importTemplate } from "../support/template-images.js";
import { limit } from "../support/wait.js";

const packages = join(projectFolder, "build/assets/coding-agents/node_modules");
const codex = "/agents/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
const opencode = "/agents/opencode-linux-x64/bin/opencode";
const key = "sk-test-cb58a10d5f2c4b0d9d7a6b1f0c3e8a77";
const memoryBytes = 2n << 30n;

const codexConfig = `model = "model-1"
model_provider = "box"
[model_providers.box]
name = "box"
base_url = "http://127.0.0.1:4089/openai/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
`;
const opencodeConfig = JSON.stringify({
  ...{ autoupdate: false, share: "disabled", permission: "allow" },
  ...{ model: "anthropic/claude-sonnet-4-5", small_model: "anthropic/claude-sonnet-4-5" },
  provider: {
    anthropic: { options: { baseURL: "{env:ANTHROPIC_BASE_URL}/v1", apiKey: "{env:ANTHROPIC_API_KEY}" } },
  },
});

describe("coding agents in a Box without a network and without a key", function () {
  this.timeout(limit(900_000));
  let authority: TestAuthority;
  let models: FakeModels;
  let directory: string;
  let daemon: Daemon;
  let pod: Pod;
  let container: string;

  before(async function () {
    if (!existsSync(packages)) skipBecause(this, "no coding agents: npm run setup -- coding-agents");
    authority = await makeAuthority();
    models = await startFakeModels(await authority.issue("models", "IP:127.0.0.1"));
    models.keys = [key];
    models.script = writesAFile;
    directory = await mkdtemp(join(tmpdir(), "a3s-agents-"));
    await writeFile(join(directory, "key"), key);
    const provider = (name: string): string => `[[llm]]
name = "${name}"
kind = "${name}"
upstream = "${models.url}"
value_file = "${join(directory, "key")}"
ca_file = "${authority.certFile}"
`;
    const config = `${provider("anthropic")}${provider("openai")}[handlers.agents]\nllm = ["*"]\n`;
    daemon = await Daemon.start({ config });
    await importTemplate(daemon, "base");
    const home = join(directory, "home");
    await mkdir(join(home, ".codex"), { recursive: true });
    await mkdir(join(home, ".config/opencode"), { recursive: true });
    await writeFile(join(home, ".codex/config.toml"), codexConfig);
    await writeFile(join(home, ".config/opencode/opencode.json"), opencodeConfig);
    const annotations = { "a3s.dev/llm": "anthropic,openai" };
    pod = await runPod(daemon, { annotations, linux: { resources: { memoryLimitInBytes: memoryBytes } } }, "agents");
    container = await startContainer(daemon, pod, {
      image: { image: baseImage },
      command: ["sleep", "infinity"],
      mounts: [
        { hostPath: packages, containerPath: "/agents", readonly: true },
        { hostPath: home, containerPath: "/given", readonly: true },
      ],
    });
    await sh("cp -r /given/. ~");
  });

  after(async () => {
    if (!existsSync(packages)) return;
    await removePod(daemon, pod);
    await daemon.remove();
    await models.stop();
    await authority.remove();
    await rm(directory, { recursive: true });
  });

  async function sh(script: string): Promise<string> {
    const cmd = ["sh", "-c", `mkdir -p ~/work; cd ~/work; ${script}`];
    const answer = await daemon.cri.call(
      runtime.execSync,
      { containerId: container, cmd, timeout: 800n },
      { limitMs: 800_000 },
    );
    const output = `${Buffer.from(answer.stdout).toString()}${Buffer.from(answer.stderr).toString()}`;
    if (answer.exitCode !== 0)
      throw new Error(`${script} ended with ${String(answer.exitCode)}: ${output.slice(-3000)}`);
    return output;
  }

  for (const [name, line] of [
    ["codex", `${codex} exec --skip-git-repo-check -s danger-full-access 'write the file'`],
    ["opencode", `${opencode} run 'write the file'`],
  ] as const) {
    it(`${name} writes the file that its model tells it to`, async () => {
      await sh(`rm -f ${written.path}`);
      await sh(`${line} < /dev/null`);
      expect(await sh(`cat ${written.path}`)).to.equal(written.text);
    });
  }

  it("and the key is in no environment, process, file or memory of the Box", async () => {
    expect(models.seen.length).to.be.at.least(4);
    for (const { headers } of models.seen) expect(headers.join("\n")).to.contain(key);
    const places = "/proc/[0-9]*/environ /proc/[0-9]*/cmdline /home /etc /root /tmp /var /run /dev/shm";
    expect(await sh(`grep -rla '[s]${key.slice(1, 20)}' ${places} 2>/dev/null || echo nothing`)).to.equal("nothing\n");
    await sh(`cp ${written.path} /dev/shm/made`);
    expect(await foundInMemory(await vmmPid(daemon, pod), [key, written.text])).to.deep.equal([written.text]);
  });
});
