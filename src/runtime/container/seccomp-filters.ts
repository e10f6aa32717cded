import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { LRUCache } from "lru-cache";
import * as z from "zod";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { SharedWork } from "../../base/shared-work.js";
import { stage } from "../../base/stage.js";
import type { SeccompSpec } from "./container-spec.js";
import { defaultSeccompProfile } from "../spec/seccomp-default.js";

/** A filter as CreateSessionRequest wants it. */
export interface SeccompFilter {
  /** Array of struct sock_filter; empty: no filter. */
  readonly bpf: Uint8Array;
  /** seccomp(2) filter flags. */
  readonly flags: number;
  /** What it was made of, an OCI profile; undefined: no filter. */
  readonly profile: unknown;
}

const noFilter: SeccompFilter = { bpf: new Uint8Array(), flags: 0, profile: undefined };
const compileLimitMs = 20_000;
const maxProfileBytes = 1024 * 1024;
/** BPF_MAXINSNS instructions of 8 bytes each (linux/bpf_common.h). */
const maxFilterBytes = 4096 * 8;
/** linux/seccomp.h; TSYNC has no meaning for a process that has one thread. */
const flagBits: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};

/** The members of OCI LinuxSeccomp that we look at; the agent's compiler checks the rest. */
const profileSchema = z.looseObject({
  defaultAction: z.string(),
  flags: z.array(z.string()).optional(),
  listenerPath: z.string().optional(),
});

/**
 * Compiles seccomp profiles to BPF on the host, each once, by `agent seccomp`: the guest would
 * need 70 ms for it at every start and exec.
 */
export class SeccompFilters {
  readonly #compiler: string;
  readonly #compiled = new SharedWork<string, Uint8Array>({ results: new LRUCache({ max: 64 }) });

  constructor(assetsDirectory: string) {
    this.#compiler = join(assetsDirectory, "guest", "bin", "agent");
  }

  /** `capabilities`: the process's effective ones; the default profile depends on them. */
  async filterFor(choice: SeccompSpec, capabilities: readonly string[], signal: AbortSignal): Promise<SeccompFilter> {
    switch (choice.kind) {
      case "none":
        return noFilter;
      case "default": {
        const profile = defaultSeccompProfile(capabilities);
        return { bpf: await this.#compile(JSON.stringify(profile), signal), flags: 0, profile };
      }
      case "localhost": {
        const text = await readProfile(choice.path);
        const flags = flagsOf(text, choice.path);
        return { bpf: await this.#compile(text, signal), flags, profile: JSON.parse(text) as unknown };
      }
    }
  }

  async #compile(profile: string, signal: AbortSignal): Promise<Uint8Array> {
    const key = createHash("sha256").update(profile).digest("hex");
    return await this.#compiled.run(key, signal, (given) =>
      stage("compile seccomp profile", compileLimitMs, given, (limit) => runCompiler(this.#compiler, profile, limit)),
    );
  }
}

async function readProfile(path: string): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size } = await file.stat();
    if (size > maxProfileBytes) throw new Error(`larger than ${maxProfileBytes} bytes`);
    return await file.readFile("utf8");
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `seccomp profile ${path}: ${messageOf(cause)}`, {
      hint: "put the profile on this node, below kubelet's seccomp directory",
      cause,
    });
  }
}

function flagsOf(text: string, path: string): number {
  let profile: z.infer<typeof profileSchema>;
  try {
    profile = profileSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `seccomp profile ${path} is not an OCI profile: ${messageOf(cause)}`, {
      cause,
    });
  }
  if (profile.listenerPath !== undefined && profile.listenerPath !== "") {
    throw new RuntimeError("unimplemented", `seccomp profile ${path}: a listener on the host can't reach into a Box`);
  }
  let flags = 0;
  for (const flag of profile.flags ?? []) {
    const bit = flagBits[flag];
    if (bit === undefined) throw new RuntimeError("invalidArgument", `seccomp profile ${path}: unknown flag ${flag}`);
    flags |= bit;
  }
  return flags;
}

function runCompiler(compiler: string, profile: string, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const child = spawn(compiler, ["seccomp"], { stdio: ["pipe", "pipe", "pipe"], env: {}, signal });
    const output: Buffer[] = [];
    let outputBytes = 0;
    let complaint = "";
    child.stdout.on("data", (data: Buffer) => {
      outputBytes += data.length;
      if (outputBytes <= maxFilterBytes) output.push(data);
    });
    child.stderr.on("data", (data: Buffer) => {
      complaint = `${complaint}${data.toString()}`.slice(0, 1000);
    });
    child.stdin.on("error", () => undefined); // it has said why on stderr
    child.on("error", (cause) => {
      reject(
        new RuntimeError("internal", `can't run ${compiler}: ${cause.message}`, {
          hint: "run the set-up again",
          cause,
        }),
      );
    });
    child.on("close", (code) => {
      const sound = code === 0 && outputBytes > 0 && outputBytes % 8 === 0 && outputBytes <= maxFilterBytes;
      if (sound) resolve(new Uint8Array(Buffer.concat(output)));
      else reject(new RuntimeError("invalidArgument", `seccomp profile refused: ${complaint.trim() || "no filter"}`));
    });
    child.stdin.end(profile);
  });
}
