/** A dbus-daemon of the test's own: its configuration, socket and messages lie in a temporary folder. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface PrivateBus {
  readonly address: string;
  /** For other users, to whom the folder is closed; in the same network namespace. */
  readonly abstractAddress: string;
  close(): Promise<void>;
}

let started = 0;

export async function startBus(): Promise<PrivateBus> {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-dbus-'));
  const abstractAddress = `unix:abstract=seikan-dbus-test-${process.pid}-${started++}`;
  const config = join(folder, 'bus.conf');
  writeFileSync(
    config,
    `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
      "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
    <busconfig>
      <type>session</type>
      <listen>unix:path=${folder}/bus</listen>
      <listen>${abstractAddress}</listen>
      <auth>EXTERNAL</auth>
      <policy context="default"><allow user="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
      <limit name="max_message_unix_fds">64</limit>
      <limit name="max_replies_per_connection">5000</limit>
    </busconfig>`,
  );
  const args = [`--config-file=${config}`, '--nofork', '--nopidfile', '--print-address=1'];
  const daemon = spawn('dbus-daemon', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(daemon, 'exit');
  const [address] = (await once(daemon.stdout.setEncoding('utf8'), 'data')) as [string];
  return {
    address: address.trim(),
    abstractAddress,
    async close() {
      daemon.kill();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
