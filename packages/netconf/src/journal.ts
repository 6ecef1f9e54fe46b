/**
 * The journal of one tunnel's changes to the host, so that the next start takes back what a crash left behind.
 *
 *   {"version":1,"namespace":"net:[4026531840]","boot":"<boot id>","pid":77,"started":"12345"}
 *   {"id":0,"state":"planned","step":{…}}          one line per step, all written and synced before the first is made
 *   {"id":0,"state":"done"}                        one line per change of state, appended
 *
 * A change to the kernel's network does not outlive the kernel or the namespace: a journal of another boot or namespace
 * says nothing any more. That is also why appended states need no sync: they only have to outlive this process.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readlink, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { isRunning, ownIdentity, type ProcessIdentity } from './process-identity.js';
import type { Step } from './step.js';

/**
 * planned: about to be made (after a crash: perhaps made) · done: made by us · existed: there before, not ours ·
 * failed: refused · undone: taken back.
 */
export type EntryState = 'planned' | 'done' | 'existed' | 'failed' | 'undone';

export interface Entry<What = Step> {
  readonly id: number;
  readonly step: What;
  state: EntryState;
}

/** The file is not a journal that this program wrote, or somebody else could have written it. */
export class JournalError extends Error {
  override readonly name = 'JournalError';
}

interface Head extends ProcessIdentity {
  readonly version: 1;
  readonly namespace: string;
}

export const JOURNAL_FOLDER = '/run/seikan/network';
export const JOURNAL_SUFFIX = '.journal';
const FILE_MODE = 0o600;
const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Where a device's journal lies by default. The network namespace is part of the name: namespaces share /run, and each
 * may have its tun0.
 */
export async function journalPathOf(device: string, folder = JOURNAL_FOLDER, suffix = JOURNAL_SUFFIX): Promise<string> {
  const [, inode = ''] = /\[(\d+)\]/.exec(await readlink('/proc/self/ns/net')) ?? [];
  return join(folder, `${device}-${inode}${suffix}`);
}

/** `What` it tells of: plain data. */
export class Journal<What = Step> {
  readonly #path: string;
  #file: FileHandle | undefined;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Opens the journal at `path` and gives the entries that an earlier process left standing, oldest first: none when
   * there is no file or it is of another boot or network namespace. Throws JournalError when the file belongs to a
   * process that still runs, is not ours or is not a journal.
   */
  static async open<What = Step>(path: string): Promise<{ journal: Journal<What>; left: readonly Entry<What>[] }> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return { journal: new Journal(path), left: await readLeft<What>(path) };
  }

  /** Replaces what the journal says. On return it is on disk; only then may the steps be made. */
  async write(entries: readonly Entry<What>[]): Promise<void> {
    await this.#closeFile();
    const lines = [await thisHead(), ...entries].map((line) => `${JSON.stringify(line, encodeBytes)}\n`);
    const draft = `${this.#path}.new`;
    await rm(draft, { force: true });
    const file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND, FILE_MODE);
    try {
      await file.writeFile(lines.join(''));
      await file.datasync();
      await rename(draft, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#file = file;
  }

  /**
   * Never fails: the change has been made, and a full disk must not keep the next from being made or taken back. A state
   * that is missing makes a recovery undo what may be gone already, which does no harm.
   */
  async mark(id: number, state: EntryState): Promise<void> {
    await this.#file?.appendFile(`${JSON.stringify({ id, state })}\n`).catch(() => {});
  }

  /** Everything was taken back: the file goes. */
  async remove(): Promise<void> {
    await this.#closeFile();
    await rm(this.#path, { force: true });
  }

  /** Leaves the file for a later recovery. */
  async close(): Promise<void> {
    await this.#closeFile();
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

async function readLeft<What>(path: string): Promise<readonly Entry<What>[]> {
  const text = await readOwn(path);
  if (text === undefined) return [];
  // A crash can cut the last line; a line that is complete must be right.
  const lines = text.split('\n').slice(0, -1);
  const [head, ...rest] = lines.map((line) => parseLine(path, line));
  if (head === undefined) return [];
  const { version, boot, namespace, pid, started } = head as Partial<Head>;
  if (version !== 1 || boot === undefined || pid === undefined || started === undefined) {
    throw new JournalError(`${path}: not a journal of this version`);
  }
  const here = await thisHead();
  if (pid !== here.pid && (await isRunning({ boot, pid, started }))) {
    throw new JournalError(`${path}: in use by process ${pid}`);
  }
  if (boot !== here.boot || namespace !== here.namespace) return [];
  const entries = new Map<number, Entry<What>>();
  for (const line of rest as Partial<Entry<What>>[]) {
    const { id, state } = line;
    if (typeof id !== 'number' || state === undefined) throw new JournalError(`${path}: a line without id and state`);
    const step = line.step ?? entries.get(id)?.step;
    if (step === undefined) throw new JournalError(`${path}: a state of the unknown step ${id}`);
    entries.set(id, { id, step, state });
  }
  return [...entries.values()];
}

/** The journal tells a privileged process what to do, so only files that nobody else can have written count. */
async function readOwn(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, O_RDONLY | O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { uid, mode } = await file.stat();
    if (uid !== process.geteuid?.() || (mode & WRITABLE_BY_OTHERS) !== 0) {
      throw new JournalError(
        `${path}: others can write this journal (owner ${uid}, mode ${(mode & 0o777).toString(8)})`,
      );
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function parseLine(path: string, line: string): unknown {
  try {
    return JSON.parse(line, decodeBytes);
  } catch (cause) {
    throw new JournalError(`${path}: not a journal`, { cause });
  }
}

function encodeBytes(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : value;
}

function decodeBytes(_key: string, value: unknown): unknown {
  const { hex } = (value ?? {}) as { hex?: unknown };
  return typeof hex === 'string' ? new Uint8Array(Buffer.from(hex, 'hex')) : value;
}

async function thisHead(): Promise<Head> {
  return { version: 1, namespace: await readlink('/proc/self/ns/net'), ...(await ownIdentity()) };
}
