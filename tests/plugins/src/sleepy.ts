/** A plugin that stands still for ten seconds when the user `slow` logs in: its thread, not only its promise. */
import { definePlugin, success } from '@seikan/plugin-sdk';

const sleepy = definePlugin({
  name: 'sleepy',
  deadline: 30_000,
  open: () => ({ events: ['auth-user-pass-verify'], handle: undefined }),
  event(event) {
    if (event.username === 'slow') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
    return success();
  },
});

export default sleepy;
