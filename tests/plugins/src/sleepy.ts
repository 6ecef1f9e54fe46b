/**
 * A plugin that stands still when the user `slow` logs in: its thread, not only its promise. Its arguments are a file that
 * is there while it does, and for how long, ms. The password `x` is let in.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { definePlugin, failure, success } from '@seikan/plugin-sdk';

const sleepy = definePlugin({
  name: 'sleepy',
  deadline: 30_000,
  open: ({ argv }) => ({ events: ['auth-user-pass-verify'], handle: { sign: argv[1] ?? '', ms: Number(argv[2]) } }),
  event(event, { sign, ms }) {
    if (event.username !== 'slow') return success();
    writeFileSync(sign, '');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    rmSync(sign);
    return event.password === 'x' ? success() : failure();
  },
});

export default sleepy;
