/**
 * Sessions of the OpenVPN 3 client on a machine for which it is not made: its session manager waits some seconds for its
 * own processes, and its commands some tenths of one for the session manager.
 */
import { eventually } from './eventually.js';
import type { Tree } from './tree.js';

const LONG = 120_000;
const TRIES = 6;

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

  async manage({ path }: Session, what: string, ...options: string[]): Promise<string> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#openvpn3(what, '--path', path, ...options);
      } catch (error) {
        if (tries === TRIES || !/[Ss]ession not found/.test(String(error)))
          throw new Error(`${String(error)}\n${await this.#openvpn3('sessions-list')}`, { cause: error });
      }
    }
  }

  /** The command may find the session gone before it has the answer that it has ended. */
  async end({ path }: Session): Promise<void> {
    let said = 'no error';
    await this.#openvpn3('session-manage', '--path', path, '--disconnect').catch((error: unknown) => {
      said = String(error);
    });
    const gone = async (): Promise<boolean> => (await this.#list()).every((left) => left.path !== path);
    await eventually('the session ends', gone, LONG).catch((error: unknown) => {
      throw new Error(`${String(error)}; session-manage: ${said}`);
    });
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
