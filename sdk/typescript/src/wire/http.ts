/** What there is of sandboxes.v1 by HTTP/1.1, for a way that passes nothing else. */
import type { MethodDefinition } from "@grpc/grpc-js";
import { sleep } from "../deadline.js";
import type { Endpoint } from "../endpoint.js";
import {
  ListFilesRequest,
  ListFilesResponse,
  ReadFileRequest,
  ReadFileResponse,
  RemoveFileRequest,
  RemoveFileResponse,
  StatFileRequest,
  StatFileResponse,
  WriteFileRequest,
  WriteFileResponse,
} from "../gen/sandboxes/v1/files.js";
import { RunProcessRequest, RunProcessResponse } from "../gen/sandboxes/v1/processes.js";
import {
  CreateSandboxRequest,
  CreateSandboxResponse,
  EndSandboxRequest,
  EndSandboxResponse,
  ExtendSandboxRequest,
  ExtendSandboxResponse,
  GetSandboxRequest,
  GetSandboxResponse,
  ListSandboxesRequest,
  ListSandboxesResponse,
  PauseSandboxRequest,
  PauseSandboxResponse,
  ResumeSandboxRequest,
  ResumeSandboxResponse,
} from "../gen/sandboxes/v1/sandboxes.js";
import { HttpClient } from "./http/client.js";
import { HttpFiles } from "./http/files.js";
import { created, ended, extended, listed, onlyByGrpc, paused, ran, resumed, shown } from "./http/sandboxes.js";
import type { TlsFiles } from "./tls-files.js";
import { WireError, type Conversation, type Wire } from "./wire.js";

const pauseMs = 200;

interface Means {
  readonly http: HttpClient;
  readonly files: HttpFiles;
  readonly signal: AbortSignal;
}

/** Requests and answers go through their bytes: so each call here has its own types, and the table one. */
type Exchange = (request: Uint8Array, means: Means) => Promise<Uint8Array>;

const calls: Readonly<Record<string, Exchange>> = {
  "/sandboxes.v1.SandboxService/CreateSandbox": async (bytes, { http, signal }) => {
    const sandbox = await created(http, CreateSandboxRequest.decode(bytes), signal);
    return CreateSandboxResponse.encode({ sandbox }).finish();
  },
  "/sandboxes.v1.SandboxService/GetSandbox": async (bytes, { http, signal }) => {
    const sandbox = await shown(http, GetSandboxRequest.decode(bytes).sandboxId, signal);
    return GetSandboxResponse.encode({ sandbox }).finish();
  },
  "/sandboxes.v1.SandboxService/ListSandboxes": async (bytes, { http, signal }) =>
    ListSandboxesResponse.encode(await listed(http, ListSandboxesRequest.decode(bytes), signal)).finish(),
  "/sandboxes.v1.SandboxService/ExtendSandbox": async (bytes, { http, signal }) => {
    const sandbox = await extended(http, ExtendSandboxRequest.decode(bytes), signal);
    return ExtendSandboxResponse.encode({ sandbox }).finish();
  },
  "/sandboxes.v1.SandboxService/PauseSandbox": async (bytes, { http, signal }) => {
    await paused(http, PauseSandboxRequest.decode(bytes).sandboxId, signal);
    return PauseSandboxResponse.encode({}).finish();
  },
  "/sandboxes.v1.SandboxService/ResumeSandbox": async (bytes, { http, signal }) => {
    const sandbox = await resumed(http, ResumeSandboxRequest.decode(bytes).sandboxId, signal);
    return ResumeSandboxResponse.encode({ sandbox }).finish();
  },
  "/sandboxes.v1.SandboxService/EndSandbox": async (bytes, { http, signal }) => {
    await ended(http, EndSandboxRequest.decode(bytes).sandboxId, signal);
    return EndSandboxResponse.encode({}).finish();
  },
  "/sandboxes.v1.FileService/StatFile": async (bytes, { files, signal }) => {
    const entry = await files.stat(StatFileRequest.decode(bytes), signal);
    return StatFileResponse.encode({ entry }).finish();
  },
  "/sandboxes.v1.FileService/ListFiles": async (bytes, { files, signal }) =>
    ListFilesResponse.encode(await files.list(ListFilesRequest.decode(bytes), signal)).finish(),
  "/sandboxes.v1.FileService/RemoveFile": async (bytes, { files, signal }) => {
    await files.remove(RemoveFileRequest.decode(bytes), signal);
    return RemoveFileResponse.encode({}).finish();
  },
};

export class HttpWire implements Wire {
  readonly streams = false;
  readonly #http: HttpClient;
  readonly #files: HttpFiles;

  constructor(endpoint: Exclude<Endpoint, { kind: "vsock" }>, tls: TlsFiles, token: () => Promise<string | undefined>) {
    this.#http = new HttpClient(endpoint, tls, token);
    this.#files = new HttpFiles(this.#http);
  }

  async ready(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        (await this.#http.send({ method: "GET", path: "/healthz", signal })).resume();
        return;
      } catch (thrown) {
        if (signal.aborted || !(thrown instanceof WireError && thrown.isDrop)) throw thrown;
        await sleep(pauseMs, signal);
      }
    }
  }

  async unary<Q, A>(method: MethodDefinition<Q, A>, request: Q, signal: AbortSignal): Promise<A> {
    const call = calls[method.path];
    if (call === undefined) throw onlyByGrpc(nameOf(method));
    const means = { http: this.#http, files: this.#files, signal };
    return method.responseDeserialize(Buffer.from(await call(method.requestSerialize(request), means)));
  }

  async *stream<Q, A>(method: MethodDefinition<Q, A>, request: Q, signal: AbortSignal): AsyncGenerator<A, void> {
    for await (const bytes of this.#streamed(method.path, method.requestSerialize(request), signal)) {
      yield method.responseDeserialize(Buffer.from(bytes));
    }
  }

  async upload<Q, A>(method: MethodDefinition<Q, A>, parts: AsyncIterable<Q>, signal: AbortSignal): Promise<A> {
    if (method.path !== "/sandboxes.v1.FileService/WriteFile") throw onlyByGrpc(nameOf(method));
    async function* decoded(): AsyncGenerator<WriteFileRequest, void> {
      for await (const part of parts) yield WriteFileRequest.decode(method.requestSerialize(part));
    }
    const entry = await this.#files.write(decoded(), signal);
    return method.responseDeserialize(Buffer.from(WriteFileResponse.encode({ entry }).finish()));
  }

  converse<Q, A>(method: MethodDefinition<Q, A>): Promise<Conversation<Q, A>> {
    return Promise.reject(onlyByGrpc(nameOf(method)));
  }

  close(): void {
    this.#http.close();
  }

  async *#streamed(path: string, request: Buffer, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
    if (path === "/sandboxes.v1.ProcessService/RunProcess") {
      const { start } = RunProcessRequest.decode(request);
      if (start === undefined) return;
      for await (const event of ran(this.#http, start, signal)) yield RunProcessResponse.encode({ event }).finish();
    } else if (path === "/sandboxes.v1.FileService/ReadFile") {
      const parts = this.#files.read(ReadFileRequest.decode(request), signal);
      for await (const part of parts) yield ReadFileResponse.encode(part).finish();
    } else {
      throw onlyByGrpc(nameOf({ path }));
    }
  }
}

function nameOf({ path }: { readonly path: string }): string {
  return path.split("/").at(-1) ?? path;
}
