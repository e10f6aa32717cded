import { expect } from "chai";
import { access, chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createLogger } from "../../../../src/base/log.js";
import { neverAborted } from "../../../../src/base/signals.js";
import type { LinkState, Native } from "../../../../src/native/addon.js";
import { DnsSockets } from "../../../../src/net/egress/dns/sockets.js";
import { EgressKeeper, type EgressPlace } from "../../../../src/net/egress/keeper.js";
import type { EgressSpec } from "../../../../src/net/egress/policy.js";
import { RefusedTotals } from "../../../../src/net/egress/refused-totals.js";
import { eventually } from "../../../support/wait.js";

const place: EgressPlace = { id: "box", netnsPath: "/netns/box", interfaceName: "eth0" };
const rules: EgressSpec = { allow: [], names: [], deny: [], rest: "allow", nameServers: [], opensNode: false };
const link: LinkState = {
  ...{ index: 3, mac: "aa:bb:cc:00:00:01", mtu: 1400, promiscuous: false, allMulticast: false, transmitQueue: 0 },
  ...{ addresses: ["10.1.0.5/24"], routes: [], neighbours: [] },
};
const nothing = (): Promise<void> => Promise.resolve();
const native = {
  raiseLinks: nothing,
  addLinkEnd: nothing,
  readLink: () => Promise.resolve(link),
} as unknown as Native;

describe("the keeper of what Boxes may reach", () => {
  let directory: string;
  let keeper: EgressKeeper;
  const path = process.env["PATH"] ?? "";
  const open = DnsSockets.open.bind(DnsSockets);

  /** In the place of nsenter and nft: the kernel has refused seven packets. `hold`: the next question waits while `held` is there. */
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "keeper-"));
    process.env["PATH"] = `${directory}${delimiter}${path}`;
    const counter = { name: "refused-denied", packets: 7 };
    await writeFile(join(directory, "listing"), JSON.stringify({ nftables: [{ counter }] }));
    const script = `#!/bin/sh
cd ${directory}
if mv hold held 2>/dev/null; then while [ -e held ]; do sleep 0.01; done; fi
case "$*" in *list*) cat listing ;; *) cat >/dev/null ;; esac
`;
    await writeFile(join(directory, "nsenter"), script);
    await chmod(join(directory, "nsenter"), 0o755);
    keeper = new EgressKeeper(native, createLogger("error", { write: () => undefined }));
  });
  afterEach(async () => {
    process.env["PATH"] = path;
    DnsSockets.open = open;
    await keeper.close();
    await rm(directory, { recursive: true });
  });

  it("counts once what was refused to a Box whose network goes while somebody asks for it", async () => {
    await keeper.join(place, rules, neverAborted);
    await writeFile(join(directory, "hold"), "");
    const asked = keeper.facts(place, neverAborted);
    await eventually("the question", 5_000, () => access(join(directory, "held")).then(() => true));
    await keeper.forget(place.id);
    await rm(join(directory, "held"));
    expect((await asked).refused).to.deep.equal({ denied: 7 });
    expect(await keeper.totals()).to.deep.equal({ denied: 7 });
  });

  it("counts nothing of a Box whose network it has forgotten, though its rules still stand", async () => {
    await keeper.join(place, rules, neverAborted);
    await keeper.forget(place.id);
    expect((await keeper.facts(place, neverAborted)).refused).to.deep.equal({ denied: 7 });
    expect(await keeper.totals()).to.deep.equal({ denied: 7 });
  });

  it("leaves no socket in a network that goes while it is opened", async () => {
    const sockets = new DnsSockets();
    let isOpen = true;
    sockets[Symbol.asyncDispose] = () => {
      isOpen = false;
      return Promise.resolve();
    };
    DnsSockets.open = async () => {
      await keeper.forget(place.id);
      return sockets;
    };
    const joined = keeper.join(place, { ...rules, names: ["example.org"], rest: "deny" }, neverAborted);
    expect(await joined.catch((thrown: unknown) => String(thrown))).to.match(/has gone/);
    expect(isOpen).to.equal(false);
  });
});

describe("what was refused in all", () => {
  it("is not more for a count that is told of late", () => {
    const totals = new RefusedTotals();
    for (const denied of [5, 7, 5, 8]) totals.read("box", { denied });
    expect(totals.all).to.deep.equal({ denied: 8 });
  });
});
