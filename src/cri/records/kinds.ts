/** The engine's records, with those that daemons before had written with CRI's messages in them. */
import { containerRecords as containers } from "../../runtime/container/container-record.js";
import { sandboxRecords as sandboxes } from "../../runtime/pod/sandbox-record.js";
import { containerFromVersion1, podFromVersion1 } from "./version-1.js";

export const sandboxRecords = { ...sandboxes, upgrade: podFromVersion1 };
export const containerRecords = { ...containers, upgrade: containerFromVersion1 };
