/** Entry of an unpacking worker: one request at a time, system calls straight from its own thread. */
import { parentPort, workerData } from "node:worker_threads";
import { codeOf, messageOf } from "../../base/errors.js";
import { loadNative } from "../../native/addon.js";
import type { WorkerAnswer, WorkerRequest, WorkerSettings } from "./messages.js";
import { settleFolders } from "./settle.js";
import { unpackLayer } from "./unpack-layer.js";

const settings: WorkerSettings = readSettings(workerData);
const { sync } = loadNative(settings.assetsDir);
let underWay = new AbortController();

parentPort?.on("message", (request: WorkerRequest) => {
  if (request.kind === "cancel") {
    underWay.abort();
    return;
  }
  underWay = new AbortController();
  answer(request, underWay.signal).then(
    (given) => parentPort?.postMessage(given),
    (thrown: unknown) => parentPort?.postMessage({ ok: false, code: "internal", message: messageOf(thrown) }),
  );
});

async function answer(request: Exclude<WorkerRequest, { kind: "cancel" }>, signal: AbortSignal): Promise<WorkerAnswer> {
  try {
    switch (request.kind) {
      case "unpack":
        return { ok: true, notes: await unpackLayer(sync, request, signal) };
      case "settle":
        settleFolders(sync, request);
        return { ok: true, notes: { impliedFolders: [], opaqueFolders: [] } };
    }
  } catch (thrown) {
    return { ok: false, code: codeOf(thrown), message: messageOf(thrown) };
  }
}

function readSettings(raw: unknown): WorkerSettings {
  if (typeof raw === "object" && raw !== null && "assetsDir" in raw && typeof raw.assetsDir === "string") {
    return { assetsDir: raw.assetsDir };
  }
  throw new Error("an unpacking worker was started without its settings");
}
