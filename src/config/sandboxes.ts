/** What the configuration says of sandboxes for agents: how large, how long, whose, and from which templates. */
import * as z from "zod";
import { RuntimeError } from "../base/errors.js";
import { agentSettings, agentsOf, type AgentConfig } from "./agents.js";
import { sandboxSizes, templateSettings, templatesOf, type TemplateConfig } from "./sandbox-templates.js";
import { egressOf, egressSettings, type EgressConfig } from "./sandboxes-egress.js";
import { absolutePath, dayMs, oneOf, setting, whole, type Setting } from "./setting.js";

/** What one tenant's sandboxes may take together; 0 is no limit. */
export interface SandboxQuota {
  readonly sandboxes: number;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly startsAMinute: number;
}

/** What a tenant may have. */
export interface TenantConfig extends SandboxQuota {
  /** Patterns of image references that it may name instead of a template; "*" in one stands for any characters. */
  readonly images: readonly string[];
  /** Absolute directories of the host: what is in one of them may be mounted. */
  readonly mounts: readonly string[];
}

export interface SandboxesConfig extends EgressConfig {
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskMib: number;
  /** What holds a sandbox to its disk; "none": nothing does. */
  readonly diskBound: (typeof diskBounds)[number];
  readonly maxVcpus: number;
  readonly maxMemoryMib: number;
  readonly maxDiskMib: number;
  readonly lifeMs: number;
  readonly maxLifeMs: number;
  /** 0: a sandbox that nobody uses stays until its time is over. */
  readonly idleMs: number;
  /** How long sandboxes live on after the daemon has been stopped and no other serves them; 0: until their processes end. */
  readonly unservedMs: number;
  readonly network: "none" | "pod";
  readonly pull: "missing" | "never";
  /** Of the sandbox that clients of E2B in debug mode mean; "": they find none. */
  readonly defaultTemplate: string;
  /** Names of sandboxes are PORT-ID below it; "": clients are told no name. */
  readonly domain: string;
  /** Of tenants that have no table of their own. */
  readonly everyone: TenantConfig;
  readonly tenants: Readonly<Record<string, TenantConfig>>;
  readonly templates: Readonly<Record<string, TemplateConfig>>;
  /** Coding agents that templates, and clients, name. */
  readonly agents: Readonly<Record<string, AgentConfig>>;
}

const { vcpus, memoryMib, diskMib } = sandboxSizes;
const diskBounds = ["auto", "quota", "file", "none"] as const;
const count = z.int().min(0).max(1_000_000_000);
const imagePatterns = z.array(z.string().min(1).max(600)).max(1000);
const directories = z.array(z.string().regex(absolutePath)).max(1000);
/** A namespace of Kubernetes, the owner of a token, or one of the two that nobody else can have. */
const tenantName = /^(?:_node|_local|[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?)$/;
const hostName = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

const tenantSchema = z.strictObject({
  sandboxes: count.optional(),
  vcpus: count.optional(),
  memory_mib: count.optional(),
  starts_a_minute: count.optional(),
  images: imagePatterns.optional(),
  mounts: directories.optional(),
});

type GivenTenants = Readonly<Record<string, z.infer<typeof tenantSchema>>>;

export const sandboxesSettings = {
  "sandboxes.vcpus": setting(vcpus, 2, "a whole number from 1 to 64", "CPUs of a sandbox for which nobody says more."),
  "sandboxes.memory_mib": setting(memoryMib, 2048, "a whole number from 256 to 1048576", "Its memory."),
  "sandboxes.disk_mib": setting(
    diskMib,
    10_240,
    "a whole number from 16 to 16777216",
    "What it may write outside its mounts.",
  ),
  "sandboxes.disk_bound": oneOf(
    diskBounds,
    "auto",
    "What holds it to that: quota (a project quota of root's file system), file (a file of that size below root, by a loop \
device), auto (the first of them that is possible: where none is no sandbox is made), or none.",
  ),
  "sandboxes.max_vcpus": setting(
    vcpus,
    16,
    "a whole number from 1 to 64",
    "A sandbox that is to have more is refused.",
  ),
  "sandboxes.max_memory_mib": setting(memoryMib, 32_768, "a whole number from 256 to 1048576", "The same of memory."),
  "sandboxes.max_disk_mib": setting(diskMib, 102_400, "a whole number from 16 to 16777216", "The same of its disk."),
  "sandboxes.life_ms": whole(1000, 30 * dayMs, 300_000, "A sandbox ends after that long unless its client says so."),
  "sandboxes.max_life_ms": whole(
    1000,
    30 * dayMs,
    dayMs,
    "No client may have it live for longer, from its last word on.",
  ),
  "sandboxes.idle_ms": whole(0, 30 * dayMs, 0, "One that nobody uses for that long ends before. 0: it doesn't."),
  "sandboxes.unserved_ms": whole(
    0,
    dayMs,
    0,
    "After the daemon has been told to stop, all of them end, and images and records go, when none serves them again for \
that long: so an uninstall leaves nothing. 0: they live on.",
  ),
  "sandboxes.network": oneOf(
    ["pod", "none"],
    "pod",
    "pod: a sandbox has what the node's network gives a pod. none: a loopback alone.",
  ),
  ...egressSettings,
  "sandboxes.pull": oneOf(["missing", "never"], "missing", "Whether images that are not on this node are pulled."),
  "sandboxes.default_template": setting(
    z.string().max(600),
    "",
    'the name of a template, or of an image that is allowed; "" for none',
    "Of the sandbox that E2B's clients in debug mode have, which make none themselves.",
  ),
  "sandboxes.domain": setting(
    z.union([z.literal(""), z.string().max(200).regex(hostName)]),
    "",
    'a host name ("box.example.org"), or "" for none',
    "What leads to this port with any name in front of it: clients then reach ports of sandboxes as PORT-ID.DOMAIN.",
  ),
  "sandboxes.images": setting(
    imagePatterns,
    ["*"],
    'a list of patterns of image references, "*" standing for any characters ("registry.example/team/*"); [] for templates alone',
    "Images that may be named in place of a template.",
  ),
  "sandboxes.mounts": setting(
    directories,
    [],
    "a list of absolute paths",
    "Directories of the host of which sandboxes may mount what is in them.",
  ),
  "sandboxes.tenants": setting<GivenTenants>(
    z.record(z.string().regex(tenantName), tenantSchema),
    {},
    "tables named [sandboxes.tenants.NAME], each with any of sandboxes, vcpus, memory_mib, starts_a_minute, images and mounts",
    "What single tenants (namespaces, owners of tokens) have instead. Take this line away when writing such a table.",
  ),
  "sandboxes.quota.sandboxes": setting(count, 100, "a whole number, 0 for no limit", "A tenant's sandboxes at a time."),
  "sandboxes.quota.vcpus": setting(count, 0, "a whole number, 0 for no limit", "CPUs of all of them together."),
  "sandboxes.quota.memory_mib": setting(count, 0, "a whole number, 0 for no limit", "Memory of all of them together."),
  "sandboxes.quota.starts_a_minute": setting(
    count,
    120,
    "a whole number, 0 for no limit",
    "How many a tenant may begin to make within a minute.",
  ),
};

type OwnSettings = typeof sandboxesSettings & typeof templateSettings & typeof agentSettings;
type Read = <T>(name: keyof OwnSettings, setting: Setting<T>) => T;

export function sandboxesOf(read: Read): SandboxesConfig {
  const own = sandboxesSettings;
  const everyone: TenantConfig = {
    sandboxes: read("sandboxes.quota.sandboxes", own["sandboxes.quota.sandboxes"]),
    vcpus: read("sandboxes.quota.vcpus", own["sandboxes.quota.vcpus"]),
    memoryMib: read("sandboxes.quota.memory_mib", own["sandboxes.quota.memory_mib"]),
    startsAMinute: read("sandboxes.quota.starts_a_minute", own["sandboxes.quota.starts_a_minute"]),
    images: read("sandboxes.images", own["sandboxes.images"]),
    mounts: read("sandboxes.mounts", own["sandboxes.mounts"]),
  };
  const config: SandboxesConfig = {
    vcpus: read("sandboxes.vcpus", own["sandboxes.vcpus"]),
    memoryMib: read("sandboxes.memory_mib", own["sandboxes.memory_mib"]),
    diskMib: read("sandboxes.disk_mib", own["sandboxes.disk_mib"]),
    diskBound: read("sandboxes.disk_bound", own["sandboxes.disk_bound"]),
    maxVcpus: read("sandboxes.max_vcpus", own["sandboxes.max_vcpus"]),
    maxMemoryMib: read("sandboxes.max_memory_mib", own["sandboxes.max_memory_mib"]),
    maxDiskMib: read("sandboxes.max_disk_mib", own["sandboxes.max_disk_mib"]),
    lifeMs: read("sandboxes.life_ms", own["sandboxes.life_ms"]),
    maxLifeMs: read("sandboxes.max_life_ms", own["sandboxes.max_life_ms"]),
    idleMs: read("sandboxes.idle_ms", own["sandboxes.idle_ms"]),
    unservedMs: read("sandboxes.unserved_ms", own["sandboxes.unserved_ms"]),
    network: read("sandboxes.network", own["sandboxes.network"]),
    ...egressOf(read),
    defaultTemplate: read("sandboxes.default_template", own["sandboxes.default_template"]),
    domain: read("sandboxes.domain", own["sandboxes.domain"]),
    pull: read("sandboxes.pull", own["sandboxes.pull"]),
    everyone,
    tenants: tenantsOf(read("sandboxes.tenants", own["sandboxes.tenants"]), everyone),
    templates: templatesOf(read("templates", templateSettings.templates)),
    agents: agentsOf(read("agents", agentSettings.agents)),
  };
  checkMost(config);
  checkAgents(config);
  return config;
}

function tenantsOf(given: GivenTenants, everyone: TenantConfig): Record<string, TenantConfig> {
  const entries = Object.entries(given).map(([name, one]): [string, TenantConfig] => [
    name,
    {
      sandboxes: one.sandboxes ?? everyone.sandboxes,
      vcpus: one.vcpus ?? everyone.vcpus,
      memoryMib: one.memory_mib ?? everyone.memoryMib,
      startsAMinute: one.starts_a_minute ?? everyone.startsAMinute,
      images: one.images ?? everyone.images,
      mounts: one.mounts ?? everyone.mounts,
    },
  ]);
  return Object.fromEntries(entries);
}

/** Said at the start, and not to the first who wants one. */
function checkMost(config: SandboxesConfig): void {
  const pairs = [
    ["vcpus", "vcpus", config.maxVcpus],
    ["memory_mib", "memoryMib", config.maxMemoryMib],
    ["disk_mib", "diskMib", config.maxDiskMib],
  ] as const;
  for (const [key, member, most] of pairs) {
    refuseOver(`sandboxes.${key}`, config[member], key, most);
    for (const [name, template] of Object.entries(config.templates)) {
      refuseOver(`templates.${name}.${key}`, template[member], key, most);
    }
  }
  refuseOver("sandboxes.life_ms", config.lifeMs, "life_ms", config.maxLifeMs);
}

/** As with a size that is too large. */
function checkAgents({ agents, templates }: SandboxesConfig): void {
  for (const [name, { agent }] of Object.entries(templates)) {
    if (agent === undefined || Object.hasOwn(agents, agent)) continue;
    throw new RuntimeError("invalidArgument", `templates.${name}.agent = ${JSON.stringify(agent)} is no agent`, {
      hint: `[agents.NAME] makes one; there are ${Object.keys(agents).join(", ")}`,
    });
  }
}

function refuseOver(name: string, value: number | undefined, key: string, most: number): void {
  if (value === undefined || value <= most) return;
  throw new RuntimeError("invalidArgument", `${name} = ${String(value)} is more than sandboxes.max_${key} allows`, {
    hint: `the most is ${String(most)}: raise it, or lower this`,
  });
}
