import { createInterface } from "node:readline";
import { parseFlags } from "../command.js";
import { findEndpoint } from "./endpoint.js";
import { McpBridge } from "./mcp-bridge.js";

/**
 * `mcp`: the daemon's tools on standard input and output, for clients that start their servers themselves. Each line is a
 * message of JSON-RPC; ends when its input does and what was asked has been answered.
 */
export async function mcp(args: string[]): Promise<number> {
  const { values } = parseFlags({ args, options: { endpoint: { type: "string" } } as const });
  const bridge = new McpBridge(await findEndpoint(values.endpoint, process.env), (line) => {
    process.stdout.write(`${line}\n`);
  });
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    if (line.trim() !== "") bridge.take(line);
  }
  await bridge.settled();
  return 0;
}
