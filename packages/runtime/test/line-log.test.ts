import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import type { LogLine, LogOptions } from '@seikan/engine';
import { loadAddon, UnixSocket } from '@seikan/native';
import { LineLog } from '@seikan/runtime';

const folder = mkdtempSync(join(tmpdir(), 'seikan-log-'));
after(() => rmSync(folder, { recursive: true }));
const base: LogOptions = {
  verb: 3,
  mute: 0,
  destination: { to: 'stdout' },
  errorsToStderr: false,
  suppressTimestamps: false,
  machineReadable: false,
  status: undefined,
  statusVersion: 1,
  echo: [],
};

/** What stands on output and on errors after some lines. */
function write(options: Partial<LogOptions>, ...lines: readonly LogLine[]): { output: string; errors: string } {
  const [output, errors] = [openSync(join(folder, 'o'), 'w'), openSync(join(folder, 'e'), 'w')];
  const log = new LineLog({ ...base, ...options }, { outlets: { output, errors, syslogSocket: join(folder, 'none') } });
  for (const line of lines) log.write(line);
  log.close();
  closeSync(output);
  closeSync(errors);
  return { output: readFileSync(join(folder, 'o'), 'utf8'), errors: readFileSync(join(folder, 'e'), 'utf8') };
}

function line(text: string, more: Partial<LogLine> = {}): LogLine {
  return { verb: 1, severity: 'notice', prefix: undefined, text, ...more };
}

test('a line has a time, the client and the text; from verb 4 on microseconds', () => {
  const client = line('hello', { prefix: 'alice/198.51.100.7:1194' });
  assert.match(write({}, client).output, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d alice\/198\.51\.100\.7:1194 hello\n$/);
  assert.match(write({ verb: 4 }, line('x')).output, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d us=\d{1,6} x\n$/);
});

test('suppress-timestamps leaves the text alone, machine-readable-output has seconds and flags', () => {
  assert.equal(write({ suppressTimestamps: true }, line('x')).output, 'x\n');
  const [seconds, flags, text] = write({ machineReadable: true }, line('w', { severity: 'warning' })).output.split(' ');
  assert.match(seconds ?? '', /^\d{10}\.\d{6}$/);
  assert.deepEqual([flags, text], ['40', 'w\n']);
});

test('lines above verb are left out, and errors-to-stderr moves fatal ones', () => {
  const plain = { suppressTimestamps: true };
  assert.equal(write({ ...plain, verb: 2 }, line('shown', { verb: 2 }), line('not', { verb: 3 })).output, 'shown\n');
  const fatal = line('bad', { verb: 0, severity: 'error' });
  assert.deepEqual(write({ ...plain, errorsToStderr: true }, fatal, line('x')), { output: 'x\n', errors: 'bad\n' });
  assert.deepEqual(write(plain, fatal), { output: 'bad\n', errors: '' });
});

test('mute counts lines of one level in a row and says how many it kept back; what is for everybody is never kept back', () => {
  const muted = (...lines: LogLine[]): string[] =>
    write({ suppressTimestamps: true, mute: 2 }, ...lines)
      .output.trimEnd()
      .split('\n');
  const four = (fields: Partial<LogLine>): LogLine[] => [1, 2, 3, 4].map((n) => line(`${n}`, fields));
  const kept = ['1', '2', 'NOTE: --mute triggered...', '2 variation(s) on previous 2 message(s) suppressed by --mute'];
  assert.deepEqual(muted(...four({ verb: 3 }), line('other')), [...kept, 'other']);
  assert.deepEqual(muted(...four({ verb: 1, severity: 'error' }), line('other')), [...kept, 'other']);
  for (const fields of [{ verb: 1 }, { verb: 0, severity: 'error' }, { verb: 1, severity: 'warning' }] as const)
    assert.deepEqual(muted(...four(fields)), ['1', '2', '3', '4']);
});

test('a log file is emptied by log, kept by log-append, and kept by a daemon that goes on writing it', () => {
  const path = join(folder, 'log');
  const to = (append: boolean): Partial<LogOptions> => ({
    suppressTimestamps: true,
    destination: { to: 'file', path, append },
  });
  write(to(false), line('first'));
  write(to(true), line('second'));
  assert.equal(readFileSync(path, 'utf8'), 'first\nsecond\n');
  write(to(false), line('third'));
  assert.equal(readFileSync(path, 'utf8'), 'third\n');
  const log = new LineLog({ ...base, ...to(false) }, { again: true });
  log.write(line('fourth'));
  log.close();
  assert.equal(readFileSync(path, 'utf8'), 'third\nfourth\n');
});

test('syslog gets a datagram a line, with its priority and the program and its pid', () => {
  const path = join(folder, 'syslog');
  const native = loadAddon() as {
    unixCreate(type: string): number;
    unixBind(fd: number, name: string, abstract: boolean): void;
  };
  const fd = native.unixCreate('datagram');
  native.unixBind(fd, path, false);
  const daemon = new UnixSocket(fd);
  const outlets = { output: -1, errors: -1, syslogSocket: path };
  const log = new LineLog({ ...base, destination: { to: 'syslog' } }, { programName: 'vpn', outlets });
  log.write(line('hello', { prefix: 'alice' }));
  log.write(line('bad\n<0>forged', { severity: 'error' }));
  log.close();
  const heard = (): string => {
    const bytes = new Uint8Array(200);
    return new TextDecoder().decode(bytes.subarray(0, daemon.receive(bytes, 0, 200, [])));
  };
  const head = `[A-Z][a-z]{2} [ 1-3]\\d \\d\\d:\\d\\d:\\d\\d vpn\\[${process.pid}\\]: `;
  assert.match(heard(), new RegExp(`^<29>${head}alice hello$`));
  assert.match(heard(), new RegExp(`^<27>${head}bad\\?<0>forged$`));
  daemon.close();
});
