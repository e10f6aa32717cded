import { expect } from "chai";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentSkills } from "../../../../src/agents/skills/agent-skills.js";
import { newBoxId } from "../../../../src/base/ids.js";
import { createLogger } from "../../../../src/base/log.js";
import { neverAborted } from "../../../../src/base/signals.js";
import type { Pod } from "../../../../src/runtime/pod/pod.js";
import { skillsRoot } from "../../../../src/runtime/skills/annotation.js";
import type { Box } from "../../../../src/vmm/box.js";
import { eventually, limit } from "../../../support/wait.js";

describe("skills of pods that an earlier daemon has left", function () {
  this.timeout(limit(10_000));

  it("are told of in the log, and nothing else, where their directory can't be read", async () => {
    const state = await mkdtemp(join(tmpdir(), "a3s-skills-"));
    const lines: string[] = [];
    const unhandled: unknown[] = [];
    const heard = (thrown: unknown): number => unhandled.push(thrown);
    const before = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection").on("unhandledRejection", heard);
    try {
      const id = newBoxId();
      await mkdir(join(state, skillsRoot), { recursive: true });
      await writeFile(join(state, skillsRoot, id), "no directory");
      const skills = await AgentSkills.open({
        config: { state, handlers: {} },
        pods: { find: () => ({ id }) as unknown as Pod },
        native: { openIn: () => Promise.reject(new Error("nobody opens")), closeFd: () => Promise.resolve() },
        log: createLogger("warn", { write: (line) => void lines.push(line) }),
        closing: neverAborted,
      });
      skills.takeUp({ id } as unknown as Pod, { exited: new Promise(() => undefined) } as unknown as Box);
      await eventually("it is told", 2_000, () => lines.length > 0 || unhandled.length > 0 || undefined);
      expect(unhandled).to.deep.equal([]);
      expect(lines.join("")).to.contain(id).and.to.contain("skills could not be taken up").and.to.contain("ENOTDIR");
      expect(skills.list(id)).to.deep.equal([]);
    } finally {
      process.removeListener("unhandledRejection", heard);
      for (const one of before) process.on("unhandledRejection", one);
      await rm(state, { recursive: true });
    }
  });
});
