/** The bill of materials. Source: SPDX 2.3, JSON. */
import { createHash } from "node:crypto";
import { licenceDirectory, type Part } from "./parts.js";

export interface SbomWish {
  readonly name: string;
  readonly version: string;
  readonly created: Date;
  readonly parts: readonly Part[];
  /** Of the tree's list of digests. */
  readonly digest: string;
}

const top = "SPDXRef-Package-a3s-box";

export function sbomOf({ name, version, created, parts, digest }: SbomWish): string {
  const packages = parts.map((part) => ({ part, id: idOf(part) }));
  const document = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name,
    documentNamespace: `urn:a3s-box:sbom:${name}:${createHash("sha256")
      .update(`${digest}${JSON.stringify(parts)}`)
      .digest("hex")}`,
    creationInfo: {
      created: created.toISOString().replace(/\.\d+Z$/, "Z"),
      creators: [`Tool: a3s-box-release-${version}`],
    },
    documentDescribes: [top],
    packages: [own(version, digest), ...packages.map(({ part, id }) => packageOf(part, id))],
    hasExtractedLicensingInfos: packages
      .filter(({ part }) => part.licence === undefined)
      .map(({ part, id }) => ({
        licenseId: licenceIdOf(id),
        name: `The licences of Debian's package ${part.name}`,
        extractedText: part.texts.map(({ text }) => text).join("\n"),
      })),
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: top },
      ...packages.map(({ part, id }) => ({
        spdxElementId: top,
        relationshipType: part.inclusion,
        relatedSpdxElement: id,
      })),
    ],
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

function own(version: string, digest: string): object {
  return {
    SPDXID: top,
    name: "a3s-box-cri-runtime",
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "Apache-2.0",
    licenseDeclared: "Apache-2.0",
    copyrightText: "NOASSERTION",
    checksums: [{ algorithm: "SHA256", checksumValue: digest }],
    comment: "The digest is that of SHA256SUMS without its line for the bill of materials.",
  };
}

function packageOf(part: Part, id: string): object {
  const licence = part.licence ?? licenceIdOf(id);
  const where = part.texts.length === 0 ? "Published without a licence's text." : `Licence: ${licenceDirectory(part)}.`;
  return {
    SPDXID: id,
    name: part.name,
    versionInfo: part.version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: licence,
    licenseDeclared: licence,
    copyrightText: "NOASSERTION",
    checksums: [{ algorithm: part.digest.algorithm, checksumValue: part.digest.hex }],
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: part.purl }],
    comment: [...(part.comment === undefined ? [] : [part.comment]), where].join(" "),
  };
}

/** Letters, digits, "." and "-". */
function idOf({ kind, name, version, inclusion }: Part): string {
  const text = `${kind}-${name}-${version}${inclusion === "STATIC_LINK" ? "-static" : ""}`;
  return `SPDXRef-${text.replaceAll(/[^A-Za-z0-9.-]/g, "-")}`;
}

function licenceIdOf(id: string): string {
  return id.replace(/^SPDXRef-/, "LicenseRef-");
}
