import { RuntimeError } from "../base/errors.js";
import type { LinkRoute, LinkState, Native } from "../native/addon.js";

/** Name of the tap in every sandbox's namespace. */
export const tapName = "tap0";

/**
 * Joins the interface that the plugins have made with the tap, and gives what the guest's end gets: MAC, MTU, addresses,
 * routes and neighbours, as they stand in the namespace (plugins set more there than they report). The interface keeps
 * its addresses: all that comes in goes to the tap before the namespace sees it, and plugins look for them at CHECK and
 * DEL.
 */
export async function joinTap(native: Native, netnsPath: string, interfaceName: string): Promise<LinkState> {
  const link = await requireLink(native, netnsPath, interfaceName);
  await native.redirectLinks(netnsPath, interfaceName, tapName);
  return { ...link, routes: orderedRoutes(link.routes) };
}

/** What the plugins have made of the interface; there must be something for a guest to have. */
export async function requireLink(native: Native, netnsPath: string, interfaceName: string): Promise<LinkState> {
  const link = await native.readLink(netnsPath, interfaceName);
  if (link === null) {
    throw new RuntimeError("internal", `the plugins have made no interface "${interfaceName}" in the namespace`);
  }
  if (link.addresses.length === 0) {
    throw new RuntimeError("internal", `the plugins have given interface "${interfaceName}" no address`);
  }
  return link;
}

/** Those without a gateway first: a gateway must be reachable when its route is added. */
export function orderedRoutes(routes: readonly LinkRoute[]): LinkRoute[] {
  return [...routes.filter(({ gateway }) => gateway === null), ...routes.filter(({ gateway }) => gateway !== null)];
}
