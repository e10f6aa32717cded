/**
 * What is known of coding agents: how one is given its work, and where it looks for skills whoever's HOME that is. Their programs are
 * in the user's image. It is the part of the runtime's own table (src/agents/presets) that makes a pod.
 */
export interface Preset {
  /** Works on the prompt, its last argument, without a terminal, and ends. */
  readonly task: readonly string[];
  /** Besides `/skills`. */
  readonly skills: readonly string[];
  /** Where it has to be told of `/skills`. */
  readonly skillsEnvironment: Readonly<Record<string, string>>;
}

export const skillsDirectory = "/skills";

export const presets: ReadonlyMap<string, Preset> = new Map(
  Object.entries<Preset>({
    "claude-code": { task: ["claude", "-p"], skills: ["/etc/claude-code/.claude/skills"], skillsEnvironment: {} },
    codex: {
      // The Box is its sandbox: its own would want what a guest has not.
      task: ["codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access"],
      ...{ skills: ["/etc/codex/skills"], skillsEnvironment: {} },
    },
    opencode: {
      task: ["opencode", "run"],
      skills: [],
      skillsEnvironment: { OPENCODE_CONFIG_CONTENT: JSON.stringify({ skills: { paths: [skillsDirectory] } }) },
    },
    a3s_code: { task: ["a3s", "code", "exec"], skills: [], skillsEnvironment: {} },
  }),
);
