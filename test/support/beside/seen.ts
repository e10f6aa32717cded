/** What of a container is compared: fields with a line of text each. */
export type Seen = Readonly<Record<string, string>>;

/** "@@name" begins a section of a probe's output; how it becomes fields depends on the name's first word. */
export function fieldsOf(output: string): Seen {
  const fields: Record<string, string> = {};
  for (const section of output.split(/^@@/m).slice(1)) {
    const [title = "", ...lines] = section.replace(/\n$/, "").split("\n");
    const [kind = ""] = title.split(" ");
    Object.assign(fields, (parsers[kind] ?? joined)(title, lines));
  }
  return fields;
}

const parsers: Readonly<Record<string, (title: string, lines: readonly string[]) => Seen>> = {
  status: (_title, lines) => keyed("status", lines.filter(isCompared), /^(\w+):\s*(.*?)\s*$/),
  words: (title, lines) => ({
    [title.slice("words ".length)]: lines.join("; ").replace(/\0$/, "").split("\0").join(" | "),
  }),
  signals: (_title, lines) => keyed("signals", lines, /^(\w+):\s*(.*?)\s*$/),
  limits: (_title, lines) => keyed("limit", lines.slice(1), /^(.*?)\s{2,}(.*?)\s*$/),
  mounts: (_title, lines) => mountFields(lines),
  ls: (title, lines) => listFields(title, lines),
  each: (title, lines) => keyed(title.slice("each ".length), lines.map(named), /^(\S+) (.*)$/),
};

/** What stat(1) says of what is not there: the name first, as of the others. */
function named(line: string): string {
  return line.replace(/^stat: can't stat '(.*)': (.*)$/, "$1 $2");
}

/** Of /proc/PID/status: what the kernel was told of the process, and not where it is and how large. */
function isCompared(line: string): boolean {
  return /^(Umask|Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters):/.test(line);
}

function joined(title: string, lines: readonly string[]): Seen {
  return { [title]: lines.join("; ").trim() };
}

function keyed(kind: string, lines: readonly string[], pattern: RegExp): Seen {
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = pattern.exec(line);
      return match === null ? [] : [[`${kind} ${match[1] ?? ""}`, (match[2] ?? "").replace(/\s+/g, " ")]];
    }),
  );
}

/** What the runtime mounts, of whatever kernel; the rest are files of the host, which a Box sees through a file server. */
const kernelTypes = ["proc", "sysfs", "tmpfs", "devpts", "mqueue"];

/**
 * mountinfo(5): a field per target, with type, options of the mount, and those of a file system of its own. Control groups
 * are left out: their versions are the kernels'. A mask is a mask, whatever it is made of.
 */
function mountFields(lines: readonly string[]): Seen {
  const fields: Record<string, string> = {};
  for (const line of lines) {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , , target = "", options = ""] = left.split(" ");
    const [type = "", , own = ""] = right.split(" ");
    if (type.startsWith("cgroup") || (target === "/sys/fs/cgroup" && type === "tmpfs")) continue;
    const isMask = /^\/(proc|sys)\//.test(target) && /tmpfs$/.test(type);
    const isOwn = kernelTypes.includes(type);
    const size = own.split(",").filter((option) => isOwn && /^(size|mode|gid|ptmxmode)=/.test(option));
    const text = isMask ? "a mask" : [isOwn ? type : "files", options, ...size].join(" ");
    const name = `mount ${target}`;
    fields[name] = name in fields ? `${fields[name] ?? ""} + ${text}` : text;
  }
  return fields;
}

/** `ls -lan`: mode, links are left out, owner, device numbers or size of a file, target of a link. */
function listFields(title: string, lines: readonly string[]): Seen {
  const place = title.slice("ls ".length);
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = /^(\S+)\s+\d+\s+(\d+)\s+(\d+)\s+(\d+,\s*\d+|\d+)\s+\S+\s+\S+\s+\S+\s+(.*)$/.exec(line);
      if (match === null || match[5]?.startsWith("core -> ") === true) return []; // where the kernel has /proc/kcore
      const [, mode = "", uid = "", gid = "", size = "", rest = ""] = match;
      const [name = "", target] = rest.split(" -> ");
      const device = size.includes(",") ? ` ${size.replace(/\s+/g, "")}` : "";
      return [[`${place} ${name}`, `${mode} ${uid}:${gid}${device}${target === undefined ? "" : ` -> ${target}`}`]];
    }),
  );
}

export interface Difference {
  readonly field: string;
  readonly theirs: string;
  readonly ours: string;
}

/** What one side has and the other has not. */
export const absent = "—";

export function differences(theirs: Seen, ours: Seen): Difference[] {
  const fields = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])].sort();
  return fields
    .map((field) => ({ field, theirs: theirs[field] ?? absent, ours: ours[field] ?? absent }))
    .filter((one) => one.theirs !== one.ours);
}
