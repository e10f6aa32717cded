/** What a model says to a coding agent that is to write one file: first a tool's call, then that it is done. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { member } from "../agents/acp-conversation.js";
import { projectDirectory } from "../project.js";
import { memberOf } from "./fake-models.js";
import type { Turn } from "./openai-chat.js";

/** Where `npm run setup -- coding-agents` has brought them. */
export const agentPackages = join(projectDirectory, "build/assets/coding-agents/node_modules");
export const noAgents = "no coding agents: npm run setup -- coding-agents brings them";
/** Below the packages. */
export const agentPrograms = {
  codex: "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
  opencode: "opencode-linux-x64/bin/opencode",
};

export function hasCodingAgents(): boolean {
  return existsSync(agentPackages);
}

export const written = { path: "/home/user/work/made-by-a-model.txt", text: "written by a model" };
const done: Turn = { text: "The file is there." };
const command = `printf '%s' '${written.text}' > ${written.path}`;

/** Of the tools that an agent has told of, one by which a file comes to be, as that tool wants to be called. */
const tools: readonly (readonly [string, unknown])[] = [
  ["exec_command", { cmd: command }],
  ["shell_command", { command }],
  ["shell", { command: ["sh", "-c", command] }],
  ["write", { filePath: written.path, content: written.text }],
  ["bash", { command, description: "writes the file" }],
];

/**
 * Each prompt has the file written anew: what was done for those before is no answer, though what a turn that was cancelled has
 * left may stand in the same message.
 */
export function ofLastTurn(request: unknown): Turn {
  const turns = member(request, "messages") ?? member(request, "input");
  const last: unknown = Array.isArray(turns) ? turns.at(-1) : undefined;
  const content = member(last, "content");
  const newest: unknown = Array.isArray(content) ? content.at(-1) : last;
  return writesAFile({ tools: member(request, "tools"), messages: [newest] });
}

function writesAFile(request: unknown): Turn {
  const text = JSON.stringify(request);
  if (text.includes('"function_call_output"') || text.includes('"tool_result"') || text.includes('"role":"tool"'))
    return done;
  const known = toolNames(request);
  const found = tools.find(([name]) => known.includes(name));
  return found === undefined ? done : { tool: { name: found[0], input: found[1] } };
}

function toolNames(request: unknown): string[] {
  if (typeof request !== "object" || request === null || !("tools" in request) || !Array.isArray(request.tools))
    return [];
  const all: unknown[] = request.tools;
  return all.map((tool) => memberOf(tool, "name"));
}
