/** The API server as a pod of the cluster reaches it, by its ServiceAccount. */
import { readFile } from "node:fs/promises";
import { request, type RequestOptions } from "node:https";
import { text } from "node:stream/consumers";
import { messageOf, RuntimeError, type ErrorCode } from "../../base/errors.js";
import { stage } from "../../base/stage.js";

export interface KubeApi {
  readonly url: string;
  /** Files that the cluster keeps: the token is another one every hour. */
  readonly caFile: string;
  readonly tokenFile: string;
}

export interface KubeCall {
  readonly method: "GET" | "PATCH" | "DELETE";
  readonly path: string;
  /** Of a PATCH: a merge patch (RFC 7386). */
  readonly body?: unknown;
}

const limitMs = 15_000;
const accountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";
const codes: Readonly<Record<number, ErrorCode>> = {
  401: "unauthenticated",
  403: "permissionDenied",
  404: "notFound",
  409: "failedPrecondition",
};

/** That of the cluster whose pod this process is in. */
export function clusterApi(env: NodeJS.ProcessEnv = process.env): KubeApi {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = env;
  if (host === undefined || host === "") {
    throw new RuntimeError("failedPrecondition", "this is no pod of a cluster: KUBERNETES_SERVICE_HOST is not set", {
      hint: "the chart's pods run it, in its mode cri",
    });
  }
  return {
    url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    caFile: `${accountDirectory}/ca.crt`,
    tokenFile: `${accountDirectory}/token`,
  };
}

/** What it answers, as JSON. What it refuses is thrown with its words. */
export async function callApi(api: KubeApi, call: KubeCall, parent: AbortSignal): Promise<unknown> {
  return await stage(`${call.method} ${call.path}`, limitMs, parent, async (signal) => {
    const [ca, token] = await Promise.all([readFile(api.caFile), readFile(api.tokenFile, "utf8")]);
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const headers = {
      authorization: `Bearer ${token.trim()}`,
      accept: "application/json",
      ...(body === undefined
        ? {}
        : { "content-type": "application/merge-patch+json", "content-length": Buffer.byteLength(body) }),
    };
    const options: RequestOptions = { method: call.method, headers, ca, signal, agent: false };
    const { status, said } = await answered(new URL(call.path, api.url), options, body);
    if (status >= 200 && status < 300) {
      const answer: unknown = JSON.parse(said);
      return answer;
    }
    throw new RuntimeError(codes[status] ?? "unavailable", `HTTP ${String(status)}: ${said.slice(0, 500)}`);
  });
}

async function answered(url: URL, options: RequestOptions, body: string | undefined) {
  return await new Promise<{ status: number; said: string }>((resolve, reject) => {
    const sent = request(url, options, (answer) => {
      text(answer).then((said) => {
        resolve({ status: answer.statusCode ?? 0, said });
      }, reject);
    });
    sent.once("error", (thrown) => {
      reject(new RuntimeError("unavailable", messageOf(thrown), { cause: thrown }));
    });
    sent.end(body);
  });
}
