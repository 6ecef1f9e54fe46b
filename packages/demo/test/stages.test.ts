import assert from 'node:assert/strict';
import { test } from 'node:test';

import { StageReader } from '#src/stages.js';

const local = (seconds: number, millis: number): number => new Date(2026, 10, 21, 4, 42, seconds, millis).getTime();

test('reads the stages of connecting with the time that each took, once', () => {
  const reader = new StageReader(local(10, 500));
  const lines = [
    '2026-11-21 04:42:10 us=873000 OpenVPN 2.6.14 x86_64-pc-linux-gnu [SSL (OpenSSL)] [EPOLL] [AEAD] Seikan 0.1.0',
    '2026-11-21 04:42:10 us=873000 library versions: OpenSSL 3.0.19, Node.js 20.20.2',
    '2026-11-21 04:42:10 us=887000 UDPv4 link remote: [AF_INET]192.0.2.1:1194',
    '2026-11-21 04:42:10 us=912000 VERIFY OK: depth=1, CN=Demo-CA',
    '2026-11-21 04:42:10 us=912000 VERIFY OK: depth=0, CN=server',
    "2026-11-21 04:42:11 us=3000 Data Channel: cipher 'AES-256-GCM', peer-id: 0, aead-epoch",
    '2026-11-21 04:42:11 us=22000 Initialization Sequence Completed',
    '2026-11-21 04:42:59 us=0 Initialization Sequence Completed',
  ];
  const stages = lines.map((line) => reader.read(line)).filter((stage) => stage !== undefined);
  assert.deepEqual(
    stages.map(({ at, took, detail }) => [at, took, detail]),
    [
      [373, 373, 'OpenVPN 2.6.14, Seikan 0.1.0'],
      [387, 14, 'UDPv4, 192.0.2.1:1194'],
      [412, 25, 'CN=server'],
      [503, 91, 'AES-256-GCM, aead-epoch'],
      [522, 19, ''],
    ],
  );
});

test('reads nothing from lines of another shape', () => {
  const reader = new StageReader(0);
  for (const line of ['', 'Initialization Sequence Completed', '2026-11-21 04:42:10 Initialization Sequence Completed'])
    assert.equal(reader.read(line), undefined);
});
