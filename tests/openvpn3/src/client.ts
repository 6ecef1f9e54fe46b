/** The unchanged OpenVPN 3 Linux client as a person uses it: its command, in a root tree of its own with all its services. */
import { execute, type Teardown } from '@seikan/testkit';
import { type Implementation, ORDINARY_USER, Tree } from '#netcfg/tree.js';

const PROFILE = '/tmp/office.ovpn';
const COMMAND = 60_000;
/** Its session manager gives its client's process some seconds, which a busy machine may not have: nothing was sent then. */
const NEVER_BEGUN = /Failed to complete session registration/;
const TRIES = 4;
/** What the services print is prefixed with the number of who says it. */
const TAG = /^ *\{tag:\d+\} /;
export const RESOLVER = '/etc/resolv.conf';
export const ORIGINAL_RESOLVER = 'nameserver 192.0.2.53\n';

export interface ClientOptions {
  readonly suite: string;
  /** Whose netcfg service makes its devices. */
  readonly netcfg: Implementation;
  readonly namespace: string;
  readonly teardown: Teardown;
}

/** In bytes of the transport. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
}

export class Client {
  readonly #tree: Tree;
  readonly namespace: string;

  private constructor(tree: Tree, namespace: string) {
    this.#tree = tree;
    this.namespace = namespace;
  }

  static async enter({ suite, netcfg, namespace, teardown }: ClientOptions): Promise<Client> {
    const config = { resolv_conf_file: RESOLVER, log_level: '6' };
    const tree = await Tree.enter({ suite, implementation: netcfg, namespace, config, verbose: true, teardown });
    tree.write(RESOLVER, ORIGINAL_RESOLVER);
    return new Client(tree, namespace);
  }

  /** All that its services have said so far: the session's log and the calls of its netcfg service among it. */
  get lines(): readonly string[] {
    return this.#tree.lines.map((line) => line.replace(TAG, ''));
  }

  /** What its session says, without the other services, which have troubles of their own when it leaves. */
  get sessionLines(): readonly string[] {
    return this.lines.filter((line) => line.startsWith('Client '));
  }

  /** `overrides`: what a person sets on the profile with `openvpn3 config-manage`. */
  async importProfile(text: string, overrides: readonly string[] = []): Promise<void> {
    this.#tree.write(PROFILE, text);
    await this.#openvpn3('config-import', '--config', PROFILE, '--name', 'office', '--persistent');
    await this.#openvpn3('config-manage', '--config', 'office', '--log-level', '6', ...overrides);
  }

  /** Rejects with what the command told when it gave up; `login` is typed in. */
  async start(login: readonly string[] = []): Promise<void> {
    const words = ['openvpn3', 'session-start', '--timeout', '30', '--config', 'office'];
    const input = login.map((line) => `${line}\n`).join('');
    for (let tries = 1; ; tries += 1) {
      const from = this.lines.length;
      try {
        await this.#tree.run(words, { user: ORDINARY_USER, timeout: COMMAND, input });
        return;
      } catch (error) {
        if (tries === TRIES || !this.lines.slice(from).some((line) => NEVER_BEGUN.test(line))) throw error;
      }
    }
  }

  async manage(what: 'pause' | 'resume' | 'restart' | 'disconnect'): Promise<void> {
    await this.#openvpn3('session-manage', '--config', 'office', `--${what}`);
  }

  async isConnected(): Promise<boolean> {
    return (await this.#openvpn3('sessions-list')).includes('Client connected');
  }

  /** `prefix`: bytes before each packet, which it counts. */
  async traffic(prefix: number): Promise<Traffic> {
    const text = await this.#openvpn3('session-stats', '--config', 'office', '--json');
    const statistics = JSON.parse(text) as Record<'BYTES_IN' | 'BYTES_OUT' | 'PACKETS_IN' | 'PACKETS_OUT', number>;
    return {
      received: statistics.BYTES_IN - prefix * statistics.PACKETS_IN,
      sent: statistics.BYTES_OUT - prefix * statistics.PACKETS_OUT,
    };
  }

  /** As a crash would. */
  async kill(): Promise<void> {
    const [process] = await this.#tree.processes(/openvpn3-service-client/);
    if (process === undefined) throw new Error('there is no client process');
    await this.#tree.run(['kill', '-KILL', `${process}`]);
  }

  read(path: string): string {
    return this.#tree.read(path);
  }

  /** `ip WORDS` where it lives. */
  ip(...words: string[]): Promise<string> {
    return execute(['ip', '-n', this.namespace, ...words]);
  }

  #openvpn3(...words: string[]): Promise<string> {
    return this.#tree.run(['openvpn3', ...words], { user: ORDINARY_USER, timeout: COMMAND });
  }
}
