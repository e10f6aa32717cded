import { RuntimeError, codeOf, inStage, messageOf } from "../base/errors.js";
import { monotonicMs } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { stage } from "../base/stage.js";
import type { Config } from "../config/config.js";
import { attachmentAddresses, type Attachment } from "./attachment.js";
import { addMember, checkMember, checkStatus, collectGarbage, deleteMember, type Member } from "./cni/chain.js";
import { endLeftoverPlugins } from "./cni/leftover-plugins.js";
import { readConfigDirectory } from "./cni/config-directory.js";
import type { NetworkList } from "./cni/network-list.js";
import { findPlugin, type PluginPlaces } from "./cni/run-plugin.js";

/** Whether sandboxes can get a network now, and if not why and what to do. */
export type NetworkState =
  | { readonly ready: true; readonly network: string; readonly file: string }
  | { readonly ready: false; readonly message: string };

/** Where a sandbox is: its namespace, and the name that plugins know it by. */
export interface Place {
  readonly containerId: string;
  readonly netnsPath: string;
}

/** Name of a sandbox's interface, as every runtime has it. */
const interfaceName = "eth0";
/** kubelet asks for the state every 5 s; plugins that answer STATUS are asked again only after this. */
const statusAgeMs = 10_000;
const statusLimitMs = 5_000;
/** Plugins that were killed are gone at once, unless the kernel holds them. */
const leftoversLimitMs = 10_000;

/** The node's network: CNI as its configuration directory has it at the moment of each call. */
export class Networks {
  readonly #config: Config["cni"];
  readonly #log: Logger;
  #seen = "";
  #status: { readonly key: string; readonly atMs: number; readonly failure: string | undefined } | undefined;

  constructor(config: Config["cni"], log: Logger) {
    this.#config = config;
    this.#log = log;
  }

  async state(signal: AbortSignal): Promise<NetworkState> {
    try {
      const { file, list } = await this.#chosen();
      for (const { type } of list.plugins) await findPlugin(type, this.#config.binDirs);
      const failure = await this.#statusOf(list, signal);
      return failure === undefined
        ? { ready: true, network: list.name, file }
        : { ready: false, message: `network "${list.name}": ${failure}` };
    } catch (thrown) {
      signal.throwIfAborted();
      return { ready: false, message: messageOf(thrown) };
    }
  }

  /** What a new sandbox will be attached by; `unavailable` when there is no network. Nothing is made yet. */
  async plan(wish: Pick<Attachment, "args" | "capabilities">): Promise<Attachment> {
    const { list } = await this.#chosen();
    return { list, interfaceName, ...wish };
  }

  /**
   * Takes the sandbox through the plugins' ADD. `keep` is given every state that DEL has to know, before what would need
   * it can happen. After a failure the caller detaches with the last that it was given.
   */
  async attach(
    place: Place,
    planned: Attachment,
    keep: (attachment: Attachment) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Attachment> {
    let attachment = planned;
    await this.#inNetwork("add to", planned, this.#config.timeoutMs, signal, async (limited) => {
      await addMember(
        { ...place, ...planned },
        this.#places,
        async (result) => {
          attachment = { ...planned, result };
          await keep(attachment);
        },
        limited,
      );
      if (attachmentAddresses(attachment).length === 0) {
        throw new RuntimeError("internal", "the plugins have given no address");
      }
    });
    return attachment;
  }

  /** DEL through all plugins; success when nothing is there any more. */
  async detach(place: Place, attachment: Attachment, signal: AbortSignal): Promise<void> {
    await this.#inNetwork("remove from", attachment, this.#config.timeoutMs, signal, async (limited) => {
      await deleteMember({ ...place, ...attachment }, this.#places, attachment.result, limited);
    });
  }

  /** Before `detach` of a sandbox whose daemon was killed: its plugins may still be at work. */
  async endLeftoverPlugins({ containerId }: Place, signal: AbortSignal): Promise<void> {
    await stage("end leftover plugins", leftoversLimitMs, signal, (limited) =>
      endLeftoverPlugins(containerId, limited),
    );
  }

  /** CHECK: throws what a plugin finds missing. */
  async check(place: Place, attachment: Attachment, signal: AbortSignal): Promise<void> {
    const { result } = attachment;
    if (result === undefined) return;
    await this.#inNetwork("check in", attachment, this.#config.timeoutMs, signal, async (limited) => {
      await checkMember({ ...place, ...attachment }, this.#places, result, limited);
    });
  }

  /** Has the present network's plugins drop what belongs to no sandbox of this daemon; only where `cni.gc` allows it. */
  async collectGarbage(members: readonly Pick<Member, "containerId">[], signal: AbortSignal): Promise<void> {
    if (!this.#config.gc) return;
    const { list } = await this.#chosen();
    const valid = members.map(({ containerId }) => ({ containerId, interfaceName }));
    await stage("collect garbage of networks", this.#config.timeoutMs, signal, (limited) =>
      collectGarbage(list, valid, this.#places, limited),
    );
  }

  get #places(): PluginPlaces {
    return { binDirs: this.#config.binDirs, limitMs: this.#config.pluginTimeoutMs };
  }

  async #inNetwork(
    doing: string,
    { list }: Attachment,
    limitMs: number,
    signal: AbortSignal,
    work: (limited: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const name = `${doing} network "${list.name}"`;
    try {
      await stage(name, limitMs, signal, work);
    } catch (thrown) {
      throw thrown instanceof RuntimeError && thrown.stage === name ? thrown : inStage(name, thrown);
    }
  }

  async #chosen(): Promise<{ file: string; list: NetworkList }> {
    const { confDir } = this.#config;
    const { chosen, unusable } = await readConfigDirectory(confDir);
    const seen = JSON.stringify([chosen, unusable]);
    if (seen !== this.#seen) {
      this.#seen = seen;
      for (const { file, reason } of unusable) this.#log.warn({ confDir, file, reason }, "CNI configuration unusable");
      if (chosen !== undefined) {
        const { file, list } = chosen;
        this.#log.info({ confDir, file, network: list.name, cniVersion: list.cniVersion }, "network configured");
      }
    }
    if (chosen !== undefined) return chosen;
    const [first] = unusable;
    const why = first === undefined ? "" : `; ${first.file} is unusable: ${first.reason}`;
    throw new RuntimeError("unavailable", `the network is not ready: no CNI configuration in ${confDir}${why}`, {
      hint: 'a network plugin puts it there; network = "loopback" in the config runs pods without a network',
    });
  }

  async #statusOf(list: NetworkList, signal: AbortSignal): Promise<string | undefined> {
    const key = JSON.stringify(list);
    const last = this.#status;
    if (last?.key === key && monotonicMs() - last.atMs < statusAgeMs) return last.failure;
    const failure = await stage("STATUS of network", statusLimitMs, signal, (limited) =>
      checkStatus(list, this.#places, limited),
    ).then(
      () => undefined,
      (thrown: unknown) => {
        if (codeOf(thrown) === "canceled") throw thrown;
        return messageOf(thrown);
      },
    );
    this.#status = { key, atMs: monotonicMs(), failure };
    return failure;
  }
}
