/**
 * Sessions of the OpenVPN 3 client on a machine for which it is not made: its session manager waits some seconds for its
 * own processes, and its commands some tenths of one for the session manager. So sessions are listed and started by its
 * command, and for what comes then the session manager is called as the command would.
 */
import { eventually } from './eventually.js';
import { ORDINARY_USER, type Tree } from './tree.js';

const LONG = 120_000;
const TRIES = 6;
const SESSIONS = 'net.openvpn.v3.sessions';

/** `openvpn3 WORDS...` as an ordinary user. */
export type Command = (...words: string[]) => Promise<string>;

export interface Session {
  readonly path: string;
  /** Of its client process, as the tree numbers it. */
  readonly pid: string;
  readonly connected: boolean;
}

export class Sessions {
  readonly #tree: Tree;
  readonly #openvpn3: Command;

  constructor(tree: Tree, openvpn3: Command) {
    this.#tree = tree;
    this.#openvpn3 = openvpn3;
  }

  /**
   * The only one, connected. What a command has given up may come to its end all the same, and the server has room for
   * one client of the name: it is ended before the next try.
   */
  async start(): Promise<Session> {
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#openvpn3('session-start', '--config', 'office');
        break;
      } catch (error) {
        if (tries === TRIES) throw error;
        await this.#endAll();
      }
    }
    let session: Session | undefined;
    const connected = async (): Promise<boolean> => {
      const all = await this.#list();
      if (all.length > 1) throw new Error(`more than one session: ${JSON.stringify(all)}`);
      [session] = all;
      return session?.connected === true;
    };
    await eventually('a session is connected', connected, LONG);
    if (session === undefined) throw new Error('the session has ended');
    return session;
  }

  async pause(session: Session): Promise<void> {
    await this.#bus(session, 'call', 'Pause', 's', 'check');
  }

  async resume(session: Session): Promise<void> {
    await this.#bus(session, 'call', 'Resume');
  }

  async statistics(session: Session): Promise<string> {
    return (await this.#bus(session, 'get-property', 'statistics')).trim();
  }

  /** The session may be gone before its end is answered. */
  async end(session: Session): Promise<void> {
    let said = 'no error';
    await this.#bus(session, 'call', 'Disconnect').catch((error: unknown) => {
      said = String(error);
    });
    const gone = async (): Promise<boolean> => (await this.#list()).every(({ path }) => path !== session.path);
    await eventually('the session ends', gone, LONG).catch((error: unknown) => {
      throw new Error(`${String(error)}; Disconnect: ${said}`);
    });
  }

  #bus({ path }: Session, what: 'call' | 'get-property', member: string, ...body: string[]): Promise<string> {
    const words = ['busctl', '--system', '--timeout=60', what, SESSIONS, path, SESSIONS, member, ...body];
    return this.#tree.run(words, { user: ORDINARY_USER, timeout: LONG });
  }

  async #endAll(): Promise<void> {
    const ended = async (): Promise<boolean> => {
      const left = await this.#list();
      for (const session of left) await this.end(session);
      return left.length === 0 && (await this.#tree.processes(/openvpn3-service-client/)).length === 0;
    };
    await eventually('sessions that were given up end', ended, LONG);
  }

  async #list(): Promise<Session[]> {
    const [, ...blocks] = (await this.#openvpn3('sessions-list')).split(/^ *Path: /m);
    return blocks.map((block) => ({
      path: /^\S+/.exec(block)?.[0] ?? '',
      pid: /PID: (\d+)/.exec(block)?.[1] ?? '',
      connected: block.includes('Client connected'),
    }));
  }
}
