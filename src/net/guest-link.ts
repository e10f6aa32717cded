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
  const link = await native.readLink(netnsPath, interfaceName);
  if (link === null) {
    throw new RuntimeError("internal", `the plugins have made no interface "${interfaceName}" in the namespace`);
  }
  if (link.addresses.length === 0) {
    throw new RuntimeError("internal", `the plugins have given interface "${interfaceName}" no address`);
  }
  await native.redirectLinks(netnsPath, interfaceName, tapName);
  return { ...link, routes: inOrder(link.routes) };
}

/** Those without a gateway first: a gateway must be reachable when its route is added. */
function inOrder(routes: readonly LinkRoute[]): LinkRoute[] {
  return [...routes.filter(({ gateway }) => gateway === null), ...routes.filter(({ gateway }) => gateway !== null)];
}
