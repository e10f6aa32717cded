/**
 * The largest answer of each of the agent's methods. They fit the largest pod that the agent allows (each constant there
 * names this file): 512 sessions, 4096 execs in all, 256 interfaces, and 1024 mounts below a volume beside as many that have
 * gone. What is larger comes from a guest that has been taken over.
 */
import type { AgentServiceService } from "../../gen/agent/v1/agent.js";
import type { Bounds, MessageBound } from "./wire-scan.js";

const kib = 1024;

type Service = typeof AgentServiceService;
export type AgentPath = Service[keyof Service]["path"];

/** Some twenty times a plain answer. */
const plain: Bounds = { bytes: 64 * kib, fields: 64, message: {} };

const noMessages: MessageBound = {};

/** A session has up to 7 fields and its exit's 4, an exec is one: 512 * 11 + 4096 is below 12,288; 66 bytes name one. */
const sessions: Bounds = {
  bytes: 512 * kib,
  fields: 12_288,
  message: {
    1: {
      name: "sessions",
      most: 512,
      message: {
        6: { name: "sessions.exit", message: noMessages },
        7: { name: "sessions.exec_ids", most: 4096 },
      },
    },
  },
};

/** A session has up to 39 fields with those nested in it and 700 bytes, an interface 9 fields and 120 bytes. */
const stats: Bounds = {
  bytes: 512 * kib,
  fields: 24_576,
  message: {
    1: {
      name: "sessions",
      most: 512,
      message: {
        26: { name: "sessions.cpu_pressure", message: noMessages },
        27: { name: "sessions.memory_pressure", message: noMessages },
        28: { name: "sessions.io_pressure", message: noMessages },
        29: { name: "sessions.processes", message: noMessages },
      },
    },
    2: {
      name: "guest",
      message: { 3: { name: "guest.interfaces", most: 256, message: noMessages } },
    },
  },
};

const attribute: MessageBound = {
  1: { name: "attribute.name", bytes: 255 },
  2: { name: "attribute.value", bytes: 4 * kib },
};

function fileEntry(mostAttributes: number): MessageBound {
  return {
    1: { name: "entry.path", bytes: 8 * kib },
    7: { name: "entry.owner", bytes: 256 },
    8: { name: "entry.group", bytes: 256 },
    10: { name: "entry.target", bytes: 4 * kib },
    11: { name: "entry.attributes", most: mostAttributes, message: attribute },
  };
}

/** An entry has up to 10 fields, and 3 for each of up to 128 attributes. */
const anEntry = fileEntry(128);
const entryFields = 512;

const oneEntry: Bounds = { ...plain, fields: entryFields, message: { 1: { name: "entry", message: anEntry } } };

/** In the 64 KiB of a part, an attribute takes some 12 bytes at the least. */
const fileList: Bounds = {
  bytes: 64 * kib,
  fields: 22_528,
  message: {
    1: { name: "directory", message: anEntry },
    2: { name: "entries", most: 512, message: fileEntry(5632) },
  },
};

const fileData: Bounds = {
  bytes: 320 * kib,
  fields: entryFields,
  message: { 1: { name: "entry", message: anEntry }, 2: { name: "data", bytes: 256 * kib } },
};

const fileEvents: Bounds = {
  bytes: 64 * kib,
  fields: 2048,
  message: { 1: { name: "events", most: 512, message: { 2: { name: "events.path", bytes: 4 * kib } } } },
};

export const answerBounds: Readonly<Record<AgentPath, Bounds>> = {
  "/agent.v1.AgentService/Hello": { ...plain, message: { 8: { name: "huge_page_kib", most: 32, packed: true } } },
  "/agent.v1.AgentService/ConfigureSandbox": plain,
  "/agent.v1.AgentService/CreateSession": plain,
  "/agent.v1.AgentService/StartSession": plain,
  "/agent.v1.AgentService/StartExec": plain,
  "/agent.v1.AgentService/Signal": plain,
  "/agent.v1.AgentService/Wait": { ...plain, message: { 1: { name: "exit", message: noMessages } } },
  // 32 KiB of data and what is around them.
  "/agent.v1.AgentService/Output": plain,
  "/agent.v1.AgentService/Input": plain,
  "/agent.v1.AgentService/Resize": plain,
  "/agent.v1.AgentService/PortForward": plain,
  "/agent.v1.AgentService/ServePort": { ...plain, message: { 2: { name: "peer", bytes: 64 } } },
  "/agent.v1.AgentService/TakeConnection": plain,
  "/agent.v1.AgentService/StopServing": plain,
  "/agent.v1.AgentService/DeleteSession": plain,
  "/agent.v1.AgentService/ForgetExec": plain,
  "/agent.v1.AgentService/UpdateSession": plain,
  "/agent.v1.AgentService/ListSessions": sessions,
  "/agent.v1.AgentService/Stats": stats,
  "/agent.v1.AgentService/DropCaches": plain,
  "/agent.v1.AgentService/SyncMirror": plain,
  // A source has up to 258 bytes (a volume's path), and the failure 4 KiB.
  "/agent.v1.AgentService/SyncSubmounts": {
    bytes: 1024 * kib,
    fields: 2112,
    message: { 1: { name: "in_use", most: 2048 } },
  },
  "/agent.v1.AgentService/StatFile": oneEntry,
  "/agent.v1.AgentService/ListFiles": fileList,
  "/agent.v1.AgentService/ReadFile": fileData,
  "/agent.v1.AgentService/WriteFile": oneEntry,
  "/agent.v1.AgentService/MakeDirectory": oneEntry,
  "/agent.v1.AgentService/MoveFile": oneEntry,
  "/agent.v1.AgentService/RemoveFile": plain,
  "/agent.v1.AgentService/WatchFiles": fileEvents,
  "/agent.v1.AgentService/Shutdown": plain,
};

/** No message of an agent is longer. */
export const longestAnswer = Math.max(...Object.values(answerBounds).map(({ bytes }) => bytes));
