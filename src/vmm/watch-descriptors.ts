import { readdir, readFile, stat } from "node:fs/promises";
import { isNotFound, messageOf } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { sleep } from "../base/stage.js";
import type { AgentClient } from "./agent/agent-client.js";

export interface DescriptorWatch {
  /** The process that serves the share. */
  readonly pid: number;
  readonly agent: Pick<AgentClient, "dropCaches" | "awake">;
  /** Aborts when the Box has ended. */
  readonly over: AbortSignal;
  readonly log: Logger;
}

/** More than a guest makes a file server open in a second. */
const mostPerSecond = 50_000;
const shortestPauseMs = 250;
const longestPauseMs = 5_000;
const usualLimit = 1_048_576;

/**
 * A file server has a descriptor for each inode that its guest knows, and a guest forgets them only when it is short of
 * memory. Where half of what the server may have is taken, the guest is told to forget what nobody uses; at the limit its
 * programs would see ENFILE (docs/adr/0052).
 */
export async function watchDescriptors({ pid, agent, over, log }: DescriptorWatch): Promise<void> {
  let pauseMs = shortestPauseMs;
  const isOver = (): boolean => over.aborted;
  while (!isOver()) {
    try {
      await sleep(pauseMs, over);
      await agent.awake(over);
      const limit = await openFilesLimit(pid);
      const open = await openFiles(pid);
      pauseMs = Math.min(longestPauseMs, Math.max(shortestPauseMs, (limit / 2 / mostPerSecond) * 1000));
      if (open < limit / 2) continue;
      await agent.dropCaches(over);
      const after = await openFiles(pid);
      log.info({ open, limit, after }, "the guest was told to forget files");
      if (after > open / 2) pauseMs = longestPauseMs; // they are in use: to ask again at once would change nothing
    } catch (thrown) {
      if (isOver() || isNotFound(thrown)) return;
      log.warn({ err: messageOf(thrown) }, "the file server's descriptors could not be looked after");
      pauseMs = longestPauseMs;
    }
  }
}

/** The size of the directory is their number since Linux 6.2 (proc_pid_fd(5)); before it is 0. */
async function openFiles(pid: number): Promise<number> {
  const directory = `/proc/${pid}/fd`;
  const { size } = await stat(directory);
  return size > 0 ? size : (await readdir(directory)).length;
}

async function openFilesLimit(pid: number): Promise<number> {
  const limits = await readFile(`/proc/${pid}/limits`, "utf8");
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? usualLimit : Number(soft);
}
