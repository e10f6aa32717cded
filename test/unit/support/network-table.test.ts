/** The tables of test/net/README.md name tests that are there, and have every chain, kind of traffic and fault. */
import { expect } from "chai";
import { missingTests, rowsOf, testsNamed } from "../../support/test-table.js";

const document = "test/net/README.md";
/** All but the table of commands. */
const rows = (): Promise<string[][]> => rowsOf(document, /^[^`-]/);
const named = (cells: readonly string[]): string[] => testsNamed(cells.at(-1) ?? "");
const plugins = ["bridge", "ptp", "host-local", "portmap", "bandwidth", "firewall", "loopback", "macvlan", "tuning"];
const kinds = [
  ...["host to pod", "pod to host", "pod to pod", "hairpin", "TCP", "UDP", "ICMP", "SCTP", "IPv6", "64 KiB"],
  ...["10,000 connections", "multicast"],
];
const faults = [
  ...[
    "no plugin",
    "crashes",
    "hangs",
    "rubbish",
    "no address",
    "configuration",
    "deleted by hand",
    "pool",
    "host port",
  ],
  "200 starts",
];

describe("the network table", () => {
  it("names tests that are there", async () => {
    const tests = (await rows()).flatMap(named);
    expect(tests).to.have.length.greaterThan(30);
    expect(await missingTests(tests, "test")).to.deep.equal([]);
  });

  it("has every plugin, kind of traffic and fault that was asked for, each with a test", async () => {
    const withTest = (await rows()).filter((cells) => named(cells).length > 0);
    const words = withTest.map(([first = ""]) => first).join("\n");
    expect([...plugins, ...kinds, ...faults].filter((word) => !words.includes(word))).to.deep.equal([]);
  });
});
