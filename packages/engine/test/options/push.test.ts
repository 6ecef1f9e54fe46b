import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodePushReply, parseClientConfig, parseConfig, pushWithoutOwnRoutes } from '@seikan/engine';

const noFiles = { read: () => undefined };

function server(extra = ''): ReturnType<typeof parseConfig>['options'] {
  const text = `server 10.8.0.0 255.255.255.0\ntopology subnet\ndev tun\nca a\ncert b\nkey c\ndh none\n${extra}`;
  return parseConfig(text, 's', noFiles).options;
}

test('a short push is one message, an empty one too', () => {
  assert.deepEqual(encodePushReply(['route-gateway 10.8.0.1', 'ping 10']), {
    messages: ['PUSH_REPLY,route-gateway 10.8.0.1,ping 10'],
  });
  assert.deepEqual(encodePushReply([]), { messages: ['PUSH_REPLY'] });
});

test('a long push is split below 940 bytes a message, continued with 2 and ended with 1', () => {
  const options = Array.from({ length: 100 }, (_, index) => `route 10.${index}.0.0 255.255.0.0`);
  const reply = encodePushReply(options);
  assert.ok('messages' in reply);
  assert.deepEqual(
    reply.messages.map((message) => message.slice(message.lastIndexOf(','))),
    // 26 or 27 bytes and a comma each: 33 fit.
    [',push-continuation 2', ',push-continuation 2', ',push-continuation 2', ',push-continuation 1'],
  );
  for (const message of reply.messages) assert.ok(message.length <= 940 + ',push-continuation 2'.length, message);
  const sent = reply.messages.flatMap((message) => message.split(',').slice(1, -1));
  assert.deepEqual(sent, options);
});

test('an option that fits into no message is named', () => {
  const long = `echo ${'x'.repeat(940)}`;
  assert.deepEqual(encodePushReply(['ping 1', long]), { tooLong: long });
});

test('a client’s own file adds to, resets and removes from what is pushed', () => {
  const options = server('push "route 10.1.0.0 255.255.0.0"\npush "dhcp-option DNS 10.8.0.1"\n');
  const add = parseClientConfig('push "route 10.2.0.0"\npush-remove dhcp-option\n', 'ccd/a', {
    options,
    files: noFiles,
  });
  assert.deepEqual(add.client.push, [
    'route 10.1.0.0 255.255.0.0',
    'route-gateway 10.8.0.1',
    'topology subnet',
    'route 10.2.0.0',
  ]);
  const reset = parseClientConfig('push-reset\npush "ping 1"\npush-remove ifconfig\n', 'x', {
    options,
    base: add.client,
    files: noFiles,
  });
  assert.deepEqual(reset.client.push, ['ping 1']);
  assert.equal(reset.client.ifconfigBlocked, true);
  assert.equal(options.push.length, 4);
});

test('a client’s own file gives addresses, networks, ciphers and timers', () => {
  const text =
    'ifconfig-push 10.8.0.9 255.255.255.0\nifconfig-ipv6-push fd00::9/64 fd00::1\niroute 192.168.7.9 255.255.255.0\niroute 192.168.8.1\niroute-ipv6 fd07::1/48\ndata-ciphers AES-128-GCM\nping 3\ndisable\ncomp-lzo no\n';
  const { client } = parseClientConfig(text, 'ccd/a', { options: server(), files: noFiles });
  assert.deepEqual(client.ifconfigPush, { local: '10.8.0.9', remoteOrNetmask: '255.255.255.0', alias: undefined });
  assert.deepEqual(client.ifconfigIpv6Push, { local: 'fd00::9', bits: 64, remote: 'fd00::1' });
  assert.deepEqual(client.iroutes, [
    { network: '192.168.7.0', bits: 24 },
    { network: '192.168.8.1', bits: 32 },
  ]);
  assert.deepEqual(client.iroutesIpv6, [{ network: 'fd07::', bits: 48 }]);
  assert.deepEqual(client.dataCiphers, ['AES-128-GCM']);
  assert.equal(client.timers.ping, 3);
  assert.equal(client.disable, true);
  assert.equal(client.compression.framing, 'lzo-no');
});

test('a line of a client’s own file that cannot be used is left out with a warning, and the rest is used', () => {
  const options = server();
  const lines = ['port 1', 'script-security 3', 'up x', 'server 10.0.0.0 255.0.0.0', 'dev tap', 'route 10.0.0.0'];
  const rubbish = ['foo', 'iroute x', 'push "a', `echo ${'x'.repeat(300)}`, 'config missing', 'data-ciphers foo'];
  const text = [...lines, ...rubbish, 'iroute 10.9.0.0 255.255.0.0', '<ca>'].join('\n');
  const { client, warnings } = parseClientConfig(text, 'ccd/a', { options, files: noFiles });
  assert.deepEqual(client.iroutes, [{ network: '10.9.0.0', bits: 16 }]);
  assert.deepEqual(client.dataCiphers, options.data.dataCiphers);
  assert.deepEqual(
    warnings.slice(0, lines.length).map((warning) => warning.text),
    lines.map((line) => `Options error: option '${line.split(' ')[0]}' cannot be used in this context (ccd/a)`),
  );
  assert.equal(warnings.length, lines.length + rubbish.length + 1);
});

test('routes to a client’s own networks are not pushed to it', () => {
  const options = server(
    'push "route 192.168.7.0 255.255.255.0"\npush "route 192.168.8.0 255.255.255.0"\npush "route-ipv6 fd07::/48"\n',
  );
  const { client } = parseClientConfig('iroute 192.168.7.0 255.255.255.0\niroute-ipv6 fd07::/48\n', 'ccd/a', {
    options,
    files: noFiles,
  });
  assert.deepEqual(pushWithoutOwnRoutes(client), [
    'route 192.168.8.0 255.255.255.0',
    'route-gateway 10.8.0.1',
    'topology subnet',
  ]);
});
