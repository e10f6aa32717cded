/** What can't be run, and who says so. */
import { SecurityProfile_ProfileType } from "../../../../src/gen/runtime/v1/api.js";
import { container, type Case } from "../case.js";

const program = (name: string, ...command: readonly string[]): Case =>
  container(name, { part: { command: [...command] } });
const never = "echo @@end\n";

export const errorCases: readonly Case[] = [
  program("program that is not there", "no-such-program"),
  program("program that is not there, by path", "/no/such/program"),
  program("program that is not executable", "/bin/not-executable"),
  program("program that is no program", "/bin/not-a-program"),
  program("program of another architecture", "/bin/other-architecture"),
  program("program without its interpreter", "/bin/no-interpreter"),
  program("program that is a directory", "/etc"),
  program("program that is empty", "/bin/empty"),
  program("program by a relative path", "./bin/true"),
  program("program named by nothing", ""),
  container("no command", { image: "no-command", part: { command: [], args: [] } }),
  container("arguments alone", { image: "no-command", part: { command: [], args: ["true"] } }),
  container("directory that is a file", { part: { command: ["true"], workingDir: "/file" } }),
  container("directory of the image that is a file", { image: "file-as-directory", part: { command: ["true"] } }),
  container("user that is unknown", { probe: never, security: { runAsUsername: "nobody-knows" } }),
  container("user of the image that is unknown", { probe: never, image: "user-unknown" }),
  container("group of the image that is unknown", { probe: never, image: "group-unknown" }),
  container("user of the image by name, without accounts", { probe: never, image: "no-accounts-name" }),
  container("group without a user", { probe: never, security: { runAsGroup: { value: 5n } } }),
  container("negative user", { probe: never, security: { runAsUser: { value: -1n } } }),
  container("seccomp profile that is not there", {
    probe: never,
    security: { seccomp: { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: "/no/such/profile" } },
  }),
  container("AppArmor profile", {
    probe: never,
    security: { apparmor: { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: "profile" } },
  }),
  container("device that is not there", {
    probe: never,
    part: { command: ["true"], devices: [{ hostPath: "/dev/not-there", containerPath: "/dev/x", permissions: "rwm" }] },
  }),
  container("image that is not there", { image: "not-pulled", probe: never }),
  container("memory too small", { probe: never, resources: { memoryLimitInBytes: 4096n } }),
];
