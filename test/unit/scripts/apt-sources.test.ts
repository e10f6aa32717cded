import { expect } from "chai";
import { describe, it } from "mocha";
import {
  mainArchive,
  parseDeb822,
  parseOneLine,
  renderSources,
  securityArchive,
  withSuites,
} from "../../../scripts/setup/apt/sources.js";

const deb822 = `Types: deb
# a comment between fields
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/k.gpg

Enabled: no
Types: deb
URIs: http://other.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
`;

describe("the machine's apt sources", () => {
  it("are read from deb822 stanzas, without disabled ones and source packages", () => {
    const sources = parseDeb822(deb822);
    expect(sources.map((source) => source.uris)).to.deep.equal([["http://mirror.example/debian"]]);
    expect(sources[0]?.options.get("signed-by")).to.equal("/usr/share/keyrings/k.gpg");
  });

  it("are read from one-line entries with options", () => {
    const text =
      "# deb http://off.example/debian trixie main\n" +
      "deb [ arch=amd64 signed-by=/k.gpg trusted=yes ] https://mirror.example/debian trixie main contrib # note\n" +
      "deb-src https://mirror.example/debian trixie main\n";
    const [source, ...others] = parseOneLine(text);
    expect(others).to.deep.equal([]);
    expect(source).to.deep.include({ uris: ["https://mirror.example/debian"], suites: ["trixie"] });
    expect([...(source?.options ?? [])]).to.deep.equal([
      ["signed-by", "/k.gpg"],
      ["trusted", "yes"],
    ]);
  });

  it("give the archive of another suite, with the same mirror and key", () => {
    const archive = mainArchive(parseDeb822(deb822), "bookworm");
    expect(archive).to.not.equal(undefined);
    if (archive === undefined) return;
    expect(renderSources([withSuites(archive, ["bookworm-backports"])])).to.equal(
      "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n" +
        "signed-by: /usr/share/keyrings/k.gpg\n",
    );
  });

  it("give the archive of security updates, where they name one", () => {
    const text = "deb https://m.example/debian trixie main\ndeb https://m.example/fixes trixie-security main\n";
    expect(securityArchive(parseOneLine(text), "trixie")?.uris).to.deep.equal(["https://m.example/fixes"]);
    expect(securityArchive(parseDeb822(deb822), "bookworm")).to.equal(undefined);
  });

  it("keep a key that stands in the source itself", () => {
    const inline =
      "Types: deb\nURIs: http://m.example/debian\nSuites: trixie\nComponents: main\n" +
      "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n";
    const again = parseDeb822(renderSources(parseDeb822(inline)));
    expect(again).to.deep.equal(parseDeb822(inline));
    expect(again[0]?.options.get("signed-by")).to.contain("\n .\n abc");
  });

  it("have no main archive where only other vendors are listed", () => {
    const vendors = parseOneLine("deb https://vendor.example nodistro main\n");
    expect(mainArchive(vendors, "trixie")).to.equal(undefined);
  });
});
