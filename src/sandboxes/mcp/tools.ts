/**
 * The tools, named as agent-sandbox's server has them, so that prompts and skills written for those go on working. Input
 * is checked against the schemas before anything is done; a failure is the tool's answer with `isError`, whose text says
 * what to do. A program that exits with another status than 0 is no failure of the tool's.
 */
import type { CallToolResult, McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { Caller } from "../core/caller.js";
import type { FileScope } from "../core/file.js";
import type { Sandboxes } from "../core/sandboxes.js";
import { downloadFile, fileExists, listFiles, uploadFile } from "./files.js";
import { mostOutputBytes, runCommand } from "./run-command.js";

/** What the tools work with, for one caller. */
export interface ToolParts {
  readonly core: Sandboxes;
  readonly caller: Caller;
  readonly log: Logger;
  /** The sandbox that calls without an id are about; absent: there is none, and each names its own. */
  readonly theOne?: (signal: AbortSignal) => Promise<string>;
}

const usualLimitSeconds = 60;
const longestLimitSeconds = 3600;
const longestName = 4096;
const longestCommand = 128 * 1024;
const mostListed = 100;

const words = z.record(z.string().max(256), z.string().max(32_768));
export const sandboxId = z.string().max(64).describe("Id of the sandbox, as create_sandbox gave it");
export const path = z.string().min(1).max(longestName).describe("Absolute, or relative to the working directory");

/** Gives a new server the tools for one caller. */
export function withTools(server: McpServer, parts: ToolParts): McpServer {
  if (parts.theOne === undefined) addLifeTools(server, parts);
  addCommandTool(server, parts);
  addFileTools(server, parts);
  addSandboxResource(server, parts);
  return server;
}

function addLifeTools(server: McpServer, { core, caller }: ToolParts): void {
  server.registerTool(
    "create_sandbox",
    {
      description: "Starts a sandbox: a virtual machine of its own, with a file system and a shell.",
      inputSchema: z.object({
        template: z.string().max(512).default("base").describe("A template's name, or an image's reference"),
        timeout_seconds: z.number().int().min(1).max(86_400).optional().describe("Then it ends by itself"),
        env: words.default({}),
        metadata: words.default({}),
      }),
      outputSchema: z.object({ sandbox_id: z.string(), template: z.string(), ends_at: z.string() }),
    },
    async ({ template, timeout_seconds: seconds, env, metadata }, ctx) =>
      await answered(async () => {
        const life = seconds === undefined ? {} : { lifeMs: seconds * 1000 };
        const made = await core.create(caller, { template, env, metadata, mounts: [], ...life }, ctx.mcpReq.signal);
        const ends = new Date(made.endsAtMs).toISOString();
        return { sandbox_id: made.id, template: made.template, ends_at: ends };
      }),
  );
  server.registerTool(
    "delete_sandbox",
    {
      description: "Ends a sandbox with all that is in it.",
      inputSchema: z.object({ sandbox_id: sandboxId }),
      outputSchema: z.object({ deleted: z.boolean() }),
      annotations: { destructiveHint: true, idempotentHint: true },
    },
    async ({ sandbox_id: id }, ctx) =>
      await answered(async () => {
        await core.end(caller, id, ctx.mcpReq.signal);
        return { deleted: true };
      }),
  );
}

function addCommandTool(server: McpServer, parts: ToolParts): void {
  const inputSchema = z.object({
    sandbox_id: ofSandbox(parts),
    command: z.string().min(1).max(longestCommand).describe("A line for /bin/sh"),
    working_directory: z.string().max(longestName).default(""),
    env: words.default({}),
    timeout_seconds: z.number().int().min(1).max(longestLimitSeconds).default(usualLimitSeconds),
  });
  const outputSchema = z.object({
    stdout: z.string(),
    stderr: z.string(),
    exit_code: z.number(),
    timed_out: z.boolean(),
    truncated: z.boolean().describe(`More than ${String(mostOutputBytes)} bytes: the middle is left out`),
  });
  server.registerTool(
    "execute_command",
    { description: "Runs a command in a sandbox and waits for its end.", inputSchema, outputSchema },
    async (asked, ctx) =>
      await answered(async () => {
        const { signal } = ctx.mcpReq;
        const processes = parts.core.processes(parts.caller, await idOf(asked.sandbox_id, parts, signal));
        const wanted = {
          args: ["/bin/sh", "-c", asked.command],
          env: asked.env,
          workingDir: asked.working_directory,
          ...{ user: "", stdin: false, tag: "", limitMs: asked.timeout_seconds * 1000 },
        };
        const { stdout, stderr, exit, truncated } = await runCommand(processes, wanted, parts.log, signal);
        return { stdout, stderr, exit_code: exit.code, timed_out: exit.timedOut, truncated };
      }),
  );
}

function addFileTools(server: McpServer, parts: ToolParts): void {
  const of = { sandbox_id: ofSandbox(parts), path };
  /** Of the sandbox named, relative to its working directory. */
  const filesOf = async (given: string | undefined, signal: AbortSignal) => {
    const id = await idOf(given, parts, signal);
    const scope: FileScope = { user: "", base: parts.core.get(parts.caller, id).workingDir };
    return { files: parts.core.files(parts.caller, id), scope };
  };
  server.registerTool("upload_file", uploadFile.config(of), async (asked, ctx) =>
    answered(async () => uploadFile.run(await filesOf(asked.sandbox_id, ctx.mcpReq.signal), asked, ctx.mcpReq.signal)),
  );
  server.registerTool("download_file", downloadFile.config(of), async (asked, ctx) =>
    answered(async () =>
      downloadFile.run(await filesOf(asked.sandbox_id, ctx.mcpReq.signal), asked, ctx.mcpReq.signal),
    ),
  );
  server.registerTool("list_files", listFiles.config(of), async (asked, ctx) =>
    answered(async () => listFiles.run(await filesOf(asked.sandbox_id, ctx.mcpReq.signal), asked, ctx.mcpReq.signal)),
  );
  server.registerTool("file_exists", fileExists.config(of), async (asked, ctx) =>
    answered(async () => fileExists.run(await filesOf(asked.sandbox_id, ctx.mcpReq.signal), asked, ctx.mcpReq.signal)),
  );
}

function addSandboxResource(server: McpServer, { core, caller }: ToolParts): void {
  const config = { description: "The caller's sandboxes, newest first", mimeType: "application/json" };
  server.registerResource("sandboxes", "a3s-box://sandboxes", config, (uri) => {
    const { items } = core.list(caller, {}, { limit: mostListed });
    const told = items.map(({ id, template, state, startedAtMs, endsAtMs, metadata }) => ({
      sandbox_id: id,
      ...{ template, state, metadata },
      started_at: new Date(startedAtMs).toISOString(),
      ends_at: new Date(endsAtMs).toISOString(),
    }));
    return { contents: [{ uri: uri.href, mimeType: "application/json", text: JSON.stringify(told) }] };
  });
}

function ofSandbox({ theOne }: ToolParts) {
  return theOne === undefined
    ? sandboxId.optional()
    : sandboxId.optional().describe("Left out: the sandbox that is there");
}

async function idOf(given: string | undefined, { theOne }: ToolParts, signal: AbortSignal): Promise<string> {
  if (given !== undefined) return given;
  if (theOne !== undefined) return await theOne(signal);
  throw new RuntimeError("invalidArgument", "sandbox_id is missing", { hint: "create_sandbox gives one" });
}

/** The answer as data and, for clients of the older protocol, as text. */
async function answered(work: () => Promise<Record<string, unknown>>): Promise<CallToolResult> {
  try {
    const data = await work();
    return { content: [{ type: "text", text: JSON.stringify(data) }], structuredContent: data };
  } catch (thrown) {
    return { content: [{ type: "text", text: messageOf(thrown) }], isError: true };
  }
}
