/**
 * The load: many clients in this process, each a Session of core over a UDP socket of its own, from the hard reset to
 * the push reply. Afterwards a client stays silent, and the server keeps it as idle.
 */
import { randomFillSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

import { Session, type SessionSettings } from '@seikan/core';
import { createProtection } from '@seikan/engine';
import { createCrypto, createTlsContext } from '@seikan/native';

import type { Materials } from './materials.js';

/** What openvpn 2.6.14 says of itself. */
const PEER_INFO =
  'IV_VER=2.6.14\nIV_PLAT=linux\nIV_TCPNL=1\nIV_MTU=1600\nIV_NCP=2\nIV_CIPHERS=AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305\nIV_PROTO=990\n';
const OPTIONS = 'V4,dev-type tun,link-mtu 1549,tun-mtu 1500,proto UDPv4,auth SHA1,keysize 128,key-method 2,tls-client';
const HANDSHAKE_LIMIT_MS = 20_000;
const TIMER_MS = 100;

export interface LoadTarget {
  readonly address: string;
  readonly port: number;
}

export class Load {
  readonly #server: LoadTarget;
  readonly #settings: SessionSettings;
  readonly #clients: (() => void)[] = [];

  constructor(materials: Materials, server: LoadTarget) {
    this.#server = server;
    const crypto = createCrypto();
    const { ca, cert, key, tlsCrypt } = materials;
    this.#settings = {
      role: 'client',
      crypto,
      random: (into) => void randomFillSync(into),
      tls: createTlsContext({ role: 'client', ca, cert, key }),
      protection: createProtection({
        crypto,
        role: 'client',
        keys: { tlsCrypt },
        replay: { size: 64, time: 15_000 },
      }),
      tlsTimeout: 2_000,
      handWindow: HANDSHAKE_LIMIT_MS,
      tranWindow: 3_600_000,
      controlSize: 1_250 - 28,
      singleSession: false,
      hello: () => ({ options: OPTIONS, peerInfo: PEER_INFO }),
      verify: (_key, _certificate, error) => (error === undefined ? 'accept' : 'reject'),
    };
  }

  /** Connects `count` clients, `concurrency` at a time; gives the seconds that it took. */
  async connect(count: number, concurrency: number): Promise<number> {
    const began = performance.now();
    let left = count;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await this.#connectOne();
      }
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
    return (performance.now() - began) / 1000;
  }

  /** Forgets the clients; the server is not told. */
  release(): void {
    for (const close of this.#clients.splice(0)) close();
  }

  async #connectOne(): Promise<void> {
    const socket = createSocket('udp4');
    socket.connect(this.#server.port, this.#server.address);
    await once(socket, 'connect');
    const session = new Session(this.#settings);
    const wallClock = Math.floor(Date.now() / 1000);
    let timer: NodeJS.Timeout | undefined;
    // Clients stay until the round ends: a port that is used again would be an old client's new session.
    this.#clients.push(() => {
      clearInterval(timer);
      session.close();
      socket.close();
    });
    await new Promise<void>((done, fail) => {
      const drain = (now: number): void => {
        for (let output = session.poll(now, wallClock); output !== undefined; output = session.poll(now, wallClock)) {
          if (output.output === 'transmit') socket.send(output.bytes);
          if (output.output !== 'key') continue;
          const { key } = output;
          if (output.event === 'secured') session.admit(key, now);
          else if (output.event === 'exchange') session.grant(key, now);
          else if (output.event === 'active') session.sendMessage('PUSH_REQUEST', now);
          else if (output.event === 'failed') fail(new Error(`handshake failed: ${output.failure.reason}`));
          else if (Buffer.from(output.plaintext).includes('PUSH_REPLY')) done();
        }
      };
      socket.on('message', (bytes) => {
        const now = performance.now();
        session.handlePacket(bytes, now, wallClock);
        drain(now);
      });
      socket.on('error', fail);
      timer = setInterval(() => {
        const now = performance.now();
        session.handleTimeout(now);
        drain(now);
      }, TIMER_MS);
      const now = performance.now();
      session.start(now);
      drain(now);
    });
    // What comes late is still acknowledged.
    clearInterval(timer);
  }
}
