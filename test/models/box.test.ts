/** The gateway from inside real Boxes, which have no network: pods of CRI, and sandboxes of the agents' edge. */
import { expect } from "chai";
import { execFile } from "node:child_process";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { runtime } from "../support/cri-client.js";
import { makeAuthority, type TestAuthority } from "../support/certificates.js";
import { Daemon } from "../support/daemon.js";
import { busybox, busyboxImage } from "../support/images.js";
import { startFakeModels, type FakeModels } from "../support/models/fake-models.js";
import { foundInMemory } from "../support/models/found-in-memory.js";
import { removePod, runPod, startContainer, vmmPid, type Pod } from "../support/pods.js";
import { eventually } from "../support/wait.js";

/** Nowhere else: what is found of it in a guest has come from outside. */
const key = "sk-test-b1946ac92492d2347c6235b4d2611184";
const body = '{"model":"model-1","max_tokens":5,"messages":[],"stream":true}';

describe("models from inside Boxes without a network", () => {
  let daemon: Daemon;
  let models: FakeModels;
  let authority: TestAuthority;
  let directory: string;
  let keyFile: string;

  before(async () => {
    authority = await makeAuthority();
    models = await startFakeModels(await authority.issue("models", "IP:127.0.0.1"));
    models.keys = [key];
    directory = await mkdtemp(join(tmpdir(), "a3s-box-models-"));
    keyFile = join(directory, "key");
    await writeFile(keyFile, key);
    daemon = await Daemon.start({ images: [await busybox()], config: configOf() });
  });

  after(async () => {
    await daemon.remove();
    await models.stop();
    await authority.remove();
    await rm(directory, { recursive: true });
  });

  function configOf(): string {
    const provider = (name: string, kind: string, more = ""): string => `[[llm]]
name = "${name}"
kind = "${kind}"
upstream = "${models.url}"
value_file = "${keyFile}"
ca_file = "${authority.certFile}"
${more}`;
    return `
${provider("anthropic", "anthropic")}
${provider("openai", "openai", 'tenants = ["test", "_local"]')}
${provider("others", "openai", 'tenants = ["others"]')}
[handlers.agents]
llm = ["anthropic", "openai", "others"]
[sandboxes]
listen = ["unix://${directory}/sandboxes.sock"]
vcpus = 1
memory_mib = 256
network = "none"
[templates.agent]
image = "${busyboxImage}"
llm = ["anthropic"]
`;
  }

  async function sh(containerId: string, script: string): Promise<string> {
    const { stdout, stderr, exitCode } = await daemon.cri.call(runtime.execSync, {
      containerId,
      cmd: ["sh", "-c", script],
      timeout: 60n,
    });
    return `${Buffer.from(stdout).toString()}${Buffer.from(stderr).toString()}[${String(exitCode)}]`;
  }

  /** By busybox's own client, which tells the status of what it gets, or of what it is refused. */
  function asked(token: string, path = "/anthropic/v1/messages"): string {
    return `wget -S -O - --header "x-api-key: ${token}" --post-data '${body}' http://127.0.0.1:4089${path} 2>&1`;
  }

  it("a pod that names its agent has it configured for its models, by variable and by file", async () => {
    const annotations = { "a3s.dev/llm": "openai", "a3s.dev/agent": "codex" };
    const pod = await runPod(daemon, { annotations }, "agents");
    try {
      const container = await startContainer(daemon, pod, {
        linux: { resources: undefined, securityContext: { runAsUser: { value: 1000n } } },
      });
      const config = await sh(container, "cat /etc/codex/config.toml; echo x >> /etc/codex/config.toml");
      expect(config)
        .to.contain('base_url = "http://127.0.0.1:4089/openai/v1"')
        .and.not.match(/\[0\]$/);
    } finally {
      await removePod(daemon, pod);
    }
    const opencode = await runPod(daemon, { annotations: { ...annotations, "a3s.dev/agent": "opencode" } }, "agents");
    try {
      const env = await sh(await startContainer(daemon, opencode), "env");
      expect(env).to.contain('"baseURL":"{env:OPENAI_BASE_URL}"').and.to.contain("OPENCODE_DISABLE_MODELS_FETCH=1\n");
    } finally {
      await removePod(daemon, opencode);
    }
    const unknown = { annotations: { ...annotations, "a3s.dev/agent": "nobody" } };
    expect(await runPod(daemon, unknown, "agents").catch(String)).to.contain('"nobody" is not known (agents: opencode');
  });

  const annotated = async (names: string, handler = "agents"): Promise<Pod> =>
    await runPod(daemon, { annotations: { "a3s.dev/llm": names } }, handler);

  describe("a pod with the annotation", () => {
    let pod: Pod;
    let container: string;

    before(async () => {
      pod = await annotated("anthropic, openai");
      container = await startContainer(daemon, pod, {
        envs: [{ key: "OPENAI_API_KEY", value: Buffer.from("its own") }],
      });
    });

    after(async () => {
      await removePod(daemon, pod);
    });

    it("finds the gateway and a token in its environment, but for what it has set itself", async () => {
      const environment = await sh(container, "env");
      expect(environment).to.contain("ANTHROPIC_BASE_URL=http://127.0.0.1:4089/anthropic\n");
      expect(environment).to.contain("OPENAI_BASE_URL=http://127.0.0.1:4089/openai/v1\n");
      expect(environment).to.match(/ANTHROPIC_API_KEY=a3s-box-[\w-]{43}\n/);
      expect(environment).to.contain("OPENAI_API_KEY=its own\n");
      expect(environment).not.to.contain(key);
    });

    it("has a streamed answer from its model, by a key that is nowhere in the Box", async () => {
      const answer = await sh(container, `${asked("$ANTHROPIC_API_KEY")} | tee /dev/shm/answer`);
      expect(answer).to.contain("HTTP/1.1 200 OK");
      expect(answer).to.contain("event: message_stop");
      expect(models.seen.at(-1)?.headers.join("\n")).to.contain(`x-api-key\n${key}`);
      // In brackets: the search does not find its own command line.
      const grep = `grep -rl '[s]${key.slice(1, 20)}' /proc/[0-9]*/environ /proc/[0-9]*/cmdline /etc /root /tmp /var /home /dev/shm`;
      expect(await sh(container, `${grep} 2>/dev/null ; echo looked`)).to.equal("looked\n[0]");
      // What is in a file in the guest's memory is found: the search finds what there is.
      expect(await foundInMemory(await vmmPid(daemon, pod), [key, "message_stop"])).to.deep.equal(["message_stop"]);
    });

    it("is refused with the token of another Box, and without one", async () => {
      const other = await annotated("anthropic");
      try {
        const there = await startContainer(daemon, other);
        const token = (await sh(there, "echo $ANTHROPIC_API_KEY")).split("\n")[0] ?? "";
        expect(await sh(there, asked(token))).to.contain("HTTP/1.1 200 ");
        expect(await sh(container, asked(token))).to.contain("HTTP/1.1 401 ");
        expect(await sh(container, asked(""))).to.contain("HTTP/1.1 401 ");
        expect(await sh(there, asked(token, "/openai/v1/chat/completions"))).to.contain("HTTP/1.1 404 ");
      } finally {
        await removePod(daemon, other);
      }
    });

    it("goes on with a key that changes, and after the daemon's kill -9", async () => {
      await writeFile(`${keyFile}.new`, `${key}-2`);
      await rename(`${keyFile}.new`, keyFile);
      models.keys = [`${key}-2`];
      expect(await sh(container, asked("$ANTHROPIC_API_KEY"))).to.contain("HTTP/1.1 200 ");
      await daemon.stop("SIGKILL");
      await daemon.launch();
      await eventually("the gateway again", 30_000, async () =>
        (await sh(container, asked("$ANTHROPIC_API_KEY"))).includes("HTTP/1.1 200 ") ? true : undefined,
      );
    });
  });

  it("a sandbox has what its template names, or its caller, and no more", async () => {
    const edge = async (method: string, path: string, value?: unknown): Promise<string> => {
      const data = value === undefined ? [] : ["--data", JSON.stringify(value)];
      const args = ["-sS", "--unix-socket", join(directory, "sandboxes.sock"), "-X", method, ...data];
      return (await promisify(execFile)("curl", [...args, `http://localhost${path}`])).stdout;
    };
    const made = async (more: object): Promise<string> => {
      const answer = await edge("POST", "/v1/sandboxes", { template: "agent", ...more });
      const id = /"id":"([a-z0-9]{20})"/.exec(answer)?.[1];
      if (id === undefined) throw new Error(answer);
      return id;
    };
    const run = async (id: string, command: string): Promise<string> =>
      await edge("POST", `/v1/sandboxes/${id}/run`, { command });
    const [usual, without] = await Promise.all([made({}), made({ llm: [] })]);
    try {
      expect(await run(usual, asked("$ANTHROPIC_API_KEY")))
        .to.contain("HTTP/1.1 200 OK")
        .and.to.contain("message_stop");
      expect(await run(usual, "env")).not.to.contain("OPENAI");
      expect(await run(without, "env")).not.to.contain("4089");
      expect(await edge("POST", "/v1/sandboxes", { template: "agent", llm: ["others"] })).to.contain(
        "PERMISSION_DENIED",
      );
      expect(await edge("POST", "/v1/sandboxes", { template: "agent", llm: ["nobody"] })).to.contain(
        "INVALID_ARGUMENT",
      );
    } finally {
      for (const id of [usual, without]) await edge("DELETE", `/v1/sandboxes/${id}`);
    }
  });

  it("a pod that may not have what it asks for is refused, with what to do", async () => {
    const cases = [
      [
        "anthropic",
        "",
        /annotation a3s\.dev\/llm: anthropic is not allowed by the pod's handler \(llm = \["anthropic"\]/,
      ],
      ["nobody", "agents", /no model's provider is called "nobody"/],
      ["others", "agents", /model's provider "others" may not be had by test/],
    ] as const;
    for (const [names, handler, wanted] of cases) {
      const failed = await annotated(names, handler).catch((thrown: unknown) => String(thrown));
      expect(failed).to.match(wanted);
    }
  });

  it("a pod without the annotation has neither the port nor the variables", async () => {
    const pod = await runPod(daemon, {}, "agents");
    try {
      const container = await startContainer(daemon, pod);
      expect(await sh(container, "env | grep -c 4089; nc 127.0.0.1 4089 < /dev/null")).to.match(/^0\n.*refused/);
    } finally {
      await removePod(daemon, pod);
    }
  });

  it("what the daemon writes down, logs and shows has the key nowhere", async () => {
    const places = [daemon.base, `/proc/${String(daemon.pid)}/environ`, `/proc/${String(daemon.pid)}/cmdline`];
    // grep ends with 1 where there is nothing.
    const { stdout } = await promisify(execFile)("sh", [
      "-c",
      'grep -rlaF "$@" || test $? -eq 1',
      "sh",
      key,
      ...places,
    ]);
    expect(stdout).to.equal("");
    const bundle = join(directory, "bundle.tar.gz");
    const made = await daemon.command("debug bundle", "--output", bundle);
    expect(made.status, made.stderr).to.equal(0);
    const { stdout: text } = await promisify(execFile)("tar", ["xzOf", bundle], { maxBuffer: 1 << 28 });
    expect(text).to.contain(keyFile);
    expect(text).not.to.contain(key);
  });
});
