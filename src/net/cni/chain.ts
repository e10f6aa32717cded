import { statfs } from "node:fs/promises";
import { RuntimeError, messageOf } from "../../base/errors.js";
import type { NetworkList, PluginConfig } from "./network-list.js";
import { parseResult } from "./result.js";
import { runPlugin, type PluginCall, type PluginPlaces } from "./run-plugin.js";
import { isAtLeast, type CniVersion } from "./versions.js";

/** One sandbox in one network. */
export interface Member {
  readonly list: NetworkList;
  readonly containerId: string;
  readonly netnsPath: string;
  /** Name of its interface in that namespace: "eth0". */
  readonly interfaceName: string;
  /** CNI_ARGS. */
  readonly args: Readonly<Record<string, string>>;
  /** Values by capability ("portMappings"); a plugin gets those that it declares (CNI conventions). */
  readonly capabilities: Readonly<Record<string, unknown>>;
}

/** What a plugin has printed after ADD, to be handed to the next one, and to CHECK and DEL. */
export type RawResult = Readonly<Record<string, unknown>>;

/** ADD, plugin by plugin; `keep` gets each one's result before the next one starts. */
export async function addMember(
  member: Member,
  places: PluginPlaces,
  keep: (result: RawResult) => Promise<void>,
  signal: AbortSignal,
): Promise<RawResult> {
  let result: RawResult | undefined;
  for (const plugin of member.list.plugins) {
    const output = await runPlugin(callOf("ADD", member, plugin, result), places, signal);
    result = checkedResult(plugin.type, output, member.list.cniVersion);
    await keep(result);
  }
  if (result === undefined) throw new RuntimeError("internal", `network "${member.list.name}" has no plugins`);
  return result;
}

/** DEL, the last plugin first. Goes on after one that fails, and throws the first failure at the end. */
export async function deleteMember(
  member: Member,
  places: PluginPlaces,
  result: RawResult | undefined,
  signal: AbortSignal,
): Promise<void> {
  const there = await isNetns(member.netnsPath);
  const known = isAtLeast(member.list.cniVersion, "0.4.0") ? result : undefined;
  const failures: RuntimeError[] = [];
  for (const plugin of [...member.list.plugins].reverse()) {
    const call = callOf("DEL", { ...member, netnsPath: there ? member.netnsPath : "" }, plugin, known);
    try {
      // A DEL after an ADD that was killed may stumble over what is missing, and succeed the second time: bridge 1.1.
      await runPlugin(call, places, signal).catch(() => runPlugin(call, places, signal));
    } catch (thrown) {
      signal.throwIfAborted();
      failures.push(thrown instanceof RuntimeError ? thrown : new RuntimeError("internal", messageOf(thrown)));
    }
  }
  const [first] = failures;
  if (first !== undefined) throw first;
}

/** CHECK, from 0.4.0 on; nothing where the list turns it off. */
export async function checkMember(
  member: Member,
  places: PluginPlaces,
  result: RawResult,
  signal: AbortSignal,
): Promise<void> {
  if (!isAtLeast(member.list.cniVersion, "0.4.0") || member.list.disableCheck) return;
  for (const plugin of member.list.plugins) await runPlugin(callOf("CHECK", member, plugin, result), places, signal);
}

/** STATUS, from 1.1.0 on: throws what the first plugin that can't take members says. */
export async function checkStatus(list: NetworkList, places: PluginPlaces, signal: AbortSignal): Promise<void> {
  if (!isAtLeast(list.cniVersion, "1.1.0")) return;
  for (const { type, ...rest } of list.plugins) {
    const config = configOf(list, { type, ...rest });
    await runPlugin({ type, command: "STATUS", variables: {}, config }, places, signal);
  }
}

/**
 * GC, from 1.1.0 on: plugins drop what belongs to none of the members named. Goes on after one that fails, and throws the
 * first failure at the end.
 */
export async function collectGarbage(
  list: NetworkList,
  members: readonly { readonly containerId: string; readonly interfaceName: string }[],
  places: PluginPlaces,
  signal: AbortSignal,
): Promise<void> {
  if (!isAtLeast(list.cniVersion, "1.1.0") || list.disableGC) return;
  const valid = members.map(({ containerId, interfaceName }) => ({ containerID: containerId, ifname: interfaceName }));
  // The second name is that of the specification's first text, which some plugins go by.
  const named = { "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid };
  const failures: unknown[] = [];
  for (const plugin of list.plugins) {
    const config = { ...configOf(list, plugin), ...named };
    try {
      await runPlugin({ type: plugin.type, command: "GC", variables: {}, config }, places, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      failures.push(thrown);
    }
  }
  if (failures.length > 0) throw failures[0];
}

function callOf(
  command: PluginCall["command"],
  member: Member,
  plugin: PluginConfig,
  prevResult: RawResult | undefined,
): PluginCall {
  const declared = Object.entries(plugin.capabilities ?? {}).filter(([, wanted]) => wanted);
  const runtimeConfig = Object.fromEntries(
    declared.flatMap(([name]) => {
      const value = member.capabilities[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const config = {
    ...configOf(member.list, plugin),
    ...(Object.keys(runtimeConfig).length === 0 ? {} : { runtimeConfig }),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
  const args = Object.entries(member.args).map(([name, value]) => `${name}=${value}`);
  const variables = {
    CNI_CONTAINERID: member.containerId,
    CNI_NETNS: member.netnsPath,
    CNI_IFNAME: member.interfaceName,
    CNI_ARGS: args.join(";"),
  };
  return { type: plugin.type, command, variables, config };
}

/** CNI specification, section 3, "Deriving request configuration from plugin configuration". */
function configOf(list: NetworkList, plugin: PluginConfig): Record<string, unknown> {
  const { capabilities: _declared, ...rest } = plugin;
  return { ...rest, name: list.name, cniVersion: list.cniVersion };
}

/** A result that names no version is of the configuration's; the next plugin may refuse one that names none. */
function checkedResult(type: string, output: unknown, cniVersion: CniVersion): RawResult {
  if (typeof output !== "object" || output === null || Array.isArray(output)) {
    throw new RuntimeError("internal", `CNI plugin "${type}" ADD: it printed no result`);
  }
  try {
    const result = parseResult(output);
    return (result.cniVersion ?? "") === "" ? { ...result, cniVersion } : result;
  } catch (cause) {
    throw new RuntimeError("internal", `CNI plugin "${type}" ADD: its result is malformed: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** statfs(2), NSFS_MAGIC. */
const nsfs = 0x6e736673;

/** False when somebody has taken the namespace away; DEL then gets none (CNI specification, section 2: CNI_NETNS). */
async function isNetns(path: string): Promise<boolean> {
  return await statfs(path).then(
    ({ type }) => type === nsfs,
    () => false,
  );
}
