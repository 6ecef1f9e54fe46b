import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Cell } from '#interop/cell.js';
import { checkNegotiated, loggedDerivation, unexpectedLines } from '#interop/log-check.js';

const cell: Cell = {
  client: 'ours',
  server: 'stock-2.6',
  proto: 'udp4',
  wrap: 'tls-crypt',
  cipher: 'AES-256-GCM',
  event: 'steady',
  ci: true,
};

describe('the check of a log', () => {
  it('reports a warning that no list allows', () => {
    const line = 'Authenticate/Decrypt packet error: bad packet ID (may be a replay)';
    assert.deepEqual(unexpectedLines(cell, 'server', ['VERIFY OK: depth=0, CN=client', line]), [
      { side: 'server', line },
    ]);
  });

  it('does not take the dump of the options for warnings', () => {
    assert.deepEqual(unexpectedLines(cell, 'client', ['  mute_replay_warnings = DISABLED']), []);
  });

  it('allows a refusal only in the cell that is about it', () => {
    const line = '198.18.1.1:1000 VERIFY ERROR: depth=0, error=certificate revoked: CN=revoked, serial=1';
    assert.equal(unexpectedLines(cell, 'server', [line]).length, 1);
    assert.deepEqual(unexpectedLines({ ...cell, event: 'refuse-revoked' }, 'server', [line]), []);
  });

  it('reads the key derivation from the push reply with the session, not from a later one with a token', () => {
    const push =
      "SENT CONTROL [client]: 'PUSH_REPLY,ping 1,peer-id 0,cipher AES-256-GCM,protocol-flags cc-exit tls-ekm' (status=1)";
    assert.equal(
      loggedDerivation([push, "SENT CONTROL [client]: 'PUSH_REPLY,auth-tokenSESS_ID' (status=1)"]),
      'exporter',
    );
    assert.equal(loggedDerivation([push.replace('tls-ekm', 'tls-ekm aead-epoch')]), 'epoch');
    assert.equal(loggedDerivation([push.replace(' tls-ekm', '')]), 'prf');
    assert.equal(loggedDerivation([]), undefined);
  });

  it('throws when a log names another cipher, or none at all', () => {
    const server: string[] = [];
    checkNegotiated(cell, { server, client: ["Data Channel: cipher 'AES-256-GCM', peer-id: 0"] });
    assert.throws(
      () => checkNegotiated(cell, { server, client: ["Data Channel: cipher 'AES-128-GCM'"] }),
      /uses AES-128-GCM/,
    );
    assert.throws(() => checkNegotiated(cell, { server, client: ['nothing'] }), /no log names/);
  });
});
