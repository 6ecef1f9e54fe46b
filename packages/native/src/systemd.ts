/** systemd's two protocols with its services: sockets passed at the start (sd_listen_fds), and notifications (sd_notify). */
import { Descriptor } from './descriptor.js';
import { UnixSocket } from './unix-socket.js';

const FIRST_PASSED = 3;

export interface PassedDescriptor {
  /** FileDescriptorName= of the socket unit; systemd's default is the unit's name. */
  readonly name: string;
  readonly descriptor: Descriptor;
}

/**
 * Takes over the descriptors that systemd passed to this very process, none when it passed none. To be called once;
 * `environment` is process.env, from which the caller should then delete LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES.
 */
export function takePassedDescriptors(environment: NodeJS.ProcessEnv): PassedDescriptor[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names = '' } = environment;
  if (Number(pid) !== process.pid || !/^[1-9]\d{0,3}$/.test(count ?? '')) return [];
  const given = names.split(':');
  return Array.from({ length: Number(count) }, (_, i) => {
    const name = given[i] ?? 'unknown';
    const descriptor = new Descriptor(FIRST_PASSED + i, `passed socket ${name}`);
    descriptor.setInheritable(false);
    descriptor.setNonBlocking(true);
    return { name, descriptor };
  });
}

/**
 * Sends a notification such as `READY=1\nSTATUS=Initialization Sequence Completed`. Returns false when nobody listens
 * (NOTIFY_SOCKET is not set, or its owner is gone): a service may run without systemd.
 */
export function notifySystemd(environment: NodeJS.ProcessEnv, state: string): boolean {
  const name = environment['NOTIFY_SOCKET'];
  if (name === undefined || !/^[/@]./.test(name)) return false;
  const address = name.startsWith('@') ? { abstract: name.slice(1) } : { path: name };
  let socket: UnixSocket;
  try {
    socket = UnixSocket.connect(address, { type: 'datagram' });
  } catch (error) {
    if (isSystemError(error)) return false;
    throw error;
  }
  const bytes = new TextEncoder().encode(state);
  const sent = socket.send(bytes);
  socket.close();
  return sent === bytes.length;
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}
