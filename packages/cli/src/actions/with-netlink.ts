import { RouteNetlink } from '@seikan/netconf';

/** A netlink socket for a moment. It does not keep the process running, and nothing else does in an action. */
export async function withNetlink<Result>(use: (netlink: RouteNetlink) => Promise<Result>): Promise<Result> {
  const netlink = new RouteNetlink();
  const alive = setInterval(() => undefined, 60_000);
  try {
    return await use(netlink);
  } finally {
    clearInterval(alive);
    netlink.close();
  }
}
