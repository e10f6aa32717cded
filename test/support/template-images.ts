/** The images of the templates, which the set-up has made from the distribution's packages. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { imageName, type TemplateName } from "../../scripts/images/build.js";
import type { Daemon } from "./daemon.js";
import { projectDirectory } from "./project.js";

/** `[templates.base] image` of a daemon that has it. */
export const baseImage = imageName("base");

export const interpreterImage = imageName("code-interpreter-v1");

/** The OCI archive. */
export async function templateArchive(template: TemplateName): Promise<string> {
  const path = join(projectDirectory, "build/assets/templates", `${template}.tar`);
  await access(path).catch((cause: unknown) => {
    throw new Error(`no ${path} (run the set-up)`, { cause });
  });
  return path;
}

/** Brings it into the daemon's store, as an operator does. */
export async function importTemplate(daemon: Daemon, template: TemplateName): Promise<void> {
  const done = await daemon.command("image import", await templateArchive(template));
  if (done.status !== 0) throw new Error(`image import ended with ${String(done.status)}: ${done.stderr}`);
}
