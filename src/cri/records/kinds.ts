/** The engine's records, with those that daemons before had written with CRI's messages in them. */
import { containerRecords as containers } from "../../runtime/container/container-record.js";
import { podFromVersion2, podRecords as pods } from "../../runtime/pod/pod-record.js";
import { containerFromVersion1, podFromVersion1 } from "./version-1.js";

export const podRecords = {
  ...pods,
  upgrade: (raw: object, version: number): unknown => podFromVersion2(version === 1 ? podFromVersion1(raw) : raw),
};
export const containerRecords = { ...containers, upgrade: containerFromVersion1 };
