/** The object `…/dco` as a client sees it, over a kernel that is made up; messages by hand from the interface reference. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';

import type { CallOptions } from '@seikan/dbus';
import { TcpListener, TcpSocket, UdpSocket, UnixSocket, WOULD_BLOCK } from '@seikan/native';
import { kernelDco, kernelLinks, NETCFG, type NetcfgClient, parseCommandLine } from '@seikan/netcfg';
import { inNetworkNamespace } from '@seikan/testkit';
import { assert as check, property, uint8Array } from 'fast-check';

import { KeyConfigError, parseKeyConfig } from '#src/dco/key-config.js';

import { Bench, eventually } from './bench.js';
import { FakeKernel } from './fake-kernel.js';

const sockaddr = Buffer.from('020004aac63364070000000000000000', 'hex').toString('base64');
const half = (key: string, nonce: string) => `0a10${key.repeat(16)}1a08${nonce.repeat(8)}2010`;
const keyConfig = (extra = '') =>
  Buffer.from(`080310051801221e${half('11', '22')}2a1e${half('33', '44')}${extra}`, 'hex');

describe('the key in protobuf', () => {
  test('is read field by field', () => {
    assert.deepEqual(parseKeyConfig(keyConfig(), 'secondary'), {
      peerId: 5,
      slot: 'secondary',
      keyId: 3,
      cipher: 'aes-gcm',
      encrypt: { cipher: Buffer.alloc(16, 0x11), nonceTail: Buffer.alloc(8, 0x22) },
      decrypt: { cipher: Buffer.alloc(16, 0x33), nonceTail: Buffer.alloc(8, 0x44) },
    });
  });

  test('may have fields that nobody knows, a longer nonce and a key with more bytes than count', () => {
    const longer = Buffer.from('221e' + half('11', '22').replace('2010', '2008'), 'hex');
    const key = parseKeyConfig(Buffer.concat([keyConfig('7d00000000'), longer]), 'primary');
    assert.equal(key.encrypt.cipher.length, 8);
  });

  test('is refused when something is missing or out of range', () => {
    const without = (part: string) => Buffer.from(keyConfig().toString('hex').replace(part, ''), 'hex');
    for (const part of ['0803', '1005', '1801', `221e${half('11', '22')}`, `2a1e${half('33', '44')}`])
      assert.throws(() => parseKeyConfig(without(part), 'primary'), KeyConfigError, part);
    for (const extra of ['0808', '1080808008', '1800', '1803', '22021a00', '2201', '22ffffffff0f', '0b'])
      assert.throws(() => parseKeyConfig(keyConfig(extra), 'primary'), KeyConfigError, extra);
  });

  test('random bytes are refused, or a key', () => {
    check(
      property(uint8Array({ maxLength: 96 }), (bytes) => {
        try {
          parseKeyConfig(bytes, 'primary');
        } catch (error) {
          assert.ok(error instanceof KeyConfigError, String(error));
        }
      }),
    );
  });
});

test('which family clients get is an option', () => {
  const parse = (...argv: string[]) => parseCommandLine(argv, () => undefined);
  const choice = (...argv: string[]) => {
    const line = parse(...argv);
    return line.kind === 'run' ? line.options.dco : line.kind;
  };
  assert.deepEqual(
    [choice(), choice('--dco', 'ovpn'), choice('--dco', 'off'), choice('--dco', 'yes')],
    ['auto', 'ovpn', 'off', 'error'],
  );
});

test('a kernel without the module has no offload, and is not searched for it at every call', async () => {
  let searches = 0;
  const links = kernelLinks(['ovpn'], '/nonexistent', () => {
    searches++;
    return undefined;
  });
  for (let i = 0; i < 100; i++) assert.equal(await kernelDco(links).available(), false);
  await assert.rejects(links.make('tun'), { code: 'ENOTSUP' });
  assert.equal(searches, 1);
});

inNetworkNamespace(import.meta.filename, () => {
  let kernel: FakeKernel;
  let bench: Bench;
  let client: NetcfgClient;
  let path: string;

  beforeEach(async () => {
    kernel = new FakeKernel();
    bench = await Bench.open([], { port: kernelDco(kernel) });
    client = await bench.client();
  });
  afterEach(async () => {
    client.close();
    await bench.close();
  });

  const call = <S extends string>(member: string, signature: S, body: CallOptions<S>['body'] & {}, more: object = {}) =>
    client.bus.call<S, ''>({
      destination: NETCFG,
      path,
      interface: NETCFG,
      member,
      signature,
      body,
      returns: '',
      ...more,
    });

  async function enable(name = 'tun') {
    const device = await client.create('session');
    const { body } = await client.bus.call({
      destination: NETCFG,
      path: device.path,
      interface: NETCFG,
      member: 'EnableDCO',
      signature: 's',
      body: [name],
      returns: 'o',
    });
    [path] = body;
    assert.equal(path, `${device.path}/dco`);
    return device;
  }

  async function fetchPipe() {
    const { descriptors } = await call('GetPipeFD', '', [], { takesDescriptors: true });
    const [end] = descriptors;
    assert.ok(end !== undefined);
    const pipe = new UnixSocket(end.release());
    return {
      pipe,
      next: async (): Promise<string> => {
        const buffer = new Uint8Array(512);
        let length = WOULD_BLOCK;
        await eventually('a message in the pipe', () => {
          length = pipe.receive(buffer, 0, buffer.length, []);
          return length !== WOULD_BLOCK;
        });
        return Buffer.from(buffer.subarray(0, length)).toString('hex');
      },
    };
  }

  test('a peer, its keys and its settings reach the kernel', async () => {
    assert.equal(await client.dcoAvailable(), true);
    const device = await enable();
    const socket = UdpSocket.open({ family: 4 });
    await call('NewPeer', 'ususs', [5, sockaddr, 16, '10.8.0.2', '::'], {
      descriptors: [socket.descriptor.duplicate()],
    });
    await call('NewKey', 'us', [0, keyConfig().toString('base64')]);
    await call('SetPeer', 'uuu', [5, 10, 60]);
    await call('SwapKeys', 'u', [5]);
    const [[, peer] = [], [, key] = [], ...rest] = kernel.asked as [string, Record<string, unknown>][];
    assert.equal(typeof peer?.['socket'], 'number');
    assert.deepEqual(
      { ...peer, socket: 0 },
      {
        peerId: 5,
        socket: 0,
        remote: { family: 4, address: '198.51.100.7', port: 1194 },
        vpn4: undefined,
        vpn6: undefined,
      },
    );
    assert.deepEqual([key?.['slot'], key?.['keyId'], key?.['cipher']], ['primary', 3, 'aes-gcm']);
    assert.deepEqual(rest, [
      ['setKeepalive', { peerId: 5, interval: 10, timeout: 60 }],
      ['swapKeys', 5],
    ]);
    assert.equal(await device.name(), 'tun');
    await device.destroy();
    assert.deepEqual(kernel.removed, ['tun']);
    await assert.rejects(call('SwapKeys', 'u', [5]), { errorName: 'org.freedesktop.DBus.Error.UnknownMethod' });
    socket.close();
  });

  test('a TCP connection is handed over without an address', async () => {
    await enable();
    const listener = TcpListener.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
    const socket = TcpSocket.connect(listener.address, { family: 4 });
    await call('NewPeer', 'ususs', [5, sockaddr, 16, '', ''], { descriptors: [socket.descriptor.duplicate()] });
    const [[, peer] = []] = kernel.asked as [string, Record<string, unknown>][];
    assert.equal(peer?.['remote'], undefined);
    socket.close();
    listener.close();
  });

  test('a name that is taken gets a number, and the device has it', async () => {
    kernel.taken.add('tun').add('tun0');
    assert.equal(await (await enable()).name(), 'tun1');
  });

  test('a link that nobody can listen to is taken away again', async () => {
    kernel.deaf = true;
    await assert.rejects(enable(), /no descriptor left/);
    assert.deepEqual(kernel.removed, ['tun']);
  });

  test('the pipe tells of deleted peers, of counters and of what the kernel refuses', async () => {
    await enable();
    const { pipe, next } = await fetchPipe();
    await assert.rejects(call('GetPipeFD', '', []), /fetched before/);
    kernel.receiver?.event({ event: 'peerDeleted', peerId: 5, reason: 'expired' });
    kernel.receiver?.event({ event: 'floated', peerId: 5, remote: { family: 4, address: '192.0.2.1', port: 1 } });
    assert.equal(await next(), '030500000002');
    await call('GetPeer', 'u', [5]);
    const traffic = '010000000100000002000000000000000300000004000000';
    assert.equal(
      await next(),
      [
        '07',
        `050000000a080002${'00'.repeat(16)}50c3${'00'.repeat(6)}`,
        `020004aac6336407${'00'.repeat(120)}`,
        '0a0000003c000000',
        traffic,
        traffic,
      ].join(''),
    );
    await call('GetPeer', 'u', [6]);
    const text = 'netlink_error: ovpn-dco error on receiving message: No such file or directory, -2';
    assert.equal(await next(), `ff${Buffer.from(text).toString('hex')}`);
    kernel.refuse = true;
    await call('SwapKeys', 'u', [5]);
    assert.match(Buffer.from(await next(), 'hex').toString(), /netlink_error: .*, -2$/);
    pipe.close();
  });

  test('mainline has numbers of its own', async () => {
    kernel.family = 'ovpn';
    await enable();
    const { pipe, next } = await fetchPipe();
    kernel.receiver?.event({ event: 'peerDeleted', peerId: 5, reason: 'transport-disconnect' });
    assert.equal(await next(), '050500000004');
    await call('GetPeer', 'u', [5]);
    assert.equal((await next()).slice(0, 10), '0305000000');
    pipe.close();
  });

  test('what cannot be meant is refused, and the service goes on', async () => {
    await enable();
    const socket = UdpSocket.open({ family: 4 });
    const unix = UnixSocket.pair();
    const refused: [string, string, unknown[], object?][] = [
      ['NewPeer', 'ususs', [5, sockaddr, 28, '', ''], { descriptors: [socket.descriptor.duplicate()] }],
      ['NewPeer', 'ususs', [5, '!!!!', 3, '', ''], { descriptors: [socket.descriptor.duplicate()] }],
      [
        'NewPeer',
        'ususs',
        [5, Buffer.alloc(16, 9).toString('base64'), 16, '', ''],
        { descriptors: [socket.descriptor.duplicate()] },
      ],
      ['NewPeer', 'ususs', [5, sockaddr, 16, '', '']],
      ['NewPeer', 'ususs', [2 ** 24, sockaddr, 16, '', ''], { descriptors: [socket.descriptor.duplicate()] }],
      ['NewPeer', 'ususs', [5, sockaddr, 16, '', ''], { descriptors: [unix[0].descriptor.duplicate()] }],
      ['NewKey', 'us', [2, keyConfig().toString('base64')]],
      ['NewKey', 'us', [0, 'AAAA']],
      ['NewKey', 'us', [0, 'no base64']],
      ['NewKey', 'us', [0, 'A'.repeat(100_000)]],
      ['SwapKeys', 'u', [2 ** 32 - 1]],
      ['SetPeer', 'uuu', [2 ** 24, 1, 1]],
      ['GetPeer', 'u', [2 ** 24]],
      ['SwapKeys', 's', ['5']],
    ];
    for (const [member, signature, body, more] of refused)
      await assert.rejects(
        call(member, signature, body as never, more),
        (error) => error instanceof Error,
        `${member} ${String(body)}`,
      );
    assert.deepEqual(kernel.asked, []);
    await call('SwapKeys', 'u', [5]);
    assert.equal(kernel.asked.length, 1);
    socket.close();
    for (const end of unix) end.close();
  });

  test('a client that vanishes takes its kernel device with it', async () => {
    await enable();
    client.close();
    await eventually('the link is removed', () => kernel.removed.length === 1);
    client = await bench.client();
  });
});
