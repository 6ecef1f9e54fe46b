import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { Connection, DbusError, DbusInterface, ObjectTree, requestName } from '@seikan/dbus';
import { SystemdResolved } from '@seikan/netconf';
import { type PrivateBus, startBus } from '@seikan/testkit';

/** systemd-resolved's side, as its manual describes it: what was called is kept, and some of it refused. */
class Resolved {
  readonly calls: unknown[][] = [];
  readonly refused = new Map<string, string>();

  take(...call: [member: string, ...values: unknown[]]): void {
    const refusal = this.refused.get(call[0]);
    if (refusal !== undefined) throw new DbusError(refusal, 'no');
    this.calls.push(call);
  }
}

const manager = new DbusInterface<Resolved>('org.freedesktop.resolve1.Manager')
  .method('SetLinkDNS', { in: { index: 'i', servers: 'a(iay)' } }, (r, a) => r.take('SetLinkDNS', a.index, a.servers))
  .method('SetLinkDNSEx', { in: { index: 'i', servers: 'a(iayqs)' } }, (r, a) =>
    r.take('SetLinkDNSEx', a.index, a.servers),
  )
  .method('SetLinkDomains', { in: { index: 'i', domains: 'a(sb)' } }, (r, a) =>
    r.take('SetLinkDomains', a.index, a.domains),
  )
  .method('SetLinkDefaultRoute', { in: { index: 'i', on: 'b' } }, (r, a) =>
    r.take('SetLinkDefaultRoute', a.index, a.on),
  )
  .method('SetLinkDNSSEC', { in: { index: 'i', mode: 's' } }, (r, a) => r.take('SetLinkDNSSEC', a.index, a.mode))
  .method('SetLinkDNSOverTLS', { in: { index: 'i', mode: 's' } }, (r, a) =>
    r.take('SetLinkDNSOverTLS', a.index, a.mode),
  )
  .method('RevertLink', { in: { index: 'i' } }, (r, a) => r.take('RevertLink', a.index));

/** Loopback is the first link of every network namespace. */
const LO = 1;
let bus: PrivateBus;
let service: Connection;
let client: Connection;
let resolved: Resolved;
let backend: SystemdResolved;

before(async () => {
  bus = await startBus();
  service = await Connection.open({ address: bus.address });
  client = await Connection.open({ address: bus.address });
  await requestName(service, 'org.freedesktop.resolve1');
  backend = new SystemdResolved(client);
});
beforeEach(() => {
  resolved = new Resolved();
  new ObjectTree(service).export('/org/freedesktop/resolve1', manager, resolved);
});
after(async () => {
  service.close();
  client.close();
  await bus.close();
});

test('servers that resolve everything get the root as a routing domain, and the default route', async () => {
  const result = await backend.apply('lo', {
    servers: [{ address: '10.8.0.1' }, { address: 'fd00::1' }],
    searchDomains: ['corp.example'],
    scope: 'global',
  });
  assert.deepEqual(result, { warnings: [] });
  const ipv6 = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
  assert.deepEqual(resolved.calls, [
    [
      'SetLinkDNS',
      LO,
      [
        [2, Uint8Array.of(10, 8, 0, 1)],
        [10, ipv6],
      ],
    ],
    [
      'SetLinkDomains',
      LO,
      [
        ['corp.example', false],
        ['.', true],
      ],
    ],
    ['SetLinkDefaultRoute', LO, true],
    ['SetLinkDNSSEC', LO, ''],
    ['SetLinkDNSOverTLS', LO, ''],
  ]);
});

test('split DNS routes its domains only; ports, names, DNSSEC and TLS are handed on', async () => {
  await backend.apply('lo', {
    servers: [{ address: '10.8.0.1', port: 853, serverName: 'dns.example' }],
    searchDomains: ['a.example'],
    routeDomains: ['b.example', 'a.example'],
    scope: 'tunnel',
    dnssec: 'optional',
    transport: 'dot',
  });
  assert.deepEqual(resolved.calls, [
    ['SetLinkDNSEx', LO, [[2, Uint8Array.of(10, 8, 0, 1), 853, 'dns.example']]],
    [
      'SetLinkDomains',
      LO,
      [
        ['a.example', false],
        ['b.example', true],
      ],
    ],
    ['SetLinkDefaultRoute', LO, false],
    ['SetLinkDNSSEC', LO, 'allow-downgrade'],
    ['SetLinkDNSOverTLS', LO, 'yes'],
  ]);
});

test('malformed values from the peer are left out with a warning, and refused extras are warnings', async () => {
  resolved.refused.set('SetLinkDNSSEC', 'org.freedesktop.DBus.Error.NotSupported');
  const { warnings } = await backend.apply('lo', {
    servers: [{ address: 'not an address' }],
    searchDomains: ['bad domain'],
    scope: 'tunnel',
    transport: 'doh',
  });
  assert.equal(warnings.length, 4, warnings.join('\n'));
  assert.deepEqual(resolved.calls.slice(0, 2), [
    ['SetLinkDNS', LO, []],
    ['SetLinkDomains', LO, []],
  ]);
});

test('refused servers are an error, and so is a device that is not there', async () => {
  resolved.refused.set('SetLinkDNS', 'org.freedesktop.DBus.Error.AccessDenied');
  const settings = { servers: [], searchDomains: [], scope: 'tunnel' } as const;
  await assert.rejects(backend.apply('lo', settings), DbusError);
  await assert.rejects(backend.apply('nosuch0', settings), /nosuch0: no such device/);
});

test('settings are taken away with the link, or before it goes', async () => {
  await backend.revert('lo');
  await backend.revert('nosuch0');
  assert.deepEqual(resolved.calls, [['RevertLink', LO]]);
  resolved.refused.set('RevertLink', 'org.freedesktop.resolve1.NoSuchLink');
  await backend.revert('lo');
});
