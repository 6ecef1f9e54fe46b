import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AddressError, parseAddresses, systemBusAddress } from '@seikan/dbus';
import { ClientAuthentication } from '#src/authentication.js';

test('addresses are read in order, with their escapes, and transports without descriptors are left out', () => {
  assert.deepEqual(parseAddresses('unix:path=/run/a%20b%2c,guid=00ff;tcp:host=x,port=1;unix:abstract=/tmp/dbus-Xy;'), [
    { socket: { path: '/run/a b,' }, guid: '00ff' },
    { socket: { abstract: '/tmp/dbus-Xy' } },
  ]);
});

test('addresses that name nothing usable are errors', () => {
  const bad = [
    '',
    'tcp:host=x',
    'unix',
    'unix:',
    'unix:guid=1',
    'unix:path=/a,abstract=b',
    'unix:path=/a,path=/b',
    'unix:path=/a b',
    'unix:path=%zz',
    'unix:path=%ff',
    ':path=/a',
  ];
  for (const text of bad) assert.throws(() => parseAddresses(text), AddressError, text);
});

test('the system bus is where the environment says, or in its usual place', () => {
  assert.equal(systemBusAddress({ DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/x' }), 'unix:path=/x');
  for (const environment of [{}, { DBUS_SYSTEM_BUS_ADDRESS: '' }]) {
    assert.equal(systemBusAddress(environment), 'unix:path=/var/run/dbus/system_bus_socket');
  }
});

const say = (conversation: ClientAuthentication, text: string) => {
  conversation.handleInput(Buffer.from(text, 'latin1'));
  return Buffer.from(conversation.takeOutput()).toString('latin1');
};

test('a client names its user, asks for descriptors, and begins', () => {
  const conversation = new ClientAuthentication(1000);
  assert.equal(say(conversation, ''), '\0AUTH EXTERNAL 31303030\r\n');
  assert.equal(say(conversation, 'DATA\r\n'), 'DATA\r\n');
  assert.equal(say(conversation, 'OK 5b2e845f2c381767'), '');
  assert.equal(say(conversation, 'c977a5316b01284f\r\n'), 'NEGOTIATE_UNIX_FD\r\n');
  assert.equal(say(conversation, 'AGREE_UNIX_FD\r\n'), 'BEGIN\r\n');
  assert.deepEqual(conversation.state, { name: 'done', guid: '5b2e845f2c381767c977a5316b01284f', descriptors: true });
});

test('a bus that does not pass descriptors is used without', () => {
  const conversation = new ClientAuthentication(0);
  say(conversation, 'OK 00\r\n');
  assert.equal(say(conversation, 'ERROR no\r\n'), 'BEGIN\r\n');
  assert.deepEqual(conversation.state, { name: 'done', guid: '00', descriptors: false });
});

test('whatever else a bus says ends the conversation', () => {
  const ends = [
    'REJECTED ANONYMOUS\r\n',
    'HTTP/1.1 400\r\n',
    '\r\n',
    'x'.repeat(16_385),
    'OK 1\r\nOK 2\r\n',
    'OK 1\r\nAGREE_UNIX_FD\r\nl\x01',
  ];
  for (const text of ends) {
    const conversation = new ClientAuthentication(0);
    assert.ok(!say(conversation, text).includes('BEGIN'), text.slice(0, 50));
    assert.equal(conversation.state.name, 'failed', text.slice(0, 50));
  }
});
