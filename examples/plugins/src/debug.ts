/** Logs every event with its arguments and environment; with an argument, as lines of JSON into that file. */
import { appendFileSync } from 'node:fs';
import { type AuthorEvent, definePlugin, type PluginLog, success } from '@seikan/plugin-sdk';

interface Handle {
  readonly file: string | undefined;
  readonly log: PluginLog;
}

const events: readonly AuthorEvent[] = [
  'up',
  'down',
  'route-up',
  'route-predown',
  'ipchange',
  'tls-verify',
  'auth-user-pass-verify',
  'tls-final',
  'client-connect',
  'client-disconnect',
  'learn-address',
  'client-crresponse',
];

export default definePlugin<Handle>({
  name: 'debug',
  open({ argv, env, host, log }) {
    const server = !('remote_1' in env);
    log('note', `opened by ${host.name} ${host.version} (${host.ssl}) with ${JSON.stringify(argv)}`);
    // On a client, a password check would demand a password of the server.
    const wanted = events.filter((event) => server || event !== 'auth-user-pass-verify');
    return { events: wanted, handle: { file: argv[1], log } };
  },
  event(event, { file, log }) {
    const env = Object.fromEntries(
      Object.entries(event.env).map(([name, value]) => [name, name === 'password' ? '[secret]' : value]),
    );
    const record = { event: event.type, client: event.client.id, argv: event.argv, env };
    if (file === undefined) {
      log('note', `${event.type} of ${event.client.id}: ${JSON.stringify(event.argv)}`);
      for (const [name, value] of Object.entries(env)) log('note', `  ${name}=${value}`);
    } else appendFileSync(file, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    return success();
  },
});
