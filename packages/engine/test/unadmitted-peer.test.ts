/** A peer whose certificate is still looked at (tls-verify): what it sends meanwhile waits in its own window, not in our memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KeyState, Opcode, type SessionSettings } from '@seikan/core';
import { createProtection } from '@seikan/engine';
import { createCrypto } from '@seikan/native';
import { fakeCertificate, ScriptedTls, SeededRandom } from '@seikan/testkit';

const crypto = createCrypto();
const chunk = 1_000;

test('it is acknowledged up to the window, and read when the certificate is accepted', () => {
  const random = new SeededRandom(1).fill;
  const settings: SessionSettings = {
    role: 'server',
    crypto,
    random,
    tls: new ScriptedTls({ role: 'server', seed: 2, chain: [fakeCertificate('server')] }),
    protection: createProtection({ crypto, role: 'server', keys: {}, replay: { size: 64, time: 15_000 } }),
    tlsTimeout: 2_000,
    handWindow: 60_000,
    tranWindow: 3_600_000,
    controlSize: 1_250,
    singleSession: false,
    hello: () => ({ options: '' }),
    verify: () => 'accept',
  };
  const sessionId = new Uint8Array(8).fill(3);
  const options = { keyId: 0, initialOpcode: Opcode.hardResetServerV2, peerSessionId: sessionId } as const;
  const key = new KeyState(settings, { ...options, afterCookie: true, wrapOverhead: 0 }, () => undefined, 0);
  const client = new ScriptedTls({ role: 'client', seed: 4, chain: [fakeCertificate('ada')] }).open(() => 'accept');
  let messageId = 0;
  const send = (payload: Uint8Array) => {
    messageId += 1;
    const packet = { opcode: Opcode.controlV1, keyId: 0, sessionId, acks: [], peerSessionId: undefined } as const;
    const drop = key.handlePacket({ ...packet, messageId, payload }, 0);
    key.advance(0);
    return drop;
  };
  const sendAll = (): void => {
    while (client.pending > 0) {
      const payload = new Uint8Array(Math.min(client.pending, chunk));
      client.take(payload);
      send(payload);
    }
  };
  client.start();
  while (key.connection.state === 'handshaking') {
    sendAll();
    for (let due = key.send.due(0); due !== undefined; due = key.send.due(0)) {
      client.receive(due.payload);
      key.send.acknowledge([due.messageId], 0);
    }
    key.advance(0);
  }

  const record = new Uint8Array(chunk - 7);
  const drops: (string | undefined)[] = [];
  for (let n = 0; n < 100; n += 1) {
    client.write(record);
    const payload = new Uint8Array(client.pending);
    client.take(payload);
    drops.push(send(payload));
  }
  assert.equal(drops.filter((drop) => drop === undefined).length, 12);
  assert.ok(drops.slice(12).every((drop) => drop === 'outside-window'));
  assert.equal(key.connection.read(), undefined);

  key.admit();
  key.advance(0);
  // The first of them is no key method 2 message: it has been read.
  assert.equal(key.state, 'failed');
});
