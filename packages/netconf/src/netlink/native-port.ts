/** The netlink sockets of the native addon on this thread's event loop. */
import { NETLINK_BUFFER, NetlinkSocket, resultName, Watch } from '@seikan/native';

import type { NetlinkPort, NetlinkPortEvents, OpenNetlinkPort } from './connection.js';

/** How many datagrams one turn of the event loop takes. */
const BATCH = 64;

/** rtnetlink, joined to multicast groups (RTNLGRP_*). It does not keep the process running by itself. */
export function openRoutePort(groups: readonly number[] = []): OpenNetlinkPort {
  return (events) => openPort(NetlinkSocket.open({ protocol: 'route', groups }), events);
}

/** Generic netlink; groups are numbers that the family's description names. */
export function openGenericPort(groups: readonly number[] = []): OpenNetlinkPort {
  return (events) => openPort(NetlinkSocket.open({ protocol: 'generic', groups }), events);
}

function openPort(socket: NetlinkSocket, events: NetlinkPortEvents): NetlinkPort {
  const buffer = new Uint8Array(NETLINK_BUFFER);
  const watch = new Watch(socket.descriptor.fd, { readable: true }, () => {
    for (let taken = 0; taken < BATCH && !socket.descriptor.closed; taken++) {
      const length = socket.receive(buffer);
      if (length === 0) return;
      if (length > 0) events.datagram(buffer.slice(0, length));
      else events.failure(new Error(`netlink: ${resultName(length)}`));
    }
  });
  watch.keepRunning(false);
  return {
    portId: socket.port,
    send: (datagram) => socket.send(datagram),
    close() {
      watch.close();
      socket.close();
    },
  };
}
