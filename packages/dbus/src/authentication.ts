/**
 * The client's side of the conversation before the first message.
 *
 *   authenticating ──OK guid──▶ negotiating ──AGREE_UNIX_FD | ERROR──▶ done
 *        │  ▲ DATA (answered with an empty DATA)
 *        └──┘──REJECTED, ERROR, anything else──▶ failed
 *
 * Source: D-Bus specification 0.43, "Authentication Protocol"; mechanism EXTERNAL: the kernel says who we are.
 */

export type AuthenticationState =
  | { readonly name: 'authenticating' }
  | { readonly name: 'negotiating'; readonly guid: string }
  | { readonly name: 'done'; readonly guid: string; readonly descriptors: boolean }
  | { readonly name: 'failed'; readonly why: string };

const LONGEST_LINE = 16_384;
const LF = 0x0a;

export class ClientAuthentication {
  #state: AuthenticationState = { name: 'authenticating' };
  #input = Buffer.alloc(0);
  #output: string;

  /** `uid`: who the process is to the kernel. */
  constructor(uid: number) {
    this.#output = `\0AUTH EXTERNAL ${Buffer.from(String(uid)).toString('hex')}\r\n`;
  }

  get state(): AuthenticationState {
    return this.#state;
  }

  /** What to send now; empty for nothing. */
  takeOutput(): Uint8Array {
    const output = Buffer.from(this.#output, 'latin1');
    this.#output = '';
    return output;
  }

  handleInput(bytes: Uint8Array): void {
    this.#input = Buffer.concat([this.#input, bytes]);
    while (this.#state.name === 'authenticating' || this.#state.name === 'negotiating') {
      const end = this.#input.indexOf(LF);
      if (end === -1) {
        if (this.#input.length > LONGEST_LINE) this.#enter({ name: 'failed', why: 'a line without end' });
        return;
      }
      const line = this.#input.toString('latin1', 0, end);
      this.#input = this.#input.subarray(end + 1);
      this.#line(line.endsWith('\r') ? line.slice(0, -1) : line, this.#state);
    }
  }

  #line(line: string, state: AuthenticationState): void {
    const [command = '', argument = ''] = line.split(' ');
    if (state.name === 'negotiating') {
      const descriptors = command === 'AGREE_UNIX_FD';
      if (!descriptors && command !== 'ERROR') return this.#unexpected(line);
      // Messages are answers to ours, and none has gone.
      if (this.#input.length > 0) return this.#unexpected(this.#input.toString('latin1'));
      this.#output += 'BEGIN\r\n';
      this.#enter({ name: 'done', guid: state.guid, descriptors });
    } else if (command === 'OK') {
      this.#output += 'NEGOTIATE_UNIX_FD\r\n';
      this.#enter({ name: 'negotiating', guid: argument });
    } else if (command === 'DATA') {
      this.#output += 'DATA\r\n';
    } else if (command === 'REJECTED') {
      this.#enter({
        name: 'failed',
        why: `the bus does not let this user in (it offers ${line.slice(9) || 'nothing'})`,
      });
    } else this.#unexpected(line);
  }

  #unexpected(line: string): void {
    this.#enter({ name: 'failed', why: `the bus answered ${JSON.stringify(line.slice(0, 100))}` });
  }

  #enter(state: AuthenticationState): void {
    this.#state = state;
  }
}
