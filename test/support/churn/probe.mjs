/**
 * Loaded into a daemon by NODE_OPTIONS: at SIGUSR2 it collects all garbage and writes what the process holds to A3S_PROBE_FILE,
 * as one line of JSON with a number that goes up. Where A3S_PROBE_OBJECTS is set, all objects are counted too, which keeps the
 * process from its work for half a second.
 */
import { readdirSync, renameSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import process from "node:process";
import { getSystemErrorName } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const file = process.env["A3S_PROBE_FILE"];
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
let sample = 0;
// Node makes a map of all the system's errors when the first of a certain kind comes, which may be late.
getSystemErrorName(-2);

process.on("SIGUSR2", () => {
  // The second frees what finalizers of the first have let go of.
  collect();
  setImmediate(() => {
    collect();
    const resources = {};
    for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
    const { rss, heapUsed, external } = process.memoryUsage();
    sample += 1;
    const descriptors = readdirSync("/proc/self/fd").length;
    const counted = process.env["A3S_PROBE_OBJECTS"] === undefined ? {} : objects();
    const said = { sample, rss, heapUsed, external, resources, descriptors, ...counted };
    writeFileSync(`${file}.new`, JSON.stringify(said));
    renameSync(`${file}.new`, file);
  });
});

/** Every object that is alive, by the name of its class, and how many entries all maps and all sets have together. */
function objects() {
  const session = new Session();
  session.connect();
  const objectGroup = "held";
  try {
    const { result } = post(session, "Runtime.evaluate", { expression: "Object.prototype", objectGroup });
    const all = post(session, "Runtime.queryObjects", { prototypeObjectId: result.objectId, objectGroup });
    const { objectId } = all.objects;
    const asked = { objectId, functionDeclaration: String(countAll), returnByValue: true, objectGroup };
    return post(session, "Runtime.callFunctionOn", asked).result.value;
  } finally {
    post(session, "Runtime.releaseObjectGroup", { objectGroup });
    session.disconnect();
  }
}

/** A session with its own process answers before the call returns. */
function post(session, method, params) {
  let said;
  session.post(method, params, (thrown, answer) => {
    if (thrown !== null) throw new Error(`${method}: ${thrown.message}`);
    said = answer;
  });
  if (said === undefined) throw new Error(`${method}: no answer`);
  return said;
}

/** Runs on the array of all objects; nothing of theirs is called. */
function countAll() {
  const classes = {};
  const entries = { maps: 0, sets: 0 };
  const largest = [];
  const sizeOf = (kind, one) => {
    try {
      return Object.getOwnPropertyDescriptor(kind.prototype, "size").get.call(one);
    } catch {
      return 0; // a prototype, which is none itself
    }
  };
  for (const one of this) {
    const above = Object.getPrototypeOf(one);
    const made = above === null ? undefined : Object.getOwnPropertyDescriptor(above, "constructor")?.value;
    const name = typeof made === "function" && made.name !== "" ? made.name : "(none)";
    classes[name] = (classes[name] ?? 0) + 1;
    if (one instanceof Map) {
      const size = sizeOf(Map, one);
      entries.maps += size;
      if (size > 4) largest.push({ size, keys: [...one.keys()].slice(-2).map((key) => String(key).slice(0, 40)) });
    }
    if (one instanceof Set) entries.sets += sizeOf(Set, one);
  }
  largest.sort((a, b) => b.size - a.size);
  return { classes, entries, largest: largest.slice(0, 24) };
}
