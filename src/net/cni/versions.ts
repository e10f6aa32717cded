/** Versions of the CNI specification that are spoken, oldest first. */
export const cniVersions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

export type CniVersion = (typeof cniVersions)[number];

export function isCniVersion(text: string): text is CniVersion {
  return cniVersions.some((known) => known === text);
}

export function isAtLeast(version: CniVersion, least: CniVersion): boolean {
  return cniVersions.indexOf(version) >= cniVersions.indexOf(least);
}
