import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseCommandLine, type ServiceOptions } from '@seikan/netcfg';

function options(argv: readonly string[], file?: string): ServiceOptions {
  const line = parseCommandLine(argv, () => file);
  assert.equal(line.kind, 'run');
  return (line as { options: ServiceOptions }).options;
}

function fault(argv: readonly string[], file?: string): [status: number, text: string] {
  const line = parseCommandLine(argv, () => file);
  assert.equal(line.kind, 'error');
  const { status, text } = line as { status: number; text: string };
  return [status, text];
}

test('without arguments the defaults are those of the original', () => {
  assert.deepEqual(options([]), {
    logLevel: 4,
    logFile: undefined,
    colour: false,
    idleExit: 5,
    dns: { kind: 'none' },
    redirectMethod: 'host-route',
    mark: undefined,
    stateDir: undefined,
    configFile: '',
    dco: 'auto',
    user: undefined,
    runAsRoot: false,
  });
});

test('values of the file win over the command line, also with the comments that openvpn3-admin writes', () => {
  const file = `{
    //  Option --resolv-conf :: resolv-conf file
    "resolv_conf_file" : "/etc/resolv.conf", /* the usual one */
    "log_level": "6", "set_somark": 17, "redirect_method": "none // not a comment"
  }`;
  const [status, text] = fault(['--state-dir', '/s'], file);
  assert.deepEqual(
    [status, text],
    [2, '--redirect-method is host-route, bind-device, none, not none // not a comment'],
  );
  const read = options(
    ['--state-dir', '/s', '--systemd-resolved', '--log-level', '2'],
    file.replace(' // not a comment', ''),
  );
  assert.deepEqual(read.dns, { kind: 'file', path: '/etc/resolv.conf' });
  assert.deepEqual([read.logLevel, read.mark, read.redirectMethod, read.configFile], [6, 17, 'none', '/s/netcfg.json']);
});

test('a file that is missing or broken says nothing, but is still the one to be edited', () => {
  for (const text of [undefined, '', '{', '[]', '"x"', 'null']) {
    const read = options(['--state-dir', '/s', '--resolv-conf', '/r'], text);
    assert.deepEqual([read.dns, read.configFile], [{ kind: 'file', path: '/r' }, '/s/netcfg.json']);
  }
});

test('any value but false turns systemd-resolved on, and takes resolv.conf off the command line', () => {
  for (const value of ['true', '""', '"no"', '0']) {
    const read = options(['--state-dir', '/s', '--resolv-conf', '/r'], `{"systemd_resolved": ${value}}`);
    assert.deepEqual(read.dns, { kind: 'systemd-resolved' }, value);
  }
  assert.deepEqual(options(['--state-dir', '/s'], '{"systemd_resolved": false}').dns, { kind: 'none' });
});

test('numbers are read leniently; what is out of range ends with the status of the original', () => {
  assert.equal(options(['--idle-exit', '12minutes']).idleExit, 12);
  assert.equal(options(['--idle-exit', 'soon']).idleExit, 0);
  assert.equal(options(['--set-somark=-1']).mark, undefined);
  assert.equal(options(['--set-somark=0']).mark, 0);
  assert.equal(fault(['--log-level', '7'])[0], 3);
  assert.equal(fault(['--redirect-method', 'magic'])[0], 2);
  assert.equal(fault(['--resolv-conf', '/r', '--systemd-resolved'])[0], 2);
  assert.equal(fault(['--disable-capabilities'])[0], 2);
  assert.equal(fault(['stray'])[0], 2);
});
