/**
 * A process that applies a tunnel's network and dies (SIGKILL) at its n-th change of the kernel's state, before or after
 * the kernel has made it: node doomed-tunnel.js JOURNAL DESIRED-JSON N before|after
 */
import type { DesiredNetwork } from '#src/desired-network.js';
import type { OpenNetlinkPort } from '#src/netlink/connection.js';
import { openRoutePort } from '#src/netlink/native-port.js';
import { RouteNetlink } from '#src/netlink/route-netlink.js';
import { TunnelNetwork } from '#src/tunnel-network.js';

const [journalPath = '', desired = '{}', number = '1', moment = 'before'] = process.argv.slice(2);
/** RTM_GET*: every fourth type from RTM_GETLINK (18) on changes nothing. */
const isChange = (datagram: Uint8Array) => (datagram[4] ?? 0) % 4 !== 2;

let changes = 0;
const open: OpenNetlinkPort = (events) => {
  const port = openRoutePort()(events);
  return {
    portId: port.portId,
    send(datagram) {
      const last = isChange(datagram) && ++changes === Number(number);
      if (last && moment === 'before') process.kill(process.pid, 'SIGKILL');
      port.send(datagram);
      if (last) process.kill(process.pid, 'SIGKILL');
    },
    close: () => port.close(),
  };
};

const network = await TunnelNetwork.open({ netlink: new RouteNetlink(open), journalPath });
await network.apply(JSON.parse(desired) as DesiredNetwork);
await network.undo();
