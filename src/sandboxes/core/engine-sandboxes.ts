import { codeOf, RuntimeError } from "../../base/errors.js";
import { SharedWork } from "../../base/shared-work.js";
import { stage } from "../../base/stage.js";
import type { PullWatch } from "../../image/image-store.js";
import type { EgressFacts } from "../../net/egress/keeper.js";
import type { EgressWanted } from "../../net/egress/policy.js";
import { egressFacts, setEgress } from "../../runtime/pod/egress.js";
import type { SkillFact } from "../../runtime/skills/pod-skills.js";
import type { PortConnection } from "../../vmm/agent/agent-client.js";
import { audited } from "./audit.js";
import type { Caller } from "./caller.js";
import type { Core } from "./core.js";
import { createSandbox, firstRecord } from "./create.js";
import type { Files } from "./file.js";
import type { Lives } from "./lives.js";
import { logLines, type SandboxLogLine } from "./logs.js";
import { newSandboxName, sandboxName } from "./names.js";
import { fitsFilter, pageOf } from "./pages.js";
import { usableNameServers } from "./name-servers.js";
import { checkLife, egressOf, planSandbox } from "./plan.js";
import type { Processes } from "./process.js";
import type {
  Page,
  PageWanted,
  SandboxFilter,
  SandboxName,
  SandboxUsage,
  SandboxView,
  SandboxWanted,
} from "./sandbox.js";
import type { Sandboxes } from "./sandboxes.js";
import { Quotas, Starts } from "./tenants.js";
import { UsageMeter } from "./usage.js";
import { watchedFiles, watchedProcesses, type Watch } from "./watched.js";
import { liveSandbox, viewOf, type LiveSandbox } from "./view.js";

/** The gateway to models, as programs in a sandbox reach it (docs/adr/0115). */
const gatewayUrl = "http://127.0.0.1:4089";
const stepLimitMs = 20_000;
const highestPort = 65_535;

/** Sandboxes that are pods of the engine, each with one container (docs/adr/0104). */
export class EngineSandboxes implements Sandboxes {
  readonly #core: Core;
  readonly #lives: Lives;
  readonly #quotas: Quotas;
  readonly #starts: Starts;
  readonly #meter = new UsageMeter();
  readonly #creations = new SharedWork<SandboxName, SandboxView>({ outlivesCallers: true });

  constructor(core: Core, lives: Lives) {
    this.#core = core;
    this.#lives = lives;
    this.#quotas = new Quotas(core.config);
    this.#starts = new Starts(core.config, Date.now);
  }

  async create(caller: Caller, wanted: SandboxWanted, signal: AbortSignal, watch?: PullWatch): Promise<SandboxView> {
    const { config, engine, figures, log, records } = this.#core;
    const id = newSandboxName();
    try {
      const view = await audited(log, caller, { what: "create", sandbox: id, detail: wanted.template }, async () => {
        const { image, llm } = engine.config;
        const nameServers = await usableNameServers(config.nameServers);
        const { defaultRegistry } = image;
        const plan = planSandbox(caller, wanted, { config, defaultRegistry, llm, gateway: gatewayUrl, nameServers });
        return await this.#creations.run(id, signal, async () => {
          const record = firstRecord(id, caller, plan, Date.now());
          this.#quotas.take(record, records.ofTenant(caller.tenant));
          try {
            this.#starts.take(caller.tenant);
            await createSandbox(record, plan, this.#core, { caller: signal, watch });
          } finally {
            this.#quotas.give(id);
          }
          const live = this.#live(id);
          this.#lives.watch(live.record);
          if (signal.aborted) this.#lives.endSoon(id, "unfinished"); // nobody has been told of it
          return viewOf(live);
        });
      });
      figures.created("ok");
      return view;
    } catch (thrown) {
      figures.created(codeOf(thrown));
      throw thrown;
    }
  }

  get(caller: Caller, id: string): SandboxView {
    return viewOf(this.#require(caller, id));
  }

  held(id: string): SandboxView {
    const name = sandboxName(id);
    if (name === undefined) throw notFound(id);
    return viewOf(this.#live(name));
  }

  list(caller: Caller, filter: SandboxFilter, page: PageWanted): Page<SandboxView> {
    const views = this.#core.records
      .ofTenant(caller.tenant)
      .flatMap((record) => liveSandbox(record, this.#core) ?? [])
      .map(viewOf);
    return pageOf(
      views.filter((view) => fitsFilter(view, filter)),
      page,
    );
  }

  async extend(caller: Caller, id: string, lifeMs: number, only: "later" | "any"): Promise<SandboxView> {
    const { config, log, records, engine } = this.#core;
    return await audited(log, caller, { what: "extend", sandbox: id, detail: `${String(lifeMs)} ms` }, async () => {
      checkLife(lifeMs, config);
      const { record } = this.#require(caller, id);
      const wanted = Date.now() + lifeMs;
      const endsAtMs = only === "later" ? Math.max(record.endsAtMs, wanted) : wanted;
      const changed = await stage("record end time", stepLimitMs, engine.closing, () =>
        records.update(record.id, { endsAtMs, usedAtMs: Date.now() }),
      );
      if (changed !== undefined && changed.end === undefined) this.#lives.watch(changed);
      return viewOf(this.#live(record.id));
    });
  }

  async end(caller: Caller, id: string, signal: AbortSignal): Promise<void> {
    await audited(this.#core.log, caller, { what: "end", sandbox: id }, async () => {
      const { record } = this.#require(caller, id);
      await this.#lives.end(record.id, "request", signal);
    });
  }

  async pause(caller: Caller, id: string, signal: AbortSignal): Promise<void> {
    await audited(this.#core.log, caller, { what: "pause", sandbox: id }, async () => {
      await this.#lives.pause(this.#require(caller, id).record.id, signal);
    });
  }

  async resume(caller: Caller, id: string, signal: AbortSignal): Promise<SandboxView> {
    return await audited(this.#core.log, caller, { what: "resume", sandbox: id }, async () => {
      const { record } = this.#require(caller, id);
      await this.#lives.resume(record.id, signal);
      return viewOf(this.#live(record.id));
    });
  }

  async setEgress(caller: Caller, id: string, wanted: EgressWanted, signal: AbortSignal): Promise<SandboxView> {
    const { config, engine, log } = this.#core;
    const rules = wanted.allowOut.length + wanted.denyOut.length;
    return await audited(log, caller, { what: "egress", sandbox: id, detail: `${String(rules)} rules` }, async () => {
      const { pod, record } = this.#require(caller, id);
      this.#lives.uses.touch(record.id);
      const spec = egressOf(wanted, config, await usableNameServers(config.nameServers));
      await setEgress(pod, spec, engine, signal);
      return viewOf(this.#live(record.id));
    });
  }

  skills(caller: Caller, id: string): readonly SkillFact[] {
    return this.#core.engine.skills.list(this.#require(caller, id).pod.id);
  }

  async egress(caller: Caller, id: string, signal: AbortSignal): Promise<EgressFacts> {
    const { pod } = this.#require(caller, id);
    return await egressFacts(pod, this.#core.engine, signal);
  }

  async usage(caller: Caller, id: string, signal: AbortSignal): Promise<SandboxUsage> {
    const live = this.#require(caller, id);
    return await this.#meter.read(live, this.#core.engine, signal);
  }

  async logs(caller: Caller, id: string): Promise<readonly SandboxLogLine[]> {
    const { record } = this.#require(caller, id);
    const { engine, insides } = this.#core;
    const processes = insides.processes(record.id).list();
    return await stage("read its log", stepLimitMs, engine.closing, () =>
      logLines(engine.config.root, record, processes),
    );
  }

  processes(caller: Caller, id: string): Processes {
    const { record } = this.#require(caller, id);
    return watchedProcesses(this.#core.insides.processes(record.id), this.#watch(caller, record.id));
  }

  files(caller: Caller, id: string): Files {
    const { record } = this.#require(caller, id);
    return watchedFiles(this.#core.insides.files(record.id), this.#watch(caller, record.id));
  }

  async connectPort(caller: Caller, id: string, port: number, signal: AbortSignal): Promise<PortConnection> {
    if (!Number.isInteger(port) || port < 1 || port > highestPort) {
      throw new RuntimeError("invalidArgument", `${String(port)} is not a port`);
    }
    const { pod, record } = this.#require(caller, id);
    this.#lives.uses.touch(record.id);
    return (await pod.liveBox(signal)).agent.connectPort(port, signal);
  }

  /** Resolves when no creation is under way. */
  async idle(): Promise<void> {
    await this.#creations.idle();
  }

  #watch(caller: Caller, id: SandboxName): Watch {
    const { uses } = this.#lives;
    uses.touch(id);
    return {
      audited: (deed, work) => audited(this.#core.log, caller, { ...deed, sandbox: id }, work),
      begin: () => uses.begin(id),
      used: async (work) => {
        const end = uses.begin(id);
        try {
          return await work();
        } finally {
          end();
        }
      },
    };
  }

  /** Another tenant's is as one that never was: the answers are the same. */
  #require(caller: Caller, id: string): LiveSandbox {
    const name = sandboxName(id);
    const record = name === undefined ? undefined : this.#core.records.get(name);
    const live = record?.tenant === caller.tenant ? liveSandbox(record, this.#core) : undefined;
    if (live === undefined) throw notFound(id);
    return live;
  }

  #live(id: SandboxName): LiveSandbox {
    const record = this.#core.records.get(id);
    const live = record === undefined ? undefined : liveSandbox(record, this.#core);
    if (live === undefined) throw notFound(id);
    return live;
  }
}

function notFound(id: string): RuntimeError {
  return new RuntimeError("notFound", `sandbox ${JSON.stringify(id.slice(0, 64))} was not found`);
}
