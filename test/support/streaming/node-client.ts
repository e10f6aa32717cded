/** @kubernetes/client-node, sent to the URLs that the RPCs answer in place of an API server's. */
import { Attach, Exec, KubeConfig, PortForward, type V1Status } from "@kubernetes/client-node";
import type { Readable, Writable } from "node:stream";

type Handler = Exec["handler"];
type Connection = Awaited<ReturnType<Handler["connect"]>>;

/** Its handler for WebSockets; only the path is another than it has asked for. */
function handlerOf(url: string): Handler {
  const { origin, pathname } = new URL(url);
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: "it", server: origin, skipTLSVerify: true }], // else it refuses HTTP
    users: [{ name: "it" }],
    contexts: [{ name: "it", cluster: "it", user: "it" }],
    currentContext: "it",
  });
  const { handler } = new Exec(config);
  return { connect: (_path, onText, onBinary) => handler.connect(pathname, onText, onBinary) };
}

export interface NodeStreams {
  readonly stdout: Writable | null;
  readonly stderr: Writable | null;
  readonly stdin: Readable | null;
  readonly tty?: boolean;
}

/** Resolves with the status that the client was told, once it has closed. */
export async function nodeExec(url: string, { stdout, stderr, stdin, tty = false }: NodeStreams): Promise<V1Status> {
  const exec = new Exec(new KubeConfig(), handlerOf(url));
  return await new Promise<V1Status>((resolve, reject) => {
    exec.exec("", "", "", [], stdout, stderr, stdin, tty, resolve).then((connection) => {
      connection.addEventListener("close", () => {
        reject(new Error("closed without a status"));
      });
    }, reject);
  });
}

export async function nodeAttach(
  url: string,
  { stdout, stderr, stdin, tty = false }: NodeStreams,
): Promise<Connection> {
  return await new Attach(new KubeConfig(), handlerOf(url)).attach("", "", "", stdout, stderr, stdin, tty);
}

/** One connection to the port that the URL stands for. */
export async function nodeForward(
  url: string,
  output: Writable,
  error: Writable,
  input: Readable,
): Promise<Connection> {
  const forward = new PortForward(new KubeConfig(), true, handlerOf(url));
  const connection = await forward.portForward("", "", [0], output, error, input);
  if (typeof connection === "function") throw new Error("only with retries");
  return connection;
}
