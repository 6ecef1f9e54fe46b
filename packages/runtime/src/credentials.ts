/**
 * Secrets that a person or a file knows: user name and password, the passphrase of a private key.
 * Prompts go to the controlling terminal, never to standard input or output, which may be a log.
 * upstream: console_builtin.c, misc.c `get_user_pass_cr` (2.6).
 */
import { openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';

import type { AskFailure, Credentials, DynamicChallenge, Options } from '@seikan/engine';
import { checkKeyPair, TlsSetupError } from '@seikan/native';

import { MaterialError, readMaterial } from './materials.js';

export interface UserPass {
  readonly username: string;
  readonly password: string;
}

/** Asks on a terminal. Rejects with a MaterialError where there is none. */
export type Prompt = (question: string, echo: boolean) => Promise<string>;

/** What `auth-user-pass` says, or a person at the terminal, who alone answers a challenge. */
export async function readCredentials(
  { auth }: Options,
  prompt: Prompt = askAtTerminal,
  challenge?: DynamicChallenge,
): Promise<UserPass | AskFailure> {
  try {
    if (challenge !== undefined) {
      const answer = await prompt(`CHALLENGE: ${challenge.text}`, challenge.echo);
      return { username: challenge.username, password: `CRV1::${challenge.state}::${answer}` };
    }
    const { username, password } = await askLogin(auth.userPass, 'Auth', prompt);
    const { staticChallenge } = auth;
    if (staticChallenge === undefined) return { username, password };
    const response = await prompt(`CHALLENGE: ${staticChallenge.text}`, staticChallenge.echo);
    return { username, password: `SCRV1:${base64(password)}:${base64(response)}` };
  } catch (error) {
    if (error instanceof MaterialError) return { error: error.message };
    throw error;
  }
}

/** The login at a proxy, or at whatever `name` says. */
export async function readLogin(
  source: Credentials | undefined,
  name: string,
  prompt: Prompt = askAtTerminal,
): Promise<UserPass | AskFailure> {
  try {
    return await askLogin(source, name, prompt);
  } catch (error) {
    if (error instanceof MaterialError) return { error: error.message };
    throw error;
  }
}

async function askLogin(source: Credentials | undefined, name: string, prompt: Prompt): Promise<UserPass> {
  const [first, second] = linesOf(source);
  const username = first ?? (await prompt(`Enter ${name} Username:`, true));
  const password = second ?? (await prompt(`Enter ${name} Password:`, false));
  return { username: printable(username), password: printable(password) };
}

/** Without control characters, as upstream sends it. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]/g, '');
}

/** The passphrase of the private key, when it has one: `askpass`, or a person at the terminal. Throws MaterialError. */
export async function readPassphrase({ tls }: Options, prompt: Prompt = askAtTerminal): Promise<string | undefined> {
  if (tls.askpass !== undefined) return linesOf(tls.askpass)[0] ?? (await prompt(KEY_QUESTION, false));
  if (tls.key === undefined || tls.cert === undefined) return undefined;
  try {
    checkKeyPair({ cert: readMaterial(tls.cert, 'cert'), key: readMaterial(tls.key, 'key') });
  } catch (error) {
    // Whatever else is wrong is said when the TLS context is made.
    if (error instanceof TlsSetupError && error.fault === 'passphrase-needed') return await prompt(KEY_QUESTION, false);
    if (!(error instanceof TlsSetupError)) throw error;
  }
  return undefined;
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

const KEY_QUESTION = 'Enter Private Key Password:';

/** The first two lines that a source has; an empty one counts as missing, as upstream takes it. */
function linesOf(source: Credentials | undefined): (string | undefined)[] {
  if (source === undefined || source.from === 'stdin') return [];
  if (source.from === 'file' && source.path === 'stdin') return [];
  const lines = readMaterial(source, 'password file').split(/\r?\n/, 2);
  return lines.map((line) => (line === '' ? undefined : line));
}

/** One line from the controlling terminal; with `echo` false it is not shown. */
export async function askAtTerminal(question: string, echo: boolean): Promise<string> {
  let fd: number;
  try {
    fd = openSync('/dev/tty', 'r+');
  } catch (error) {
    throw new MaterialError(
      `neither stdin nor stderr are a tty device and you have neither a controlling tty nor systemd - can't ask for '${question}'.  If you used --daemon, you need to use --askpass to make passphrase-protected keys work, and you can not use --auth-nocache.`,
      { cause: error },
    );
  }
  const terminal = new ReadStream(fd);
  // Raw mode shows nothing and gives each key; without it the terminal edits the line itself.
  if (!echo) terminal.setRawMode(true);
  writeSync(fd, `${question} `);
  let line = '';
  try {
    for await (const piece of terminal.setEncoding('utf8')) {
      for (const key of String(piece)) {
        if (key === '\n' || key === '\r') return line;
        if (key === '\u0003' && !echo) throw new MaterialError(`${question} interrupted`);
        if ((key === '\u007f' || key === '\b') && !echo) line = line.slice(0, -1);
        else line += key;
      }
    }
    return line;
  } finally {
    if (!echo) {
      terminal.setRawMode(false);
      writeSync(fd, '\n');
    }
    terminal.destroy();
  }
}
