/** The smallest TypeScript plugin: says yes to everything. */
import { definePlugin, success } from '@seikan/plugin-sdk';

export default definePlugin({
  name: 'yes',
  open: () => ({ events: ['tls-final', 'auth-user-pass-verify'], handle: undefined }),
  event: () => success(),
});
