import type { GrpcProtocol } from "../protocol.js";

/** "process.v1.ProcessService", of "/process.v1.ProcessService/Start". */
export function serviceNames(services: readonly Pick<GrpcProtocol, "service">[]): string[] {
  const names = services.flatMap(({ service }) => Object.values(service).map(({ path }) => path.split("/")[1] ?? ""));
  return [...new Set(names)];
}
