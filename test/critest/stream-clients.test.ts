/** The streaming server with clients that others wrote: client-go and @kubernetes/client-node. */
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { runtime } from "../support/cri-client.js";
import { makeAuthority, type TestAuthority } from "../support/certificates.js";
import { Daemon } from "../support/daemon.js";
import { busybox } from "../support/images.js";
import { containerStatus, exited, logLines, removeContainer, removePod, runPod, shell } from "../support/pods.js";
import { startContainer, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { forwardedPort, KubeClient, needsKubeClient } from "../support/streaming/kube-client.js";
import { nodeAttach, nodeExec, nodeForward } from "../support/streaming/node-client.js";
import { refusingProxy } from "../support/streaming/refusing-proxy.js";
import { eventually } from "../support/wait.js";

const nothing = { tty: false, stdin: false, stdout: false, stderr: false };
const outputs = { stdout: true, stderr: true };
const webServer = "httpd -p 127.0.0.1:4568 -h /etc; while :; do nc -l -p 4567 -e md5sum; done";

/** One each way client-go has of running a command. */
const ways: readonly { name: string; flags: readonly string[]; version: number }[] = [
  { name: "SPDY as it offers it (v5 to v1)", flags: ["-transport", "spdy"], version: 4 },
  { name: "SPDY, v4", flags: ["-transport", "spdy", "-protocols", "v4.channel.k8s.io"], version: 4 },
  { name: "SPDY, v3", flags: ["-transport", "spdy", "-protocols", "v3.channel.k8s.io"], version: 3 },
  { name: "SPDY, v2", flags: ["-transport", "spdy", "-protocols", "v2.channel.k8s.io"], version: 2 },
  { name: "SPDY, v1", flags: ["-transport", "spdy", "-protocols", "channel.k8s.io"], version: 1 },
  { name: "WebSocket as it offers it (v5)", flags: ["-transport", "websocket"], version: 5 },
  { name: "WebSocket, v4", flags: ["-transport", "websocket", "-protocols", "v4.channel.k8s.io"], version: 4 },
];

type Wanted = Partial<typeof nothing>;

async function execUrl(daemon: Daemon, containerId: string, cmd: readonly string[], wanted: Wanted): Promise<string> {
  const { url } = await daemon.cri.call(runtime.exec, { ...nothing, ...wanted, containerId, cmd: [...cmd] });
  return url;
}

async function attachUrl(daemon: Daemon, containerId: string, wanted: Wanted): Promise<string> {
  return (await daemon.cri.call(runtime.attach, { ...nothing, ...wanted, containerId })).url;
}

async function forwardUrl(daemon: Daemon, pod: Pod, port: readonly number[]): Promise<string> {
  return (await daemon.cri.call(runtime.portForward, { podSandboxId: pod.id, port: [...port] })).url;
}

function kube(url: string, way: readonly string[], wanted: Wanted): KubeClient {
  const named = Object.entries(wanted).flatMap(([name, is]) => (is ? [`-${name}`] : []));
  return new KubeClient(["command", "-url", url, ...way, ...named]);
}

async function noneRuns(daemon: Daemon, containerId: string, pattern: string): Promise<void> {
  await eventually("the program is gone", 20_000, async () => {
    return (await shell(daemon, containerId, `ps | grep '${pattern}' || true`)) === "" ? true : undefined;
  });
}

/** What a server answers to some bytes, after which the client has said all. */
async function conversation(port: number, says: string | Buffer): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(says);
  return await text(socket);
}

describe("streaming to clients of others", function () {
  let daemon: Daemon;
  let pod: Pod;
  let container: string;
  before(async () => {
    daemon = await sharedDaemon();
    pod = await runPod(daemon);
    container = await startContainer(daemon, pod, { command: ["sh", "-c", webServer] });
    await bothListen();
  });
  after(async () => {
    await removePod(daemon, pod);
  });

  /** The second one starts anew for every connection. */
  async function bothListen(): Promise<void> {
    await eventually("both servers listen", 20_000, async () => {
      const ports = await shell(daemon, container, "netstat -ltn");
      return ports.includes("127.0.0.1:4568") && ports.includes(":4567") ? true : undefined;
    });
  }

  describe("client-go", () => {
    before(function () {
      needsKubeClient(this);
    });

    for (const { name, flags, version } of ways) {
      it(`exec over ${name}: both outputs apart, and how the program ended`, async () => {
        const line = ["sh", "-c", "echo out; echo err >&2; exit 7"];
        const client = kube(await execUrl(daemon, container, line, outputs), flags, outputs);
        const { exitCode, error } = await client.ended;
        expect(client.stdout).to.equal("out\n");
        expect(client.stderr).to.equal("err\n");
        // Before v4 the end is told in words, which the client makes its error; of v1 it does not wait for them.
        if (version >= 4) expect({ exitCode, error }).to.deep.equal({ exitCode: 7, error: "" });
        else if (version > 1) expect(error).to.match(/command terminated with non-zero exit code: 7/);
        const good = kube(await execUrl(daemon, container, ["true"], outputs), flags, outputs);
        expect(await good.ended).to.include({ exitCode: 0, error: "" });
      });

      if (version > 1) {
        it(`exec over ${name}: names a program that is not there`, async () => {
          const client = kube(await execUrl(daemon, container, ["no-such-program"], outputs), flags, outputs);
          expect((await client.ended).error).to.match(/executable file not found/);
        });
      }

      // Before v5 a WebSocket can't close one channel, and the first client over SPDY did not.
      const ends = version === 5 || (flags.includes("spdy") && version > 1);
      it(`exec over ${name}: ${ends ? "the end of stdin is the program's" : "stdin arrives"}`, async () => {
        const bytes = 300_000;
        const cmd = ends ? ["md5sum"] : ["sh", "-c", `head -c ${bytes} | md5sum`];
        const url = await execUrl(daemon, container, cmd, { stdin: true, stdout: true });
        const client = kube(url, flags, { stdin: true, stdout: true });
        client.stdin.end(Buffer.alloc(bytes));
        expect(await client.ended).to.include({ exitCode: 0, error: "" });
        expect(client.stdout).to.equal("4a21de7a58fb8ecb9a1b1f08a3068269  -\n");
      });

      if (version >= 3) {
        it(`exec over ${name}: a terminal with the client's size, and every later one`, async () => {
          const wanted = { tty: true, stdin: true, stdout: true };
          const line = "cat >/dev/null & read a; stty size; read b; stty size; exit 3";
          const client = kube(await execUrl(daemon, container, ["sh", "-c", line], wanted), flags, wanted);
          for (const [width, height] of [
            [91, 17],
            [102, 33],
          ] as const) {
            client.resize(width, height);
            await eventually(`the size is ${width}`, 20_000, async () => {
              const sizes = await shell(daemon, container, "for t in /dev/pts/[0-9]*; do stty size -F $t; done");
              return sizes.includes(`${height} ${width}`) ? true : undefined;
            });
            client.stdin.write("go\r");
            await client.saw(`${height} ${width}`);
          }
          const { exitCode, error } = await client.ended;
          if (version >= 4) expect({ exitCode, error }).to.deep.equal({ exitCode: 3, error: "" });
          else expect(error).to.match(/exit code: 3/);
        });
      }
    }

    for (const { name, flags } of ways.filter(({ name }) => name.includes("as it offers"))) {
      it(`attach over ${name}: joins a shell that reads stdin once`, async () => {
        const id = await startContainer(daemon, pod, { command: ["/bin/sh"], stdin: true, stdinOnce: true });
        const wanted = { stdin: true, ...outputs };
        const client = kube(await attachUrl(daemon, id, wanted), flags, wanted);
        client.stdin.write("echo -n hello; echo oops >&2\n");
        await client.saw("hello");
        client.stdin.end();
        expect(await client.ended).to.include({ exitCode: 0, error: "" });
        expect(client.stderr).to.equal("oops\n");
        expect((await exited(daemon, id)).exitCode).to.equal(0);
        await removeContainer(daemon, id);
      });

      it(`attach over ${name}: a stdin that stays open is there for the next client`, async () => {
        const line = "while read word; do echo got $word; done";
        const id = await startContainer(daemon, pod, { command: ["sh", "-c", line], stdin: true });
        const wanted = { stdin: true, stdout: true };
        for (const word of ["one", "two"]) {
          const client = kube(await attachUrl(daemon, id, wanted), flags, wanted);
          client.stdin.write(`${word}\n`);
          await client.saw(`got ${word}`);
          client.stdin.end();
          expect(await client.ended).to.include({ exitCode: 0, error: "" });
        }
        const { logPath, finishedAt } = await containerStatus(daemon, id);
        expect(finishedAt).to.equal(0n);
        expect((await logLines(logPath)).map((each) => each.text)).to.deep.equal(["got one", "got two"]);
        await removeContainer(daemon, id);
      });

      it(`attach over ${name}: a terminal`, async () => {
        const line = "while read word; do stty size; done";
        const id = await startContainer(daemon, pod, { command: ["sh", "-c", line], stdin: true, tty: true });
        const wanted = { stdin: true, stdout: true, tty: true };
        const client = kube(await attachUrl(daemon, id, wanted), flags, wanted);
        client.resize(77, 22);
        await eventually("the size has come", 20_000, () => {
          client.stdin.write("\r");
          return client.stdout.includes("22 77") ? true : undefined;
        });
        client.kill();
        expect((await containerStatus(daemon, id)).finishedAt).to.equal(0n);
        await removeContainer(daemon, id);
      });

      it(`exec over ${name}: a client that is killed takes its command along`, async () => {
        const cmd = ["sh", "-c", "echo runs; sleep 4398 & sleep 4398"];
        const client = kube(await execUrl(daemon, container, cmd, outputs), flags, outputs);
        await client.saw("runs");
        client.kill();
        await noneRuns(daemon, container, "[s]leep 4398");
      });

      it(`a URL over ${name} is good for one client`, async () => {
        const url = await execUrl(daemon, container, ["true"], outputs);
        expect((await kube(url, flags, outputs).ended).error).to.equal("");
        expect((await kube(url, flags, outputs).ended).error).to.match(/unknown or used token|404|bad handshake/);
      });
    }

    it("exec falls back to SPDY where WebSockets are refused, and only there", async () => {
      const flags = ["-transport", "fallback"];
      const proxy = await refusingProxy(await execUrl(daemon, container, ["sh", "-c", "echo out; exit 4"], outputs));
      try {
        const behind = kube(proxy.url, flags, outputs);
        expect(await behind.ended).to.include({ exitCode: 4, error: "" });
        expect(behind.stdout).to.equal("out\n");
        expect(proxy.refused).to.equal(1);
      } finally {
        proxy.close();
      }
      const straight = kube(await execUrl(daemon, container, ["sh", "-c", "exit 5"], outputs), flags, outputs);
      expect(await straight.ended).to.include({ exitCode: 5, error: "" });
    });

    for (const transport of ["spdy", "tunnel"]) {
      it(`port-forward over ${transport}: several connections, each direction to its own end (33)`, async () => {
        const url = await forwardUrl(daemon, pod, []);
        const { port, client } = await forwardedPort(["-url", url, "-transport", transport, "-port", "4568"]);
        const pages = Array.from({ length: 5 }, () => conversation(port, "GET /passwd HTTP/1.0\r\n\r\n"));
        for (const page of await Promise.all(pages)) expect(page).to.match(/^HTTP\/1\.[01] 200 OK[^]*root:x:0:0/);
        client.stdin.end();
        expect((await client.ended).error).to.equal("");
      });

      it(`port-forward over ${transport}: a client's half-close is the server's end of input`, async () => {
        await bothListen();
        const url = await forwardUrl(daemon, pod, []);
        const { port, client } = await forwardedPort(["-url", url, "-transport", transport, "-port", "4567"]);
        expect(await conversation(port, Buffer.alloc(300_000))).to.equal("4a21de7a58fb8ecb9a1b1f08a3068269  -\n");
        client.stdin.end();
        expect((await client.ended).error).to.equal("");
      });

      it(`port-forward over ${transport}: says so where nobody listens`, async () => {
        const url = await forwardUrl(daemon, pod, []);
        const { port, client } = await forwardedPort(["-url", url, "-transport", transport, "-port", "4599"]);
        expect(await conversation(port, "x").catch(() => "")).to.equal("");
        expect((await client.ended).error).to.match(/lost connection to pod/);
        expect(client.stderr).to.match(/port 4599.*[Cc]onnection refused/);
      });
    }

    it("port-forward falls back to SPDY where WebSockets are refused", async () => {
      const proxy = await refusingProxy(await forwardUrl(daemon, pod, []));
      try {
        const flags = ["-url", proxy.url, "-transport", "fallback", "-port", "4568"];
        const { port, client } = await forwardedPort(flags);
        expect(await conversation(port, "GET /passwd HTTP/1.0\r\n\r\n")).to.include("root:x:0:0");
        expect(proxy.refused).to.equal(1);
        client.stdin.end();
        expect((await client.ended).error).to.equal("");
      } finally {
        proxy.close();
      }
    });
  });

  describe("@kubernetes/client-node", () => {
    it("exec: both outputs apart, stdin to its end, and the status", async () => {
      const cmd = ["sh", "-c", "echo err >&2; md5sum; exit 7"];
      const url = await execUrl(daemon, container, cmd, { stdin: true, ...outputs });
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      const seen = Promise.all([text(stdout), text(stderr)]);
      stdin.end(Buffer.alloc(300_000));
      const status = await nodeExec(url, { stdin, stdout, stderr });
      expect(await seen).to.deep.equal(["4a21de7a58fb8ecb9a1b1f08a3068269  -\n", "err\n"]);
      expect(status).to.include({ status: "Failure", reason: "NonZeroExitCode" });
      expect(status.details?.causes).to.deep.equal([{ reason: "ExitCode", message: "7" }]);
      const good = await execUrl(daemon, container, ["true"], outputs);
      const quiet = { stdin: null, stdout: new PassThrough(), stderr: new PassThrough() };
      expect(await nodeExec(good, quiet)).to.deep.equal({ status: "Success" });
    });

    it("exec: a terminal with the size of the client's", async () => {
      const wanted = { tty: true, stdin: true, stdout: true };
      const line = "while ! stty size | grep '17 91'; do read again; done";
      const url = await execUrl(daemon, container, ["sh", "-c", line], wanted);
      const stdin = new PassThrough();
      const stdout = Object.assign(new PassThrough(), { columns: 91, rows: 17 });
      const nudge = setInterval(() => stdin.write("\r"), 500);
      try {
        expect(await nodeExec(url, { stdin, stdout, stderr: null, tty: true })).to.deep.equal({ status: "Success" });
      } finally {
        clearInterval(nudge);
      }
    });

    it("attach: sees the output and writes to stdin", async () => {
      const line = "while read word; do echo got $word; done";
      const id = await startContainer(daemon, pod, { command: ["sh", "-c", line], stdin: true, stdinOnce: true });
      const url = await attachUrl(daemon, id, { stdin: true, ...outputs });
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      const seen = text(stdout);
      await nodeAttach(url, { stdin, stdout, stderr });
      stdin.end("word\n");
      expect(await seen).to.equal("got word\n");
      expect((await exited(daemon, id)).exitCode).to.equal(0);
      await removeContainer(daemon, id);
    });

    it("port-forward: over the channels of v4", async () => {
      const [input, output, error] = [new PassThrough(), new PassThrough(), new PassThrough()];
      let page = "";
      output.setEncoding("utf8").on("data", (part: string) => (page += part));
      const connection = await nodeForward(await forwardUrl(daemon, pod, [4568]), output, error, input);
      input.write("GET /passwd HTTP/1.0\r\n\r\n");
      await eventually("the page came", 20_000, () => (page.includes("root:x:0:0") ? true : undefined));
      connection.close();
    });
  });
});

describe("streaming with TLS and a short idle time", function () {
  let daemon: Daemon;
  let authority: TestAuthority;
  const undoes: (() => Promise<void>)[] = [];
  let pod: Pod;
  let container: string;
  before(async function () {
    needsKubeClient(this);
    authority = await makeAuthority();
    undoes.push(() => authority.remove());
    const { certFile, keyFile } = await authority.issue("streaming", "IP:127.0.0.1");
    const config = `[streaming]\ntls_cert_file = "${certFile}"\ntls_key_file = "${keyFile}"\nidle_timeout_ms = 2000\n`;
    daemon = await Daemon.start({ images: [await busybox()], config });
    undoes.push(() => daemon.remove());
    pod = await runPod(daemon);
    container = await startContainer(daemon, pod, { command: ["httpd", "-f", "-p", "127.0.0.1:4568", "-h", "/etc"] });
  });
  after(async () => {
    for (const undo of undoes.reverse()) await undo();
  });

  const trusted = (transport: string): string[] => ["-transport", transport, "-ca", authority.certFile];

  for (const transport of ["spdy", "websocket"]) {
    it(`exec over ${transport}, to whoever knows the authority and to nobody else`, async () => {
      const url = await execUrl(daemon, container, ["sh", "-c", "echo out; exit 7"], outputs);
      expect(url).to.match(/^https:/);
      const stranger = kube(url, ["-transport", transport], outputs);
      expect((await stranger.ended).error).to.match(/certificate/);
      const client = kube(url, trusted(transport), outputs);
      expect(await client.ended).to.include({ exitCode: 7, error: "" });
      expect(client.stdout).to.equal("out\n");
    });

    it(`an exec over ${transport} on which nothing moves is closed, and its program ended`, async () => {
      const cmd = ["sh", "-c", "echo runs; sleep 4397"];
      const client = kube(await execUrl(daemon, container, cmd, outputs), trusted(transport), outputs);
      await client.saw("runs");
      // Over SPDY the client takes a connection that ends for an end without an error.
      const { error } = await client.ended;
      if (transport === "websocket") expect(error).to.match(/EOF|reset/);
      await noneRuns(daemon, container, "[s]leep 4397");
    });
  }

  for (const transport of ["spdy", "tunnel"]) {
    it(`port-forward over ${transport}`, async () => {
      const url = await forwardUrl(daemon, pod, []);
      const { port, client } = await forwardedPort(["-url", url, ...trusted(transport), "-port", "4568"]);
      expect(await conversation(port, "GET /passwd HTTP/1.0\r\n\r\n")).to.include("root:x:0:0");
      client.stdin.end();
      expect((await client.ended).error).to.equal("");
    });
  }
});
