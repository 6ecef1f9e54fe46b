import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { closeSync, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect, promisify } from 'node:util';

import {
  Connection,
  credentialsOf,
  DbusError,
  DbusInterface,
  ErrorName,
  ObjectTree,
  releaseName,
  requestName,
  type Signal,
  variant,
  WireError,
} from '@seikan/dbus';
import { Descriptor, UnixSocket } from '@seikan/native';
import { type PrivateBus, startBus } from '@seikan/testkit';

const NAME = 'net.example.Lamp';
const PATH = '/net/example/v3/lamp';
const OTHER = '/net/example/v3/lamp/other';
const run = promisify(execFile);

class Lamp {
  level = 3;
  label = 'hall';
  readonly releases: (() => void)[] = [];

  release(): void {
    for (const release of this.releases.splice(0)) release();
  }

  readonly seen: string[] = [];
}

const lampInterface = new DbusInterface<Lamp>(NAME, {
  authorize(_lamp, { kind, member }) {
    if (member === 'Forbidden' || member === 'secret')
      throw new DbusError(ErrorName.accessDenied, `no ${kind} of ${member}`);
  },
})
  .method('Dim', { in: { level: 'u' }, out: { before: 'u' } }, (lamp, { level }) => {
    const before = lamp.level;
    lamp.level = level;
    return { before };
  })
  .method('AddNetworks', { in: { networks: 'a(suibb)' }, orIn: { networks: 'a(subb)' } }, (lamp, { networks }) => {
    for (const network of networks)
      lamp.seen.push(network.length === 5 ? `${network[0]} metric ${network[2]}` : network[0]);
  })
  .method('WhoAmI', { out: { uid: 'u', pid: 'u', sender: 's' } }, async (_lamp, _args, call) => {
    const { uid, pid } = await call.credentials();
    return { uid, pid, sender: call.sender };
  })
  .method(
    'Wait',
    {},
    (lamp) =>
      new Promise<void>((resolve) => {
        lamp.releases.push(resolve);
      }),
  )
  .method('Fail', {}, () => {
    throw new DbusError('net.example.Lamp.Broken', 'the bulb is gone');
  })
  .method('Crash', {}, () => {
    throw new RangeError('boom');
  })
  .method('Lie', { out: { number: 'u' } }, () => ({ number: -1 }))
  .method('Forbidden', {}, () => {})
  .method('TakeDescriptor', { in: { note: 's' }, out: { same: 's' } }, (_lamp, { note }, call) => {
    const [first] = call.descriptors;
    return { same: first === undefined ? `${note}: none` : `${note}: ${fstatSync(first.fd).ino}` };
  })
  .method('GiveDescriptor', {}, (_lamp, _args, call) => {
    call.attach(openFile());
  })
  .method('GiveNamed', { out: { file: 'h' } }, (_lamp, _args, call) => ({ file: call.attach(openFile()) }))
  .method('GiveClosed', {}, (_lamp, _args, call) => {
    const file = openFile();
    call.attach(file);
    file.close();
  })
  .method('GiveAndFail', {}, (_lamp, _args, call) => {
    call.attach(openFile());
    throw new DbusError(ErrorName.failed, 'after all');
  })
  .property('level', 'q', {
    get: (lamp) => lamp.level,
    set: (lamp, level) => {
      if (level > 100) throw new DbusError(ErrorName.failed, 'too bright');
      lamp.level = level;
    },
    alsoSets: ['u'],
  })
  .property('label', 's', { get: (lamp) => lamp.label })
  .property('secret', 's', { get: () => 'x' })
  .signal('Dimmed', { level: 'u', details: 'a{ss}' });

const openFile = () => new Descriptor(openSync('/etc/passwd', 'r'), 'a file for a test');
const openDescriptors = () => readdirSync('/proc/self/fd').length;

let privateBus: PrivateBus;
let service: Connection;
let client: Connection;
let tree: ObjectTree;
const lamp = new Lamp();
const failures: string[] = [];

before(async () => {
  privateBus = await startBus();
  const { address } = privateBus;
  [service, client] = await Promise.all([Connection.open({ address }), Connection.open({ address })]);
  tree = new ObjectTree(service, { callsPerCaller: 300, failed: (error) => failures.push(String(error)) });
  tree.export(PATH, lampInterface, lamp);
  tree.export(OTHER, lampInterface, new Lamp());
  assert.equal(await requestName(service, NAME, { doNotQueue: true }), 'owner');
});
after(async () => {
  client.close();
  service.close();
  await privateBus.close();
});

const callLamp = (member: string, options: object = {}) =>
  client.call({ destination: NAME, path: PATH, interface: NAME, member, ...options });
const gdbus = async (...args: string[]) =>
  (
    await run('gdbus', [args[0] ?? '', '--address', privateBus.address, '--dest', NAME, ...args.slice(1)])
  ).stdout.trim();
const gdbusError = (...args: string[]) =>
  gdbus(...args).then(
    (output) => assert.fail(`succeeded: ${output}`),
    (error: { stderr: string }) => error.stderr.trim().split('\n')[0],
  );
const gdbusCall = (member: string, ...args: string[]) => ['call', '--object-path', PATH, '--method', member, ...args];
const refusal = (errorName: string, text?: string) => (error: unknown) =>
  error instanceof DbusError && error.errorName === errorName && (text === undefined || error.message === text);

test('calls of gdbus, dbus-send and busctl are answered with what the handler gives', async () => {
  lamp.level = 3;
  assert.equal(await gdbus(...gdbusCall(`${NAME}.Dim`, '7')), '(uint32 3,)');
  const { stdout } = await run('dbus-send', [
    `--bus=${privateBus.address}`,
    '--print-reply=literal',
    `--dest=${NAME}`,
    PATH,
    `${NAME}.Dim`,
    'uint32:8',
  ]);
  assert.equal(stdout.trim(), 'uint32 7');
  const busctl = await run('busctl', [`--address=${privateBus.address}`, 'call', NAME, PATH, NAME, 'Dim', 'u', '9']);
  assert.equal(busctl.stdout.trim(), 'u 8');
});

test('a method takes either of two signatures, as AddNetworks must', async () => {
  lamp.seen.length = 0;
  for (const [signature, network] of [
    ['a(subb)', '10.0.0.0 8 false true'],
    ['a(suibb)', '10.1.0.0 16 -1 false true'],
  ] as const) {
    const args = [`--address=${privateBus.address}`, 'call', '--', NAME, PATH, NAME, 'AddNetworks', signature, '1'];
    await run('busctl', [...args, ...network.split(' ')]);
  }
  assert.deepEqual(lamp.seen, ['10.0.0.0', '10.1.0.0 metric -1']);
});

test("gdbus prints GDBus' own errors for what does not exist or does not fit", async () => {
  const cases: readonly [readonly string[], string][] = [
    [
      ['call', '--object-path', '/nowhere', '--method', `${NAME}.Dim`, '1'],
      'UnknownMethod: Object does not exist at path “/nowhere”',
    ],
    [
      gdbusCall('net.example.Other.Dim', '1'),
      `UnknownMethod: No such interface “net.example.Other” on object at path ${PATH}`,
    ],
    [gdbusCall(`${NAME}.Brighten`), 'UnknownMethod: No such method “Brighten”'],
    [gdbusCall(`${NAME}.Dim`), 'InvalidArgs: Type of message, “()”, does not match expected type “(u)”'],
    [gdbusCall(`${NAME}.Forbidden`), 'AccessDenied: no call of Forbidden'],
    [gdbusCall(`${NAME}.Crash`), 'Failed: boom'],
    [gdbusCall('org.freedesktop.DBus.Properties.Get', NAME, 'x'), 'InvalidArgs: No such property “x”'],
    [gdbusCall('org.freedesktop.DBus.Properties.Get', 'a.b', 'x'), 'InvalidArgs: No such interface “a.b”'],
    [gdbusCall('org.freedesktop.DBus.Properties.GetAll', 'a.b'), 'InvalidArgs: No such interface “a.b”'],
    [gdbusCall('org.freedesktop.DBus.Properties.Get', NAME, 'secret'), 'AccessDenied: no get of secret'],
    [gdbusCall('org.freedesktop.DBus.Properties.Set', NAME, 'x', "<'v'>"), 'InvalidArgs: No such property “x”'],
    [
      gdbusCall('org.freedesktop.DBus.Properties.Set', NAME, 'label', "<'v'>"),
      'InvalidArgs: Property “label” is not writable',
    ],
    [
      gdbusCall('org.freedesktop.DBus.Properties.Set', NAME, 'level', "<'v'>"),
      'InvalidArgs: Error setting property “level”: Expected type “q” but got “s”',
    ],
    [gdbusCall('org.freedesktop.DBus.Properties.Set', NAME, 'level', '<@q 101>'), 'Failed: too bright'],
  ];
  for (const [args, text] of cases) {
    const error = await gdbusError(...args);
    assert.ok(error?.endsWith(`org.freedesktop.DBus.Error.${text}`), `${error} / ${text}`);
  }
  assert.match(
    (await gdbusError(...gdbusCall(`${NAME}.Fail`))) ?? '',
    /GDBus\.Error:net\.example\.Lamp\.Broken: the bulb is gone$/,
  );
  assert.deepEqual(failures, ['RangeError: boom']);
});

test('a result that does not fit its signature is a failure for the caller, and nothing worse', async () => {
  failures.length = 0;
  await assert.rejects(callLamp('Lie'), refusal(ErrorName.failed));
  assert.equal(failures.length, 1);
});

test('properties are read, set in each declared type, and announced', async () => {
  const changes: Signal[] = [];
  const rule = { sender: NAME, interface: 'org.freedesktop.DBus.Properties', path: PATH };
  const subscription = await client.signals.subscribe(rule, (signal) => changes.push(signal));
  lamp.level = 5;
  assert.equal(
    await gdbus(...gdbusCall('org.freedesktop.DBus.Properties.GetAll', NAME)),
    "({'level': <uint16 5>, 'label': <'hall'>},)",
  );
  for (const value of ['<@q 6>', '<@u 7>'])
    await gdbus(...gdbusCall('org.freedesktop.DBus.Properties.Set', NAME, 'level', value));
  assert.equal(await gdbus(...gdbusCall('org.freedesktop.DBus.Properties.Get', NAME, 'level')), '(<uint16 7>,)');
  const told = changes.map(({ member, body }) => [member, body]);
  const announced = (level: number) => ['PropertiesChanged', [NAME, new Map([['level', variant('q', level)]]), []]];
  assert.deepEqual(told, [announced(6), announced(7)]);
  subscription.close();
});

test('introspection lists children on every path that leads to an object, and describes the object', async () => {
  const introspect = async (path: string) => {
    const { body } = await client.call({
      destination: NAME,
      path,
      interface: 'org.freedesktop.DBus.Introspectable',
      member: 'Introspect',
      returns: 's',
    });
    return body[0];
  };
  for (const [path, child] of [
    ['/', 'net'],
    ['/net', 'example'],
    ['/net/example/v3', 'lamp'],
    [PATH, 'other'],
  ] as const) {
    const xml = await introspect(path);
    assert.ok(xml.includes(`<node name="${child}"/>`), xml);
    assert.ok(xml.length > 218 && xml.startsWith('<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS'), xml);
  }
  await assert.rejects(
    introspect('/nowhere'),
    refusal(ErrorName.unknownMethod, 'Object does not exist at path “/nowhere”'),
  );
  const tree = await gdbus('introspect', '--object-path', PATH);
  for (const line of [
    'Dim(in  u level,',
    'out u before);',
    'Dimmed(u level,',
    'readwrite q level = ',
    "readonly s label = 'hall';",
    'Ping();',
    'node other {',
  ]) {
    assert.ok(tree.includes(line), `${line}\n${tree}`);
  }
});

test('every path answers Ping, and knows the machine', async () => {
  for (const path of ['/', '/any/where']) {
    assert.equal(await gdbus('call', '--object-path', path, '--method', 'org.freedesktop.DBus.Peer.Ping'), '()');
  }
  const id = readFileSync('/etc/machine-id', 'utf8').trim();
  assert.equal(
    await gdbus('call', '--object-path', '/', '--method', 'org.freedesktop.DBus.Peer.GetMachineId'),
    `('${id}',)`,
  );
});

test('the caller of each call is known', async () => {
  const { body } = await callLamp('WhoAmI', { returns: 'uus' });
  assert.deepEqual(body, [process.getuid?.(), process.pid, client.uniqueName]);
  assert.deepEqual(await credentialsOf(client, NAME), { uid: process.getuid?.(), pid: process.pid });
  await assert.rejects(credentialsOf(client, ':1.9999'), refusal(ErrorName.nameHasNoOwner));
});

test('a handler that waits holds up nobody, and calls overtake it', async () => {
  const waiting = callLamp('Wait');
  const rest = await Promise.all(
    Array.from({ length: 200 }, (_, level) => callLamp('Dim', { signature: 'u', body: [level] })),
  );
  assert.deepEqual(
    rest.slice(1).map(({ body }) => body[0]),
    Array.from({ length: 199 }, (_, i) => i),
  );
  lamp.release();
  assert.deepEqual((await waiting).body, []);
});

test('a caller has a bounded number of calls under way, and others are served meanwhile', async () => {
  const other = await Connection.open({ address: privateBus.address });
  const waiting = Array.from({ length: 300 }, () => callLamp('Wait'));
  await assert.rejects(callLamp('WhoAmI'), refusal(ErrorName.limitsExceeded));
  const { body } = await other.call({ destination: NAME, path: PATH, interface: NAME, member: 'WhoAmI' });
  assert.equal(body[2], other.uniqueName);
  lamp.release();
  await Promise.all(waiting);
  assert.equal((await callLamp('WhoAmI', { returns: 'uus' })).body[2], client.uniqueName);
  other.close();
});

test('descriptors go outside the signature and inside it, both ways, and none is left open', async () => {
  const { ino } = fstatSync(openFileOnce('/etc/passwd'));
  const before = openDescriptors();
  for (let round = 0; round < 3; round++) {
    const sent = await callLamp('TakeDescriptor', { signature: 's', body: ['call'], descriptors: [openFile()] });
    assert.deepEqual(sent.body, [`call: ${ino}`]);
    for (const [member, signature] of [
      ['GiveDescriptor', ''],
      ['GiveNamed', 'h'],
    ] as const) {
      const reply = await callLamp(member, { takesDescriptors: true });
      assert.equal(reply.signature, signature);
      const [file] = reply.descriptors;
      assert.ok(file !== undefined && reply.descriptors.length === 1);
      assert.equal(fstatSync(file.fd).ino, ino);
      file.close();
    }
    assert.deepEqual((await callLamp('GiveDescriptor')).descriptors, []);
    await assert.rejects(callLamp('GiveAndFail'), refusal(ErrorName.failed, 'after all'));
  }
  const many = await callLamp('TakeDescriptor', {
    signature: 's',
    body: ['many'],
    descriptors: Array.from({ length: 60 }, openFile),
  });
  assert.deepEqual(many.body, [`many: ${ino}`]);
  assert.throws(
    () => client.emit({ path: '/', interface: 'nodot', member: 'X', descriptors: [openFile()] }),
    WireError,
  );
  assert.equal(openDescriptors(), before);
  const busctl = await run('busctl', [`--address=${privateBus.address}`, 'call', NAME, PATH, NAME, 'GiveNamed']);
  assert.match(busctl.stdout, /^h \d+/);
});

test('a descriptor that is not open fails its call at once, and the connection goes on', async () => {
  const { ino } = fstatSync(openFileOnce('/etc/passwd'));
  const before = openDescriptors();
  const closed = (): Descriptor => {
    const file = openFile();
    file.close();
    return file;
  };
  const take = (descriptors: Descriptor[]) =>
    callLamp('TakeDescriptor', { signature: 's', body: ['call'], descriptors });
  await assert.rejects(take([closed()]), /a file for a test is closed/);
  await assert.rejects(take([openFile(), closed(), openFile()]), /a file for a test is closed/);
  // Closed by its number, behind the back of its owner.
  const stolen = openFile();
  closeSync(stolen.fd);
  await assert.rejects(take([stolen]), /EBADF|bad file descriptor/i);
  assert.throws(() => client.emit({ path: PATH, interface: NAME, member: 'X', descriptors: [closed()] }), /is closed/);
  assert.deepEqual((await take([openFile()])).body, [`call: ${ino}`]);
  await assert.rejects(callLamp('GiveClosed'), refusal(ErrorName.failed));
  assert.match(failures.at(-1) ?? '', /a file for a test is closed/);
  assert.equal((await callLamp('GiveDescriptor')).signature, '');
  assert.equal(openDescriptors(), before);
});

function openFileOnce(path: string): number {
  const fd = openSync(path, 'r');
  after(() => closeSync(fd));
  return fd;
}

test('signals reach everybody who subscribed, or the one they are for', async () => {
  const got: string[] = [];
  const other = await Connection.open({ address: privateBus.address });
  await client.signals.subscribe({ sender: NAME, member: 'Dimmed' }, ({ body }) =>
    got.push(`client ${inspect(body[0])}`),
  );
  await other.signals.subscribe({ sender: NAME, member: 'Dimmed', pathNamespace: '/net/example' }, ({ body }) =>
    got.push(`other ${inspect(body[0])}`),
  );
  await other.signals.subscribe({ member: 'Dimmed', pathNamespace: '/net/exam' }, () => got.push('never'));
  const args = { level: 1, details: new Map([['a', 'b']]) };
  tree.emit(PATH, lampInterface, { name: 'Dimmed', args });
  tree.emit(PATH, lampInterface, { name: 'Dimmed', args: { ...args, level: 2 }, destination: client.uniqueName });
  // A stranger who sends the same signal is not the name's owner.
  other.emit({
    path: PATH,
    interface: NAME,
    member: 'Dimmed',
    signature: 'ua{ss}',
    body: [3, new Map()],
    destination: client.uniqueName,
  });
  await Promise.all([client, other].map((bus) => bus.callBus('GetId', '', [], 's')));
  await sleep(20);
  assert.deepEqual(new Set(got), new Set(['client 1', 'client 2', 'other 1']));
  assert.equal(got.length, 3);
  other.close();
});

test('names are owned, queued for, taken and released, and watchers are told', async () => {
  const [a, b] = await Promise.all([privateBus, privateBus].map(({ address }) => Connection.open({ address })));
  assert.ok(a !== undefined && b !== undefined);
  const owners: (string | undefined)[] = [];
  const watch = await client.signals.watchName('net.example.Seat', (owner) => owners.push(owner));
  assert.equal(await requestName(a, 'net.example.Seat', { allowReplacement: true }), 'owner');
  assert.equal(await requestName(a, 'net.example.Seat', { allowReplacement: true }), 'already-owner');
  assert.equal(await requestName(b, 'net.example.Seat', { doNotQueue: true }), 'taken');
  assert.equal(await requestName(b, 'net.example.Seat'), 'queued');
  assert.equal(await releaseName(b, 'net.example.Seat'), 'released');
  assert.equal(await requestName(b, 'net.example.Seat', { replaceExisting: true }), 'owner');
  assert.equal(await releaseName(client, 'net.example.Seat'), 'not-owner');
  assert.equal(await releaseName(client, 'net.example.None'), 'unknown');
  const gone: (string | undefined)[] = [];
  await client.signals.watchName(b.uniqueName, (owner) => gone.push(owner));
  b.close();
  await sleep(50);
  assert.deepEqual(owners, [undefined, a.uniqueName, b.uniqueName, a.uniqueName]);
  assert.deepEqual(gone, [b.uniqueName, undefined]);
  watch.close();
  a.close();
  await assert.rejects(requestName(client, 'notaname'), refusal(ErrorName.invalidArgs));
});

test('calls end: by a timeout, by a service that is not there, by the end of the connection', async () => {
  await assert.rejects(callLamp('Wait', { timeout: 20 }), refusal(ErrorName.noReply));
  lamp.release();
  await assert.rejects(
    client.call({ destination: 'net.example.Nobody', path: '/', interface: NAME, member: 'Dim' }),
    refusal('org.freedesktop.DBus.Error.ServiceUnknown'),
  );
  const other = await Connection.open({ address: privateBus.address });
  const waiting = other.call({ destination: NAME, path: PATH, interface: NAME, member: 'Wait' });
  other.close();
  await assert.rejects(waiting, refusal(ErrorName.disconnected));
  assert.equal(await other.closed, undefined);
  await assert.rejects(other.callBus('GetId', '', [], 's'), refusal(ErrorName.disconnected));
});

test('a message that is longer than ours may be is answered, and the connection lives on', async () => {
  const small = await Connection.open({ address: privateBus.address, limits: { message: 20_000 } });
  const smallTree = new ObjectTree(small);
  smallTree.export(PATH, lampInterface, new Lamp());
  const send = (length: number) =>
    client.call({
      destination: small.uniqueName,
      path: PATH,
      interface: NAME,
      member: 'TakeDescriptor',
      signature: 's',
      body: ['x'.repeat(length)],
      descriptors: [openFile()],
    });
  const before = openDescriptors();
  const results = await Promise.allSettled([1, 5_000_000, 2, 30_000, 3].map(send));
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? 'answered' : (result.reason as DbusError).errorName)),
    ['answered', ErrorName.limitsExceeded, 'answered', ErrorName.limitsExceeded, 'answered'],
  );
  assert.equal(openDescriptors(), before);
  await assert.rejects(
    small.call({
      destination: NAME,
      path: PATH,
      interface: NAME,
      member: 'TakeDescriptor',
      signature: 's',
      body: ['x'.repeat(20_000)],
    }),
    WireError,
  );
  small.close();
});

test('an error that quotes a long argument is cut, so that it fits in a message', async () => {
  const name = 'x'.repeat(0x100_0000 - 300);
  const properties = { destination: NAME, path: PATH, interface: 'org.freedesktop.DBus.Properties', member: 'GetAll' };
  await assert.rejects(
    client.call({ ...properties, signature: 's', body: [name] }),
    (error: DbusError) => error.message.startsWith('No such interface “xxx') && error.message.length < 5_000,
  );
});

test('long messages pass in pieces, in both directions', async () => {
  const long = 'é'.repeat(2_000_000);
  const { body } = await callLamp('TakeDescriptor', { signature: 's', body: [long], returns: 's' });
  assert.equal(body[0], `${long}: none`);
  await client.drained();
  assert.equal(client.queuedBytes, 0);
});

test('the first address that takes us is used, and a wrong one says why', async () => {
  const { address, abstractAddress } = privateBus;
  const second = await Connection.open({
    address: `tcp:host=x;unix:path=/nonexistent/bus;${abstractAddress};${address}`,
  });
  assert.match(second.uniqueName, /^:1\.\d+$/);
  second.close();
  const guid = '0'.repeat(32);
  const wrong = `${address.replace(/,guid=.*/, '')},guid=${guid}`;
  await assert.rejects(Connection.open({ address: wrong }), /no bus at .*another bus/);
  await assert.rejects(Connection.open({ address: 'unix:path=/nonexistent/bus' }), /No such file/);
});

test('strangers that write garbage to the bus socket harm nobody', async () => {
  const { address } = privateBus;
  const path = /path=([^,]+)/.exec(address)?.[1] ?? '';
  const strangers = Array.from({ length: 20 }, (_, i) => {
    const stranger = UnixSocket.connect({ path });
    stranger.send(Uint8Array.from({ length: 3_000 }, (_, at) => (at * 7 + i * 31) & 0xff));
    return stranger;
  });
  assert.equal((await callLamp('WhoAmI', { returns: 'uus' })).body[2], client.uniqueName);
  for (const stranger of strangers) stranger.close();
});
