import { expect } from "chai";
import { configOf } from "../../../../src/config/load.js";
import type { RuntimeHandler } from "../../../../src/gen/runtime/v1/api.js";
import { status } from "../../../../src/cri/rpc/status.js";
import { ApparmorProfiles } from "../../../../src/runtime/container/apparmor-profiles.js";
import { LayeredRoots } from "../../../../src/runtime/volumes/layered-roots.js";
import { call, makeWorld, type World } from "../../runtime/pod/fakes.js";

describe("Status", () => {
  let world: World;
  beforeEach(async () => {
    world = await makeWorld();
  });
  afterEach(async () => {
    await world.remove();
  });

  /** Handlers under a configuration, on a node whose drivers can what `can` says. */
  async function handlers(
    settings: Readonly<Record<string, unknown>>,
    can: { mapsIds?: readonly string[]; recursive?: readonly string[] },
  ): Promise<RuntimeHandler[]> {
    const config = configOf(new Map(Object.entries(settings).map(([name, value]) => [name, { value, from: "test" }])));
    Object.assign(world.boxes, {
      idMapping: (driver = "qemu") => ({ by: can.mapsIds?.includes(driver) === true ? "mounts" : "none", why: "" }),
      mountsRecursiveReadOnly: (driver = "qemu") => can.recursive?.includes(driver) === true,
    });
    const { runtimeHandlers } = await status({ verbose: false }, call(), { ...world.deps, config });
    return runtimeHandlers;
  }

  const standIn = { driver: "native" } as const;

  it("tells each handler's features by its own driver, the one without a name by the daemon's", async () => {
    const found = await handlers(
      { handlers: { host: standIn, fast: { driver: "krun" } } },
      { mapsIds: ["qemu"], recursive: ["qemu", "krun"] },
    );
    const both = { recursiveReadOnlyMounts: true, userNamespaces: true };
    expect(found).to.deep.equal([
      { name: "", features: both },
      { name: "microvm", features: both },
      { name: "host", features: { recursiveReadOnlyMounts: false, userNamespaces: false } },
      { name: "fast", features: { recursiveReadOnlyMounts: true, userNamespaces: false } },
    ]);
  });

  it("promises no mount that pods would lack which live on the host whatever their handler", async () => {
    const recursive = async (hostNamespaces: string, can: readonly string[]) =>
      (await handlers({ host_namespaces: hostNamespaces }, { recursive: can })).map(
        ({ features }) => features?.recursiveReadOnlyMounts,
      );
    expect(await recursive("native", ["qemu"])).to.deep.equal([false, false]);
    expect(await recursive("native", ["qemu", "native"])).to.deep.equal([true, true]);
    expect(await recursive("refuse", ["qemu"])).to.deep.equal([true, true]);
  });

  it("hides the credentials of registries from who asks for everything, and says which registries have some", async () => {
    const auth = { "registry.test": { username: "robot-name", password: "robot-password" } };
    const config = configOf(new Map([["image.auth", { value: auth, from: "test" }]]));
    expect(JSON.stringify(config)).to.contain("robot-password");
    Object.assign(world.boxes, { owners: { mapped: true } });
    Object.assign(world.deps.containers, {
      layeredRoots: new LayeredRoots("shared"),
      apparmor: new ApparmorProfiles({ assetsDir: "/nowhere", directory: undefined, always: false }),
    });
    const { info } = await status({ verbose: true }, call(), { ...world.deps, config });
    expect(JSON.parse(info["fileServers"] ?? "")).to.include({ user: "own" });
    expect(JSON.parse(info["apparmor"] ?? "")).to.include({ profiles: "unknown" });
    expect(JSON.parse(info["imageLayers"] ?? "")).to.include({ layers: "shared" });
    expect(JSON.stringify(info)).to.not.match(/robot-(name|password)/);
    expect(JSON.parse(info["config"] ?? ""))
      .to.have.nested.property("image.auth")
      .that.has.all.keys("registry.test");
  });

  it("has the supplemental groups policy for the whole node", async () => {
    const { features } = await status({ verbose: false }, call(), world.deps);
    expect(features?.supplementalGroupsPolicy).to.equal(true);
  });
});
