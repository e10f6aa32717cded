import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isThere } from "../base/is-there.js";
import type { Config } from "../config/config.js";
import { defaultApparmorProfile } from "../runtime/spec/apparmor.js";
import type { Finding } from "./finding.js";

const subject = "AppArmor profiles";
const enabled = "/sys/module/apparmor/parameters/enabled";

/** Whether containers' profiles can be applied: in Boxes by their kernel, which only they can tell, and by the host's. */
export async function apparmorFinding({ assets, sandbox }: Config, of = enabled): Promise<Finding> {
  const profile = join(assets.dir, "apparmor", defaultApparmorProfile);
  if (!(await isThere(profile))) {
    return { subject, verdict: "optional", detail: `no ${profile}`, remedy: "npm run quickstart sets it up" };
  }
  const onHost = (await readFile(of, "utf8").catch(() => "")).trim() === "Y";
  const directory = sandbox.apparmorProfiles ?? "nowhere";
  const detail = onHost
    ? `in Boxes with a kernel of ours, and pods of the host; Localhost: loaded here, or in ${directory}`
    : `in Boxes with a kernel of ours; this machine's has none: Localhost is in ${directory}`;
  return { subject, verdict: "OK", detail };
}
