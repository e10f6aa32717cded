import { pino } from "pino";
import type { BoxId } from "./ids.js";

export type Logger = pino.Logger;
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

/** Members that never reach the log, wherever a caller puts them one or two levels deep. */
export const redactedPaths = [
  "auth",
  "*.auth",
  "password",
  "*.password",
  "token",
  "*.token",
  "env",
  "*.env",
  "envs",
  "*.envs",
];

/** JSON lines on standard output; ids go into child loggers: `log.child({ rpc, sandboxId })`. */
export function createLogger(level: LogLevel, destination?: pino.DestinationStream): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: redactedPaths, censor: "[redacted]" },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** For the lines about one Box. Its id goes by the name that all lines about a pod have it under: one filter finds them. */
export function logOfBox(log: Logger, id: BoxId): Logger {
  return log.child({ sandboxId: id });
}
