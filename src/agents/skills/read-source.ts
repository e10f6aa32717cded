/** The skills in one directory of the host: a ConfigMap as kubelet mounts it, or a directory with one for each skill. */
import { posix } from "node:path";
import { messageOf, RuntimeError } from "../../base/errors.js";
import type { SkillFact, SkillSource } from "../../runtime/skills/pod-skills.js";
import type { HostFile, HostTree } from "./host-tree.js";
import { mostSkillFileBytes, readSkillFile, skillFileName } from "./skill-file.js";

/** What is left for all skills of one container. They are in the daemon's memory while they are read, and on its tmpfs. */
export interface Room {
  files: number;
  bytes: number;
  skills: number;
  /** Of files and directories of any kind: each is a few calls of the kernel. */
  looks: number;
}

export const wholeRoom: Readonly<Room> = { files: 2048, bytes: 8 * 1024 * 1024, skills: 128, looks: 32_768 };
const deepest = 6;
/** Of a directory. */
const mostLookedAt = 4096;
/** Directories that are watched for one source. */
const mostWatched = 128;
const passedOver = new Set(["node_modules"]);

export interface SkillEntry extends HostFile {
  /** Relative to its skill. */
  readonly path: string;
}

export interface FoundSkill {
  readonly name: string;
  readonly description: string;
  readonly from: string;
  readonly entries: readonly SkillEntry[];
}

export interface SourceReading {
  readonly skills: readonly FoundSkill[];
  readonly problems: readonly SkillFact[];
  /** Directories that were looked at, relative to the source. */
  readonly looked: readonly string[];
}

/**
 * What is wrong with one skill is told of, and keeps no other back. Throws where the directory itself can't be read, and the
 * signal's reason when it is aborted: half a reading is none.
 */
export async function readSource(
  source: SkillSource,
  tree: HostTree,
  room: Room,
  signal: AbortSignal,
): Promise<SourceReading> {
  const reading = await new Reader(source.path, tree, room, signal).read();
  signal.throwIfAborted(); // what failed by that was told as a problem
  return reading;
}

class Reader {
  readonly #from: string;
  readonly #tree: HostTree;
  readonly #room: Room;
  readonly #signal: AbortSignal;
  readonly #skills: FoundSkill[] = [];
  readonly #problems: SkillFact[] = [];
  readonly #looked: string[] = ["."];
  #isOver = false;

  constructor(from: string, tree: HostTree, room: Room, signal: AbortSignal) {
    this.#from = from;
    this.#tree = tree;
    this.#room = room;
    this.#signal = signal;
  }

  async read(): Promise<SourceReading> {
    // kubelet's other names are links through this one: all of one moment is in it.
    const names = await this.#tree.names(".");
    const root = names.includes("..data") ? "..data" : ".";
    const inRoot = root === "." ? names : await this.#tree.names(root);
    if (inRoot.includes(skillFileName)) await this.#skill(root, undefined);
    else await this.#below(root, inRoot, 1);
    if (this.#skills.length + this.#problems.length === 0) this.#tell(posix.basename(this.#from), "has no SKILL.md");
    return { skills: this.#skills, problems: this.#problems, looked: this.#looked };
  }

  async #below(directory: string, names: readonly string[], depth: number): Promise<void> {
    for (const name of names.filter(isLookedAt)) {
      const place = posix.join(directory, name);
      if (!this.#mayLook()) return;
      try {
        if ((await this.#tree.kind(place)) !== "directory") continue;
        const inside = await this.#tree.names(place);
        if (this.#looked.length < mostWatched) this.#looked.push(place);
        if (inside.includes(skillFileName)) await this.#skill(place, name);
        else if (depth < deepest) await this.#below(place, inside, depth + 1);
      } catch (thrown) {
        this.#tell(name, messageOf(thrown));
      }
    }
  }

  /** `directory`: the name that it has; undefined where its source is the skill. */
  async #skill(place: string, directory: string | undefined): Promise<void> {
    const room = { ...this.#room };
    try {
      if (room.skills <= 0) throw new RuntimeError("resourceExhausted", "there is no room for more skills");
      const { data } = await this.#tree.file(posix.join(place, skillFileName), mostSkillFileBytes);
      const { name, description } = readSkillFile(data, directory);
      const entries = await this.#entries(place, directory === undefined, room);
      this.#skills.push({ name, description, from: this.#from, entries });
      const { files, bytes, skills } = room;
      Object.assign(this.#room, { files, bytes, skills: skills - 1 });
    } catch (thrown) {
      this.#tell(directory ?? posix.basename(this.#from), messageOf(thrown));
    }
  }

  /** `flat`: keys of a ConfigMap have no "/", and "__" stands for one. */
  async #entries(place: string, flat: boolean, room: Room): Promise<SkillEntry[]> {
    const entries = new Map<string, SkillEntry>();
    const walk = async (directory: string, prefix: string, depth: number): Promise<void> => {
      const names = await this.#tree.names(posix.join(place, directory));
      for (const name of names.filter(isLookedAt)) {
        if (!this.#mayLook()) throw new RuntimeError("resourceExhausted", "there is too much to look at");
        const at = posix.join(directory, name);
        const path = flat && prefix === "" ? unfolded(name) : posix.join(prefix, name);
        const kind = await about(path, () => this.#tree.kind(posix.join(place, at)));
        if (kind === "other") continue;
        if (kind === "directory") {
          if (depth >= deepest)
            throw new RuntimeError("invalidArgument", `${path} is more than ${String(deepest)} deep`);
          await walk(at, path, depth + 1);
          continue;
        }
        const file = await this.#file(posix.join(place, at), path, room);
        if (entries.has(path)) throw new RuntimeError("invalidArgument", `${path} is there twice`);
        entries.set(path, { ...file, path, executable: file.executable || (flat && path.startsWith("scripts/")) });
      }
    };
    await walk(".", "", 0);
    checkApart([...entries.keys()]);
    return [...entries.values()];
  }

  async #file(place: string, path: string, room: Room): Promise<HostFile> {
    if (room.files <= 0) throw new RuntimeError("resourceExhausted", "there are too many files");
    const file = await about(path, () => this.#tree.file(place, room.bytes));
    room.files -= 1;
    room.bytes -= file.data.length;
    return file;
  }

  /** Says once that the rest is left out. */
  #mayLook(): boolean {
    this.#signal.throwIfAborted();
    this.#room.looks -= 1;
    if (this.#room.looks >= 0) return true;
    if (!this.#isOver) this.#tell(posix.basename(this.#from), `more than ${String(wholeRoom.looks)} files to look at`);
    this.#isOver = true;
    return false;
  }

  #tell(name: string, problem: string): void {
    // A directory may have as many as it likes.
    if (this.#problems.length < wholeRoom.skills)
      this.#problems.push({ name: shortened(name), problem, from: this.#from });
  }
}

/** What fails says which of the skill's files it is about. */
async function about<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Hidden ones are an editor's, a repository's, or kubelet's. */
function isLookedAt(name: string, at: number): boolean {
  return !name.startsWith(".") && !passedOver.has(name) && at < mostLookedAt;
}

function unfolded(name: string): string {
  const parts = name.split("__");
  if (parts.every((part) => part !== "" && part !== "." && part !== "..")) return parts.join("/");
  throw new RuntimeError("invalidArgument", `${JSON.stringify(name.slice(0, 80))} is no path with "__" for "/"`);
}

/** "a" and "a/b" can't both be. */
function checkApart(paths: readonly string[]): void {
  const all = new Set(paths);
  for (const path of paths) {
    for (let above = posix.dirname(path); above !== "."; above = posix.dirname(above)) {
      if (all.has(above)) throw new RuntimeError("invalidArgument", `${above} is a file and a directory`);
    }
  }
}

function shortened(name: string): string {
  return name.replaceAll(/[\u0000-\u001f\u007f]/g, "?").slice(0, 80);
}
