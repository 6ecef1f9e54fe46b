/**
 * Tests that need network devices run in a network namespace of their own: the test file starts itself again under
 * unshare(1), as root or in a user namespace, and the namespace vanishes with it. Where neither is possible the tests
 * are skipped, with the reason.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';

const INSIDE = 'SEIKAN_TEST_NAMESPACE';

/** A tunnel that sets DNS writes here: /etc is a copy (what an ordinary user may not read is missing), /run is empty. */
const OWN_FILES = [
  'mount -t tmpfs -o mode=755 seikan-test /mnt',
  '{ cp -a /etc/. /mnt/ 2>/dev/null || true; }',
  'mount --move /mnt /etc',
  'mount -t tmpfs -o mode=755 seikan-test /run',
];

/**
 * Runs `tests` in a namespace where only the loopback device exists, and is up; mounts stay inside too, and so does what is
 * written to /etc and /run. Call it once per file, with import.meta.filename. `before` runs outside, where there is a way
 * to other hosts.
 */
export function inNetworkNamespace(filename: string, tests: () => void, before?: () => void): void {
  if (process.env[INSIDE] === filename) {
    tests();
    return;
  }
  // Processes too: what a test that is given up has started ends with the namespace.
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const arguments_ = process.getuid?.() === 0 ? own : [...own, '--user', '--map-root-user'];
  const possible = spawnSync('unshare', [...arguments_, 'true'], { encoding: 'utf8' });
  const skip =
    possible.status === 0
      ? !usable('/dev/net/tun') && '/dev/net/tun may not be opened by this user'
      : `no network namespace: ${possible.stderr || String(possible.error)}`;
  test(`${basename(filename)} in a network namespace of its own`, { skip }, () => {
    before?.();
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    // The shell stays, as the namespace's first process, which others' orphans come to.
    const command = `${OWN_FILES.join(' && ')} && ip link set lo up && "$0" --enable-source-maps "$1"; exit $?`;
    const run = spawnSync('unshare', [...arguments_, 'sh', '-c', command, process.execPath, filename], {
      encoding: 'utf8',
      timeout: 240_000,
      // unshare(1) ignores SIGTERM while it waits; what runs inside ends with it.
      killSignal: 'SIGKILL',
      env: { ...environment, [INSIDE]: filename },
    });
    assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
  });
}

function usable(device: string): boolean {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
