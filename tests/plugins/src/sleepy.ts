/**
 * A plugin that stands still for ten seconds when the user `slow` logs in: its thread, not only its promise. Its argument
 * is a file that is there while it does.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { definePlugin, success } from '@seikan/plugin-sdk';

const sleepy = definePlugin({
  name: 'sleepy',
  deadline: 30_000,
  open: ({ argv }) => ({ events: ['auth-user-pass-verify'], handle: argv[1] ?? '' }),
  event(event, sign) {
    if (event.username !== 'slow') return success();
    writeFileSync(sign, '');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
    rmSync(sign);
    return success();
  },
});

export default sleepy;
