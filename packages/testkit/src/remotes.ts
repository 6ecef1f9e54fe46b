/**
 * The hosts at the far ends, for harnesses over real sockets: one for each address that a peer has or that something
 * comes from, in a network namespace in which all of them are this host.
 */
import assert from 'node:assert/strict';

import type { DataChannelCommand, Endpoint } from '@seikan/core';
import { AddressTable, PacketBatch, UdpSocket } from '@seikan/native';

export interface Datagram {
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
}

const LONGEST = 8_192;

export class Remotes {
  readonly #sockets = new Map<string, { readonly at: Endpoint; readonly socket: UdpSocket }>();
  readonly #batch = new PacketBatch({ slots: 1, headroom: 0, capacity: LONGEST, tailroom: 0 });
  readonly #address = new AddressTable(1);
  readonly #which = new Uint32Array(1);
  /** What arrived, by the port of the link that it came from. */
  readonly #arrived = new Map<number, Datagram[]>();

  /** A datagram that nobody waits for would be lost. */
  expect(command: DataChannelCommand): void {
    if (command.verb === 'sendControl') this.at(command.to);
    if (command.verb !== 'newPeer' && command.verb !== 'setPeer') return;
    const { remote } = command.settings;
    if (remote?.family === 4) this.at(remote);
  }

  at(endpoint: Endpoint): UdpSocket {
    const key = `${endpoint.address}:${endpoint.port}`;
    let known = this.#sockets.get(key);
    if (known === undefined) {
      known = { at: { ...endpoint }, socket: UdpSocket.open({ family: 4, bind: endpoint }) };
      this.#sockets.set(key, known);
    }
    return known.socket;
  }

  send(from: Endpoint, to: Endpoint, bytes: Uint8Array): void {
    this.#address.set(0, to);
    this.#batch.put(0, bytes);
    assert.equal(this.at(from).sendBatch(this.#batch, 0, 1, this.#address, this.#which), 1);
  }

  /** What has come from the link at this port until now, and was not taken. */
  arrived(port: number): readonly Datagram[] {
    for (const { at, socket } of this.#sockets.values()) {
      while (socket.receiveBatch(this.#batch, this.#address) === 1) {
        const from = this.#address.remote(0)?.port ?? 0;
        const datagrams = this.#arrived.get(from) ?? [];
        datagrams.push({ to: at, bytes: this.#batch.packet(0).slice() });
        this.#arrived.set(from, datagrams);
      }
    }
    return this.#arrived.get(port) ?? [];
  }

  take(port: number): Datagram[] {
    const taken = [...this.arrived(port)];
    this.#arrived.delete(port);
    return taken;
  }

  close(): void {
    for (const { socket } of this.#sockets.values()) socket.close();
  }
}
