/** What a model says to a coding agent that is to write one file: first a tool's call, then that it is done. */
import { memberOf } from "./fake-models.js";
import type { Turn } from "./openai-chat.js";

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

export function writesAFile(request: unknown): Turn {
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
