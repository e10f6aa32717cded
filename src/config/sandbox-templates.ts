/** Templates: named kinds of sandboxes, as the configuration has them. */
import * as z from "zod";
import { llmName } from "./llm.js";
import { outRules } from "./sandboxes-egress.js";
import { absolutePath, dayMs, setting } from "./setting.js";

/** A named kind of sandbox. Absent is the configuration's, or the image's. */
export interface TemplateConfig {
  readonly image: string;
  readonly vcpus?: number | undefined;
  readonly memoryMib?: number | undefined;
  readonly diskMib?: number | undefined;
  readonly user: string;
  readonly workingDir: string;
  /** Runs for as long as the sandbox does; that may go on without it. Empty: none. */
  readonly startCommand: readonly string[];
  /** A sandbox is handed out when this has exited with 0. Empty: at once. */
  readonly readyCommand: readonly string[];
  readonly readyTimeoutMs: number;
  readonly env: Readonly<Record<string, string>>;
  readonly network?: "none" | "pod" | undefined;
  /** Names of models' providers that its sandboxes have. */
  readonly llm?: readonly string[] | undefined;
  readonly allowOut?: readonly string[] | undefined;
  readonly denyOut?: readonly string[] | undefined;
  /** A name of [agents]: the coding agent that its sandboxes have. */
  readonly agent?: string | undefined;
  /** Directories of the host with skills in them. */
  readonly skills?: readonly string[] | undefined;
}

export const sandboxSizes = {
  vcpus: z.int().min(1).max(64),
  memoryMib: z.int().min(256).max(1_048_576),
  diskMib: z.int().min(16).max(16_777_216),
};
const words = z.array(z.string().max(65_536)).max(1024);
/** As a client writes it. Where an image has the same name the template is meant. */
const templateName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const variableName = /^[^=\0]+$/;
const mostSkillDirectories = 64;

const templateSchema = z.strictObject({
  image: z.string().min(1).max(600),
  vcpus: sandboxSizes.vcpus.optional(),
  memory_mib: sandboxSizes.memoryMib.optional(),
  disk_mib: sandboxSizes.diskMib.optional(),
  user: z.string().max(256).default(""),
  workdir: z.union([z.literal(""), z.literal("/"), z.string().regex(absolutePath)]).default(""),
  start_command: words.default([]),
  ready_command: words.default([]),
  ready_timeout_ms: z.int().min(100).max(dayMs).default(60_000),
  env: z.record(z.string().regex(variableName), z.string()).default({}),
  network: z.enum(["none", "pod"]).optional(),
  llm: z.array(z.string().regex(llmName)).max(32).optional(),
  allow_out: outRules.optional(),
  deny_out: outRules.optional(),
  agent: z.string().min(1).max(64).optional(),
  skills: z.array(z.string().regex(absolutePath)).max(mostSkillDirectories).optional(),
});
type GivenTemplates = Readonly<Record<string, z.infer<typeof templateSchema>>>;

/** In the order in which `config default` shows them; the table of templates is no section's. */
export const templateSettings = {
  templates: setting<GivenTemplates>(
    z.record(z.string().regex(templateName), templateSchema),
    {},
    'tables named [templates.NAME], each with image and any of vcpus, memory_mib, disk_mib, user, workdir, start_command \
and ready_command (lists: program and arguments), ready_timeout_ms (60000), env (a table), network \
("none", "pod"), allow_out and deny_out (lists), llm (names of [[llm]] that its sandboxes have), agent (a name of [agents]) \
and skills (directories of the host)',
    "Templates that sandboxes for agents are made from. Take this line away when writing such a table.",
  ),
};

export function templatesOf(given: GivenTemplates): Record<string, TemplateConfig> {
  const entries = Object.entries(given).map(([name, one]): [string, TemplateConfig] => [
    name,
    {
      image: one.image,
      vcpus: one.vcpus,
      memoryMib: one.memory_mib,
      diskMib: one.disk_mib,
      user: one.user,
      workingDir: one.workdir,
      startCommand: one.start_command,
      readyCommand: one.ready_command,
      readyTimeoutMs: one.ready_timeout_ms,
      env: one.env,
      ...{ network: one.network, llm: one.llm, agent: one.agent, skills: one.skills },
      allowOut: one.allow_out,
      denyOut: one.deny_out,
    },
  ]);
  return Object.fromEntries(entries);
}
