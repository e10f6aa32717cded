/** A registry of the tests' own: what it answers to each path is the test's to say. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { describeImage, type ImageSource } from "./registry.js";
import { sha256 } from "./tar-builder.js";

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface HostileRegistry {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** Every request so far: "GET /v2/… authorization". */
  readonly requests: readonly string[];
  /** Takes the place of what the path answers; a path ends the request's. */
  answer(path: string, answer: Answer): void;
  /** An honest image under the name and tag; lies are put over it by `answer`. */
  serve(name: string, tag: string, source: ImageSource): { reference: string; manifestDigest: string };
  stop(): Promise<void>;
}

export async function startHostileRegistry(): Promise<HostileRegistry> {
  const answers = new Map<string, Answer>();
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    requests.push(`${request.method ?? ""} ${request.url ?? ""} ${request.headers.authorization ?? "-"}`);
    const answer = [...answers].reverse().find(([end]) => path.endsWith(end))?.[1];
    if (answer === undefined) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"errors":[]}');
      return;
    }
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const host = `127.0.0.1:${port}`;
  const answer = (path: string, with_: Answer): void => {
    answers.delete(path); // the last one said comes first
    answers.set(path, with_);
  };
  return {
    host,
    requests,
    answer,
    serve: (name, tag, source) => {
      const { config, manifest, mediaType } = describeImage(source);
      for (const blob of [config, ...source.layers.map((layer) => layer.bytes)]) {
        answer(`/v2/${name}/blobs/${sha256(blob)}`, send(blob, "application/octet-stream"));
      }
      answer(`/v2/${name}/manifests/${tag}`, send(manifest, mediaType));
      answer(`/v2/${name}/manifests/${sha256(manifest)}`, send(manifest, mediaType));
      return { reference: `${host}/${name}:${tag}`, manifestDigest: sha256(manifest) };
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function send(body: Uint8Array | string, contentType: string, status = 200): Answer {
  return (_request, response) => {
    response.writeHead(status, { "content-type": contentType, "content-length": Buffer.byteLength(body) }).end(body);
  };
}
