/**
 * The object `…/dco` of a device with offload: an unprivileged client's peers and keys, handed to the kernel. Calls answer
 * at once, as in the original; what the kernel refuses or reports goes through the pipe.
 */
import { type Call, DbusInterface } from '@seikan/dbus';
import { type KernelTunnel, type OffloadEvent, parseSocketAddress } from '@seikan/dco';
import { socketProtocol, UnixSocket } from '@seikan/native';

import type { DcoRequest } from '../dco-port.js';
import { netcfgError, reasonOf } from '../errors.js';
import { CHANGE_ARGUMENTS, LOG_ARGUMENTS, NETCFG } from '../names.js';
import { KeyConfigError, parseKeyConfig } from './key-config.js';
import { deletedMessage, errorMessage, peerMessage } from './pipe-message.js';

const LARGEST_PEER_ID = 0xff_ffff;
const LONGEST_KEY_CONFIG = 4_096;

export class DcoObject {
  readonly #tunnel: KernelTunnel;
  readonly #log: DcoRequest['log'];
  readonly authorize: DcoRequest['authorize'];
  readonly #pipe: UnixSocket;
  /** The client's end, until it is fetched. */
  #clientEnd: UnixSocket | undefined;
  #closed = false;

  constructor(tunnel: KernelTunnel, { log, authorize }: Pick<DcoRequest, 'log' | 'authorize'>) {
    this.#tunnel = tunnel;
    this.#log = log;
    this.authorize = authorize;
    [this.#pipe, this.#clientEnd] = UnixSocket.pair('datagram');
    tunnel.listen({
      event: (event) => this.#kernelEvent(event),
      failure: (error) => this.#failed(error),
    });
  }

  newPeer(peerId: number, address: { readonly base64: string; readonly size: number }, call: Call): void {
    const bytes = decodeBase64(address.base64);
    if (bytes?.length !== address.size) throw netcfgError('Sockaddr size mismatching');
    const remote = parseSocketAddress(bytes);
    if (remote === undefined) throw netcfgError('Not a socket address');
    const [socket] = call.descriptors;
    if (socket === undefined) throw netcfgError('No transport socket was passed');
    checkPeerId(peerId);
    const protocol = socketProtocol(socket);
    if (protocol === 'other') throw netcfgError('The transport socket is neither UDP nor TCP');
    this.#log('debug', `DCO: new peer ${peerId} over ${protocol}`);
    // The kernel holds the socket itself. Addresses in the tunnel are for servers: here there is one peer.
    this.#ask((tunnel) => {
      const where = { peerId, socket: socket.fd, remote: protocol === 'udp' ? remote : undefined };
      tunnel.newPeer({ ...where, vpn4: undefined, vpn6: undefined });
    });
  }

  newKey(slot: number, config: string): void {
    const bytes = config.length > LONGEST_KEY_CONFIG ? undefined : decodeBase64(config);
    if (bytes === undefined) throw netcfgError('Not a key configuration');
    if (slot !== 0 && slot !== 1) throw netcfgError(`Not a key slot: ${slot}`);
    try {
      const key = parseKeyConfig(bytes, slot === 0 ? 'primary' : 'secondary');
      this.#log('debug', `DCO: new ${key.slot} key ${key.keyId} of peer ${key.peerId}`);
      this.#ask((tunnel) => tunnel.newKey(key));
    } catch (error) {
      if (error instanceof KeyConfigError) throw netcfgError(`Not a key configuration: ${error.message}`);
      throw error;
    } finally {
      bytes.fill(0);
    }
  }

  swapKeys(peerId: number): void {
    checkPeerId(peerId);
    this.#log('debug', `DCO: swap keys of peer ${peerId}`);
    this.#ask((tunnel) => tunnel.swapKeys(peerId));
  }

  setPeer(peerId: number, interval: number, timeout: number): void {
    checkPeerId(peerId);
    this.#log('debug', `DCO: peer ${peerId} pings every ${interval} s, expires after ${timeout} s`);
    this.#ask((tunnel) => tunnel.setKeepalive({ peerId, interval, timeout }));
  }

  getPeer(peerId: number): void {
    checkPeerId(peerId);
    this.#ask((tunnel) => {
      const state = tunnel.readPeer(peerId);
      if (state === undefined) this.#send(errorMessage(kernelError('No such file or directory', -2)));
      else this.#send(peerMessage(tunnel.family, state));
    });
  }

  /** The client's end of the pipe, which it gets once. */
  takePipe(call: Call): void {
    const end = this.#clientEnd;
    if (end === undefined) throw netcfgError('The pipe was fetched before');
    this.#clientEnd = undefined;
    call.attach(end.descriptor);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#tunnel.close();
    this.#clientEnd?.close();
    this.#pipe.close();
  }

  #ask(request: (tunnel: KernelTunnel) => void): void {
    try {
      request(this.#tunnel);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const { errno } = error as NodeJS.ErrnoException;
      this.#log('error', `DCO: ${reasonOf(error)}`);
      this.#send(errorMessage(kernelError(error.message, -(errno ?? 0))));
    }
  }

  #kernelEvent(event: OffloadEvent): void {
    // Clients know of nothing else.
    if (event.event !== 'peerDeleted') return;
    this.#log('verb1', `DCO: peer ${event.peerId} deleted: ${event.reason}`);
    this.#send(deletedMessage(this.#tunnel.family, event.peerId, event.reason));
  }

  #failed(error: Error): void {
    this.#log('error', `DCO: ${reasonOf(error)}`);
    this.#send(errorMessage(kernelError(error.message, -1)));
  }

  #send(message: Uint8Array): void {
    if (!this.#closed && this.#pipe.send(message) < 0) this.#log('error', 'DCO: the client does not read its pipe');
  }
}

export const dcoInterface = new DbusInterface<DcoObject>(NETCFG, {
  authorize: (object, { member }, call) => object.authorize(call, member),
})
  .method(
    'NewPeer',
    { in: { peer_id: 'u', sa: 's', salen: 'u', vpn4: 's', vpn6: 's' } },
    (object, { peer_id: peerId, sa, salen }, call) => object.newPeer(peerId, { base64: sa, size: salen }, call),
  )
  // In no `h`: the interface says so.
  .method('GetPipeFD', {}, (object, _args, call) => object.takePipe(call))
  .method('NewKey', { in: { key_slot: 'u', key_config: 's' } }, (object, { key_slot: slot, key_config: config }) =>
    object.newKey(slot, config),
  )
  .method('SwapKeys', { in: { peer_id: 'u' } }, (object, { peer_id: peerId }) => object.swapKeys(peerId))
  .method(
    'SetPeer',
    { in: { peer_id: 'u', keepalive_interval: 'u', keepalive_timeout: 'u' } },
    (object, { peer_id: peerId, keepalive_interval: interval, keepalive_timeout: timeout }) =>
      object.setPeer(peerId, interval, timeout),
  )
  .method('GetPeer', { in: { peer_id: 'u' } }, (object, { peer_id: peerId }) => object.getPeer(peerId))
  .signal('Log', LOG_ARGUMENTS)
  .signal('NetworkChange', CHANGE_ARGUMENTS);

/** In the shape in which clients show it. */
function kernelError(text: string, number: number): string {
  return `netlink_error: ovpn-dco error on receiving message: ${text}, ${number}`;
}

function checkPeerId(peerId: number): void {
  if (peerId > LARGEST_PEER_ID) throw netcfgError(`Not a peer id: ${peerId}`);
}

/** Undefined for what is not base64 from end to end. */
function decodeBase64(text: string): Buffer | undefined {
  return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)
    ? Buffer.from(text, 'base64')
    : undefined;
}
