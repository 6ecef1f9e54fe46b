/** Our side against node's own TLS, in one process: two users of the same library that share no code of ours. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { after, describe, it } from 'node:test';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import type { TlsConnection } from '@seikan/core';
import { createTlsContext } from '@seikan/native';
import { takeTls } from '@seikan/testkit';

import { TestAuthority } from './test-pki.js';

const root = TestAuthority.root();
after(() => root.remove());
const server = root.issue({ name: 'server', usage: 'server' });
const client = root.issue({ name: 'client' });

/** A stream whose other end is our connection. */
function wireTo(ours: TlsConnection): Duplex {
  const wire = new Duplex({
    read() {},
    write(chunk: Uint8Array, _encoding, done) {
      ours.receive(chunk);
      flush();
      done();
    },
  });
  const flush = () => {
    if (ours.pending > 0) wire.push(takeTls(ours));
  };
  queueMicrotask(flush);
  return wire;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  describe(`with node:tls and ${version}`, () => {
    const range = { minVersion: version, maxVersion: version } as const;

    it('our server exports the same keying material as node’s client, and talks to it', async () => {
      const ours = createTlsContext({ role: 'server', ca: root.cert, ...server }).open(() => 'accept');
      const theirs = connect({ socket: wireTo(ours), ca: root.cert, ...client, ...range, servername: 'server' });
      theirs.on('error', () => {});
      await until('secured', () => ours.state === 'secured' && theirs.getProtocol() === version);
      assert.deepEqual(
        Buffer.from(ours.exportKeyingMaterial('EXPORTER-OpenVPN-datakeys', 256)),
        theirs.exportKeyingMaterial(256, 'EXPORTER-OpenVPN-datakeys', undefined as unknown as Buffer),
      );
      theirs.write('hello');
      let got: Uint8Array | undefined;
      await until('a record', () => (got ??= ours.read()) !== undefined);
      assert.equal(Buffer.from(got ?? []).toString(), 'hello');
      theirs.destroy();
    });

    it('our client does the same with node’s server', async () => {
      const ours = createTlsContext({ role: 'client', ca: root.cert, ...client }).open(() => 'accept');
      ours.start();
      const theirs = new TLSSocket(wireTo(ours), {
        isServer: true,
        requestCert: true,
        secureContext: createSecureContext({ ca: root.cert, ...server, ...range }),
      });
      theirs.on('error', () => {});
      let theirMaterial: Buffer | undefined;
      theirs.once('secure', () => {
        theirMaterial = theirs.exportKeyingMaterial(256, 'EXPORTER-OpenVPN-datakeys', undefined as unknown as Buffer);
      });
      await until('secured', () => ours.state === 'secured' && theirMaterial !== undefined);
      assert.deepEqual(Buffer.from(ours.exportKeyingMaterial('EXPORTER-OpenVPN-datakeys', 256)), theirMaterial);
      theirs.write('welcome');
      let got: Uint8Array | undefined;
      await until('a record', () => (got ??= ours.read()) !== undefined);
      assert.equal(Buffer.from(got ?? []).toString(), 'welcome');
      theirs.destroy();
    });
  });
}
