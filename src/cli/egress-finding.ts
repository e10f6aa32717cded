import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../base/errors.js";
import type { Config } from "../config/config.js";
import { loadNative } from "../native/addon.js";
import { applyRules } from "../net/egress/nft.js";
import { compileEgress, planEgress } from "../net/egress/policy.js";
import { rulesetOf } from "../net/egress/ruleset.js";
import type { Finding } from "./finding.js";

const limitMs = 20_000;
const kernel = "modprobe -a nf_tables nft_fwd_netdev nft_reject_netdev nft_nat nft_limit (Linux 5.16 or later)";

/** Whether nft and the kernel take the rules of sandboxes: all of them, in a namespace of its own. */
export async function egressFinding({ assets, sandboxes }: Config): Promise<Finding> {
  const subject = "egress rules";
  if (sandboxes.egress === "cni") return { subject, verdict: "OK", detail: 'off: sandboxes.egress = "cni"' };
  const directory = await mkdtemp(join(tmpdir(), "a3s-check-"));
  const netns = join(directory, "netns");
  try {
    const { native } = loadNative(assets.dir);
    try {
      await native.createNetns(netns);
      for (const name of ["a", "b"]) await native.createTap(netns, name);
      await applyRules(netns, sample(), AbortSignal.timeout(limitMs));
      return { subject, verdict: "OK", detail: "nft is there, and the kernel takes its rules" };
    } finally {
      await native.removeNetns(netns);
    }
  } catch (thrown) {
    const detail = messageOf(thrown);
    const remedy = detail.includes("is not there") ? "apt install nftables" : kernel;
    return { subject, verdict: "optional", detail: `no sandbox gets into a network: ${detail}`, remedy };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** With every kind of rule in it. */
function sample(): string {
  const wanted = { allowOut: ["example.org", "192.0.2.1", "2001:db8::1"], denyOut: ["198.51.100.0/24"] };
  const spec = planEgress(wanted, { mayOpen: [], mayOpenNode: false, nameServers: [] });
  const addresses = { 4: ["10.0.0.2"], 6: ["fd00::2"] };
  const ends = { outer: "a", inner: "b", mac: "02:00:00:00:00:01", addresses };
  return rulesetOf(compileEgress(spec, []), ends, { 4: [], 6: [] });
}
