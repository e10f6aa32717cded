/** What a release is made of, as its bill of materials has it. */

/** How the part got into the release, in words of SPDX. */
export type Inclusion = "CONTAINS" | "STATIC_LINK";

export interface Part {
  readonly name: string;
  readonly version: string;
  /** An expression of SPDX, or `undefined` for a package of Debian, whose licences are in a text of its own. */
  readonly licence: string | undefined;
  readonly digest: { readonly algorithm: "SHA256" | "SHA512"; readonly hex: string };
  /** purl: "pkg:npm/ws@8.23.0". */
  readonly purl: string;
  readonly inclusion: Inclusion;
  /** More, in a sentence. */
  readonly comment?: string;
  /** By their names below `licenses/KIND/NAME`. */
  readonly texts: readonly LicenceText[];
  readonly kind: "debian" | "npm" | "crate" | "node" | "rust";
}

export interface LicenceText {
  readonly name: string;
  readonly text: string;
}

/** Where the tree has the licences of a part. */
export function licenceDirectory({ kind, name, version }: Pick<Part, "kind" | "name" | "version">): string {
  const directory = kind === "crate" || kind === "npm" ? `${name}-${version}` : name;
  return `licenses/${kind}/${directory.replaceAll("/", "+")}`;
}

/** One of each, in an order that does not depend on where they were found. */
export function sorted(parts: readonly Part[]): Part[] {
  const unique = new Map(parts.map((part) => [`${part.kind} ${part.name} ${part.version} ${part.inclusion}`, part]));
  return [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, part]) => part);
}

export function isLicenceFile(name: string): boolean {
  return /^(?:un)?licen[sc]e|^copying|^copyright|^notice/i.test(name) && !/\.(?:[cm]?[jt]s|rs|json|html)$/i.test(name);
}
