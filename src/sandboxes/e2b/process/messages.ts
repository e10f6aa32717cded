/** What process.Process is asked, in protobuf's JSON. Names that are not known are passed over, as protobuf has it. */
import * as z from "zod";
import type { TerminalWanted } from "../../core/process.js";
import { bytes, uint32 } from "../connect/json.js";

const mostText = 4096;
const mostArguments = 4096;
const mostVariables = 4096;
const mostTag = 256;
/** Linux takes no longer argument; what all of them may have together is the core's matter. */
const mostArgument = 128 * 1024;
const mostSide = 65_535;

const noNul = (text: string): boolean => !text.includes("\0");
const text = z.string().max(mostText).refine(noNul, "has a NUL");
const argument = z.string().max(mostArgument).refine(noNul, "has a NUL");

const tag = z.string().max(mostTag).refine(noNul, "has a NUL");

const environment = z
  .record(text.regex(/^[^=]+$/, "no name of a variable"), argument)
  .refine((all) => Object.keys(all).length <= mostVariables, "too many variables");

const size = z
  .object({ cols: uint32.default(0), rows: uint32.default(0) })
  .transform(({ cols, rows }): TerminalWanted => ({ columns: side(cols, 80), rows: side(rows, 24) }));
const pty = z.object({ size: size.optional() });

/** A terminal without a width is none; and none is wider than the kernel's number for it. */
function side(wanted: number, usual: number): number {
  return wanted === 0 ? usual : Math.min(wanted, mostSide);
}

const selector = z
  .object({ pid: uint32.optional(), tag: tag.min(1).optional() })
  .refine(({ pid, tag }) => (pid === undefined) !== (tag === undefined), "either a pid or a tag");
export type Selector = z.infer<typeof selector>;

const input = z
  .object({ stdin: bytes.optional(), pty: bytes.optional() })
  .refine((one) => (one.stdin === undefined) !== (one.pty === undefined), "either stdin or pty");

export const listRequest = z.object({});

export const startRequest = z.object({
  process: z.object({
    cmd: text.min(1),
    args: z.array(argument).max(mostArguments).default([]),
    envs: environment.default({}),
    cwd: text.default(""),
  }),
  pty: pty.optional(),
  tag: tag.default(""),
  /** Clients from before there was this field want one. */
  stdin: z.boolean().default(true),
});
export type StartRequest = z.infer<typeof startRequest>;

export const selected = z.object({ process: selector });
export const updateRequest = z.object({ process: selector, pty: pty.optional() });
export const sendInputRequest = z.object({ process: selector, input });
export const sendSignalRequest = z.object({
  process: selector,
  signal: z
    .union([z.enum(["SIGNAL_SIGTERM", "SIGNAL_SIGKILL"]), z.literal(15), z.literal(9)])
    .transform((one) => (one === 15 || one === "SIGNAL_SIGTERM" ? 15 : 9)),
});

export const streamInputRequest = z.union([
  z.object({ start: selected }).transform(({ start }) => ({ kind: "start", process: start.process }) as const),
  z
    .object({ data: z.object({ input }) })
    .transform(({ data }) => ({ kind: "data", bytes: data.input.stdin ?? data.input.pty ?? Buffer.alloc(0) }) as const),
  z.object({ keepalive: z.object({}) }).transform(() => ({ kind: "keepalive" }) as const),
]);
export type StreamInputRequest = z.infer<typeof streamInputRequest>;
