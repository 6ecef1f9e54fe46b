/** The plugin that the tests load: what it does depends on the user's name. Everything it sees goes to the log. */
import { definePlugin, encodeText, failure, success } from '@seikan/plugin-sdk';

const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

const acme = definePlugin({
  name: 'acme',
  deadline: 3_000,
  open({ argv, host }) {
    if (argv[1] === 'refuse') throw new Error('told to refuse', { cause: new Error('by an argument') });
    console.log(
      `open [${argv.slice(1).join('][')}] on ${host.name} ${host.version} ${host.ssl} as uid ${process.getuid?.() ?? -1}`,
    );
    return {
      events: [
        ...(['up', 'down', 'tls-verify', 'auth-user-pass-verify', 'tls-final'] as const),
        ...(['client-connect', 'client-disconnect', 'learn-address'] as const),
      ],
      handle: { logins: 0 },
    };
  },
  client: () => ({ events: 0 }),
  event(event, handle) {
    event.client.state.events += 1;
    const where = `${event.type} ${event.client.id}`;
    switch (event.type) {
      case 'tls-verify':
        console.log(where, event.depth, event.subject, event.certificate?.length ?? 'no certificate');
        return success();
      case 'auth-user-pass-verify': {
        handle.logins += 1;
        const right = event.password === 'secret';
        console.log(where, Buffer.from(event.raw('username') ?? []).toString('hex'), event.peer.address);
        switch (event.username) {
          case 'slow':
            return wait(200).then(() => (right ? success() : failure('slowly refused')));
          case 'never':
            return new Promise(() => {});
          case 'throw':
            throw new Error('a bug', { cause: new Error('its cause') });
          case 'die':
            process.kill(process.pid, 'SIGKILL');
            return failure();
          case 'loop':
            for (;;);
          default:
            return right ? success() : failure(`wrong password, ${event.username}`);
        }
      }
      case 'client-connect':
        if (event.username === 'slow')
          return wait(100).then(() => success({ config: 'push "setenv-safe COLOUR green"' }));
        return success({ config: ['push "setenv-safe COLOUR red"', 'ifconfig-push 10.8.0.77 255.255.255.0'] });
      default:
        console.log(where, encodeText(event.argv.slice(1).join('|')).length);
        return success();
    }
  },
  clientClosed(client) {
    console.log(`closed ${client.id} after ${client.state.events} events`);
  },
  async close(handle) {
    await wait(10);
    console.log(`close after ${handle.logins} logins`);
  },
});

export default acme;
