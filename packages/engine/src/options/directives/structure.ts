/** Directives that lead to other text, and those that only a server's push may say. */
import { type DirectiveRow, supported, type Use } from '../directive.js';
import type { ProtocolFlag } from '../draft.js';

export const structureDirectives: readonly DirectiveRow[] = [
  supported('config', [1, 1], ['config'], (use) => use.reader.include(use)),
  supported('connection', [1, 2], ['general'], (use) => use.reader.connection(use), { inline: true }),
  supported('push-continuation', [1, 1], ['pull-mode'], (use) => {
    use.draft.pull.continuation = use.number(0);
  }),
  supported('peer-id', [1, 1], ['peer-id'], (use) => {
    onlyPushed(use);
    use.draft.pull.peerId = use.number(0, 0, 0xff_ffff);
  }),
  supported('protocol-flags', [1, Number.POSITIVE_INFINITY], ['ncp'], (use) => {
    onlyPushed(use);
    const flags: readonly ProtocolFlag[] = ['cc-exit', 'tls-ekm', 'dyn-tls-crypt', 'aead-epoch'];
    for (const [index, word] of use.words.entries())
      use.draft.pull.protocolFlags.add(use.choice(index, flags, `Unknown protocol-flags flag: ${word}`));
  }),
  supported('key-derivation', [1, Number.POSITIVE_INFINITY], ['ncp'], (use) => {
    use.ignoreFrom(1);
    onlyPushed(use);
    use.choice(0, ['tls-ekm'], `Unknown key-derivation method ${use.word(0)}`);
    use.draft.pull.protocolFlags.add('tls-ekm');
  }),
  supported('auth-token', [1, 1], ['echo'], (use) => {
    onlyPushed(use);
    use.draft.pull.authToken = use.word(0);
  }),
  supported('auth-token-user', [1, 1], ['echo'], (use) => {
    onlyPushed(use);
    use.draft.pull.authTokenUser = use.word(0);
  }),
];

/** Upstream takes these from a file too, where they make no sense. */
function onlyPushed(use: Use): void {
  if (use.context !== 'pull')
    use.fail(
      `option '${use.name}' cannot be used in this context (${use.at.file})`,
      'Only the server says that, to a client that has connected.',
      'Remove the line.',
    );
}
