/**
 * Two whole sessions over a bad network, from the hard reset through renegotiations: numbered control messages go both
 * ways under each key, and each arrives once and in order. Every buffer that was handed in is overwritten after the call.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Session, type SessionSettings } from '@seikan/core';
import { createProtection, type ProtectionKeys } from '@seikan/engine';
import { createCrypto } from '@seikan/native';
import { fakeCertificate, ScriptedTls, SeededRandom } from '@seikan/testkit';

const crypto = createCrypto();
const staticKey = Uint8Array.from({ length: 256 }, (_, i) => (i * 11) & 255);
/** With the last two the payload of a packet is a view of what came. */
const WRAPS: readonly ProtectionKeys[] = [
  { tlsCrypt: staticKey },
  { tlsAuth: { key: staticKey, direction: 'bidirectional', digest: 'SHA1' } },
  {},
];
const WALL_CLOCK = 1_795_000_000;
const KEYS = 4;
const MESSAGES = 25;

interface Network {
  readonly lost: number;
  readonly doubled: number;
  readonly corrupted: number;
  readonly delay: number;
}

class End {
  readonly session: Session;
  readonly role: 'client' | 'server';
  /** By key, in the order of their arrival. */
  readonly heard: string[][] = [];
  readonly #said: number[] = [];
  active = 0;

  constructor(role: 'client' | 'server', keys: ProtectionKeys, random: SeededRandom) {
    this.role = role;
    const tls = new ScriptedTls({ role, seed: random.below(2 ** 31), chain: [fakeCertificate(role, {})] });
    this.session = new Session(settings(role, tls, keys, random));
  }

  /** Gives the packets that are to be sent. */
  drain(now: number): Uint8Array[] {
    const packets: Uint8Array[] = [];
    for (;;) {
      this.#say(now);
      const output = this.session.poll(now, WALL_CLOCK);
      if (output === undefined) return packets;
      if (output.output === 'transmit') packets.push(output.bytes);
      else if (output.output === 'key') {
        const { key } = output;
        if (output.event === 'secured') this.session.admit(key, now);
        else if (output.event === 'exchange') this.session.grant(key, now);
        else if (output.event === 'active') {
          this.active += 1;
          key.generated(now);
        } else if (output.event === 'failed') assert.fail(`${this.role}: ${output.failure.reason}`);
        else (this.heard[key.keyId] ??= []).push(new TextDecoder().decode(output.plaintext).replaceAll('\0', ''));
      }
    }
  }

  /** Under the newest key, as long as there is something left to say under it. */
  #say(now: number): void {
    const key = this.session.active?.primary;
    if (key?.isActive !== true) return;
    const said = this.#said[key.keyId] ?? 0;
    if (said < MESSAGES && this.session.sendMessage(`${this.role} ${key.keyId} ${said}\n`, now))
      this.#said[key.keyId] = said + 1;
  }
}

test('no control message is lost, doubled or out of order, under any key and over any network', () => {
  let [sent, overwritten] = [0, 0];
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = new SeededRandom(seed);
    const network: Network = {
      lost: random.below(25) / 100,
      doubled: random.below(25) / 100,
      // What nothing protects breaks TLS.
      corrupted: seed % WRAPS.length === 2 ? 0 : random.below(10) / 100,
      delay: 1 + random.below(400),
    };
    const keys = WRAPS[seed % WRAPS.length] ?? {};
    const [client, server] = [new End('client', keys, random), new End('server', keys, random)];
    const flying: { at: number; readonly to: End; readonly bytes: Uint8Array }[] = [];
    let now = 1_000;
    const send = (from: End): void => {
      const to = from === client ? server : client;
      for (const bytes of from.drain(now)) {
        sent += 1;
        if (random.chance(network.lost)) continue;
        const copies = random.chance(network.doubled) ? 2 : 1;
        for (let copy = 0; copy < copies; copy += 1) {
          const mine = bytes.slice();
          if (random.chance(network.corrupted)) mine[random.below(mine.length)] = random.below(256);
          flying.push({ at: now + random.below(network.delay), to, bytes: mine });
        }
      }
    };
    client.session.start(now);
    let isServing = false;
    const complete = (): boolean =>
      [client, server].every(({ heard }) => heard.filter((messages) => messages.length >= MESSAGES).length === KEYS);
    while (!complete()) {
      now += 20;
      assert.ok(now < 1_000_000, `seed ${seed}: ${JSON.stringify([client.heard, server.heard])}`);
      for (const flight of flying.filter(({ at }) => at <= now)) {
        flying.splice(flying.indexOf(flight), 1);
        const { to, bytes } = flight;
        if (to === server && !isServing) {
          const accepted = protection('server', keys).accept(bytes, WALL_CLOCK);
          if (typeof accepted !== 'string') isServing = server.session.startFromReset(accepted, now) === undefined;
        } else to.session.handlePacket(bytes, now, WALL_CLOCK);
        bytes.fill(0xaa);
        overwritten += 1;
        send(to);
      }
      for (const end of [client, server]) {
        end.session.handleTimeout(now);
        send(end);
      }
      // The next key, when everything has been said under this one at both ends.
      const done = Math.min(client.active, server.active);
      const settled = [client, server].every(({ heard }) => (heard[done - 1]?.length ?? 0) >= MESSAGES);
      if (settled && done < KEYS && client.active === server.active)
        (seed % 2 === 0 ? client : server).session.renegotiate(now);
    }
    for (const [end, other] of [
      [client, server],
      [server, client],
    ] as const)
      for (let keyId = 0; keyId < KEYS; keyId += 1)
        assert.deepEqual(
          (end.heard[keyId] ?? []).join('').trimEnd().split('\n'),
          Array.from({ length: MESSAGES }, (_, number) => `${other.role} ${keyId} ${number}`),
          `seed ${seed}, ${end.role}, key ${keyId}`,
        );
  }
  assert.ok(sent > 5_000 && overwritten > 5_000, `${sent} packets, ${overwritten} arrived`);
});

function protection(role: 'client' | 'server', keys: ProtectionKeys): SessionSettings['protection'] {
  return createProtection({ crypto, role, keys, replay: { size: 64, time: 15_000 } });
}

function settings(
  role: 'client' | 'server',
  tls: ScriptedTls,
  keys: ProtectionKeys,
  random: SeededRandom,
): SessionSettings {
  return {
    role,
    crypto,
    random: random.fill,
    tls,
    protection: protection(role, keys),
    tlsTimeout: 2_000,
    handWindow: 600_000,
    tranWindow: 3_600_000,
    controlSize: 1_222,
    singleSession: false,
    hello: () => ({ options: 'V4,dev-type tun' }),
    verify: () => 'accept',
  };
}
