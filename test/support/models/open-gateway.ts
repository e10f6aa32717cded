/** A gateway with connections of a TCP port of this machine, in the place of those that come out of Boxes. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../../src/base/log.js";
import { proxyFromEnvironment } from "../../../src/base/proxy.js";
import { configOf, parseFile } from "../../../src/config/load.js";
import type { LlmConfig } from "../../../src/config/llm.js";
import { LlmGateway, type GatewayLimits } from "../../../src/llm/gateway.js";
import type { LlmBox } from "../../../src/llm/box.js";
import { BoxTokens } from "../../../src/llm/tokens.js";
import { Metrics } from "../../../src/metrics/metrics.js";
import { makeAuthority } from "../certificates.js";
import { startFakeModels, type FakeModels } from "./fake-models.js";

export interface OpenGateway {
  readonly models: FakeModels;
  readonly gateway: LlmGateway;
  readonly metrics: Metrics;
  readonly tokens: BoxTokens;
  /** Lines that the gateway has logged. */
  readonly lines: string[];
  readonly keyFile: string;
  readonly caFile: string;
  readonly directory: string;
  /** A port that stands for one Box. */
  port(box: LlmBox): Promise<number>;
  close(): Promise<void>;
}

export interface GatewayWanted {
  /** More members of each provider, as TOML. */
  readonly more?: string;
  readonly limits?: Partial<GatewayLimits>;
  readonly environment?: Readonly<Record<string, string>>;
  /** In the place of the fake's own address. */
  readonly upstream?: string;
}

/** Three providers, one of each kind, all at one fake; their key is "key-1". */
export async function openGateway(wanted: GatewayWanted = {}): Promise<OpenGateway> {
  const directory = await mkdtemp(join(tmpdir(), "a3s-llm-"));
  const authority = await makeAuthority();
  const models = await startFakeModels(await authority.issue("models", "IP:127.0.0.1,DNS:models.example"));
  const keyFile = join(directory, "key");
  await writeFile(keyFile, "key-1\n");
  const lines: string[] = [];
  const log = createLogger("debug", { write: (line) => lines.push(line) });
  const tokens = await BoxTokens.open(directory);
  const providers = providersOf(wanted.upstream ?? models.url, keyFile, authority.certFile, wanted.more ?? "");
  const metrics = new Metrics();
  const gateway = new LlmGateway({
    ...{ providers, tokens, figures: metrics.llm, log },
    proxies: proxyFromEnvironment(wanted.environment ?? {}),
    ...(wanted.limits === undefined ? {} : { limits: wanted.limits }),
  });
  const ends: (() => Promise<void>)[] = [];
  return {
    ...{ models, gateway, metrics, tokens, lines, keyFile, directory, caFile: authority.certFile },
    port: async (box) => {
      const sockets = new Set<Socket>();
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
        gateway.take(socket, box);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", 1024, resolve));
      ends.push(async () => {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      });
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : 0;
    },
    close: async () => {
      await gateway.close(AbortSignal.abort());
      for (const end of ends) await end();
      await models.stop();
      await authority.remove();
      await rm(directory, { recursive: true });
    },
  };
}

function providersOf(upstream: string, keyFile: string, caFile: string, more: string): readonly LlmConfig[] {
  const tables = (["anthropic", "openai", "gemini"] as const).map(
    (kind) => `[[llm]]
name = "${kind}"
kind = "${kind}"
upstream = "${upstream}"
value_file = "${keyFile}"
ca_file = "${caFile}"
${more}`,
  );
  return configOf(parseFile(tables.join("\n"), "test")).llm;
}

/** All of `kinds`, for one Box of one tenant. */
export function boxOf(id: string, tenant = "team"): LlmBox {
  return { id, tenant, providers: ["anthropic", "openai", "gemini"] };
}
