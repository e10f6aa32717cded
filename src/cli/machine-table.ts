import type { Config } from "../config/config.js";
import type { Finding } from "./finding.js";
import { devicePluginFinding } from "./device-plugin-finding.js";
import { diskFinding } from "./disk-finding.js";
import { driverFindings, hostFindings, networkFindings } from "./findings.js";
import { unpackersUsersFinding } from "./image-findings.js";
import { rightsFindings } from "./rights-findings.js";
import { table } from "./table.js";

/** What this machine can do, as a table; the driver that would be taken; what is missing for any Box to run. */
export async function machineTable(config: Config): Promise<{ text: string; chosen: string; lacking: string[] }> {
  const driver = await driverFindings(config);
  const findings = [
    ...driver.findings,
    ...(await hostFindings(config)),
    ...(await rightsFindings(config)),
    ...(await networkFindings(config)),
    await unpackersUsersFinding(config),
    await diskFinding(config),
    ...(await devicePluginFinding(config)),
  ];
  const rows = findings.map((finding) => [finding.subject, stateOf(finding), finding.detail, finding.remedy ?? ""]);
  const text = table([["WHAT", "STATE", "FOUND", "HOW TO GET IT"], ...rows]);
  const lacking = findings.filter(({ verdict }) => verdict === "missing").map(({ subject }) => subject);
  return { text, chosen: driver.chosen, lacking };
}

function stateOf({ verdict }: Finding): string {
  return verdict === "optional" ? "missing (optional)" : verdict;
}
