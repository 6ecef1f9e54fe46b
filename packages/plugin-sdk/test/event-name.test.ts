import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { eventName, eventNumbers, eventsOf, maskOf } from '@seikan/plugin-sdk';

test('a mask names its events and events make their mask', () => {
  assert.equal(maskOf(['auth-user-pass-verify', 'client-connect-v2']), 0x220);
  assert.deepEqual(eventsOf(0x0220), ['auth-user-pass-verify', 'client-connect-v2']);
  assert.deepEqual(eventsOf(0x0800), [], 'the removed ENABLE_PF names nothing');
  assert.equal(eventName(15), 'client-crresponse');
  assert.equal(eventName(11), undefined);
  assert.equal(eventName(16), undefined);
});

test('the numbers are those of the installed openvpn-plugin.h', (t) => {
  const header = '/usr/include/openvpn/openvpn-plugin.h';
  if (!existsSync(header)) return t.skip('openvpn is not installed');
  const theirs = new Map<string, number>();
  for (const [, name, number] of readFileSync(header, 'latin1').matchAll(/#define OPENVPN_PLUGIN_([A-Z_0-9]+) +(\d+)/g))
    theirs.set(name ?? '', Number(number));
  const spelling: Record<string, string> = {
    ROUTE_PREDOWN: 'route-predown',
    CLIENT_CRRESPONSE: 'client-crresponse',
  };
  let compared = 0;
  for (const [name, number] of theirs) {
    if (name === 'N' || name === 'ENABLE_PF' || name.startsWith('FUNC_')) continue;
    const ours = (spelling[name] ?? name.toLowerCase().replaceAll('_', '-')) as keyof typeof eventNumbers;
    if (!(ours in eventNumbers)) continue;
    assert.equal(eventNumbers[ours], number, name);
    compared += 1;
  }
  assert.equal(compared, 15);
  return undefined;
});
