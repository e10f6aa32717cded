import { randomInt } from "node:crypto";
import type { SandboxName } from "./sandbox.js";

const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
const length = 20;
const pattern = /^[a-z0-9]{20}$/;

/** 103 bits that nobody guesses. The first is a letter: some clients take a name for a host's. */
export function newSandboxName(): SandboxName {
  const rest = Array.from({ length: length - 1 }, () => letters.charAt(randomInt(letters.length)));
  return sandboxName(letters.charAt(randomInt(26)) + rest.join("")) ?? newSandboxName();
}

/** Undefined for what can't be one. */
export function sandboxName(raw: string): SandboxName | undefined {
  return isSandboxName(raw) ? raw : undefined;
}

function isSandboxName(raw: string): raw is SandboxName {
  return pattern.test(raw);
}
