/**
 * Whose DNS settings are in force: one file per device in a folder that all processes share, so that several tunnels,
 * each in its own process, merge into one resolver, and what a dead process left is known.
 *
 *   FOLDER/DEVICE.json   {"owner":{boot,pid,started},"order":3,"servers":[…],"searchDomains":[…]}
 *   FOLDER/lock          the identity of the process that is changing something
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { isRunning, ownIdentity, type ProcessIdentity } from '../process-identity.js';

export interface DnsRecord {
  readonly device: string;
  readonly owner: ProcessIdentity;
  /** Later is larger, and wins. */
  readonly order: number;
  readonly servers: readonly string[];
  readonly searchDomains: readonly string[];
}

const SUFFIX = '.json';
const LOCK_RETRY = 20;
const LOCK_PATIENCE = 5_000;
const WRITABLE_BY_OTHERS = 0o022;

export class DnsRecords {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Runs `change` while no other process can. It gets the records of processes that run, oldest first, and of those that
   * died; these are forgotten when it is done.
   */
  async exclusively(change: (live: readonly DnsRecord[], dead: readonly DnsRecord[]) => Promise<void>): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o755 });
    const { uid, mode } = await stat(this.#folder);
    if (uid !== process.geteuid?.() || (mode & WRITABLE_BY_OTHERS) !== 0) {
      throw new Error(`${this.#folder}: others can write here (owner ${uid}, mode ${(mode & 0o7777).toString(8)})`);
    }
    await this.#lock();
    try {
      const { live, dead } = await this.#read();
      await change(live, dead);
      for (const { device } of (await this.#read()).dead) await this.remove(device);
    } finally {
      await rm(this.#lockPath, { force: true });
    }
  }

  /** Inside `exclusively` only. */
  async put(device: string, values: Pick<DnsRecord, 'order' | 'servers' | 'searchDomains'>): Promise<void> {
    const draft = join(this.#folder, `${device}.new`);
    await writeFile(draft, JSON.stringify({ owner: await ownIdentity(), ...values }), { mode: 0o644 });
    await rename(draft, this.#path(device));
  }

  /** Inside `exclusively` only. */
  async remove(device: string): Promise<void> {
    await rm(this.#path(device), { force: true });
  }

  async #read(): Promise<{ live: readonly DnsRecord[]; dead: readonly DnsRecord[] }> {
    const live: DnsRecord[] = [];
    const dead: DnsRecord[] = [];
    for (const name of await readdir(this.#folder)) {
      if (!name.endsWith(SUFFIX)) continue;
      const device = name.slice(0, -SUFFIX.length);
      const text = await readFile(join(this.#folder, name), 'utf8');
      const record = { ...(JSON.parse(text) as Omit<DnsRecord, 'device'>), device };
      if (await isRunning(record.owner)) live.push(record);
      else dead.push(record);
    }
    return { live: live.toSorted((a, b) => a.order - b.order), dead };
  }

  /** The lock appears with its holder's identity in it; a dead holder's is taken away by whoever manages to rename it. */
  async #lock(): Promise<void> {
    const own = join(this.#folder, `lock.${randomUUID()}`);
    const deadline = Date.now() + LOCK_PATIENCE;
    await writeFile(own, JSON.stringify(await ownIdentity()), { mode: 0o600 });
    try {
      while (!(await linked(own, this.#lockPath))) {
        const holder = await readFile(this.#lockPath, 'utf8').catch(() => undefined);
        if (holder !== undefined && !(await isRunning(JSON.parse(holder) as ProcessIdentity)))
          await this.#breakLock(holder);
        else if (Date.now() > deadline) throw new Error(`${this.#lockPath} is held by process ${holder}`);
        else await sleep(LOCK_RETRY);
      }
    } finally {
      await rm(own, { force: true });
    }
  }

  async #breakLock(holder: string): Promise<void> {
    const aside = join(this.#folder, `lock.${randomUUID()}`);
    try {
      await rename(this.#lockPath, aside);
    } catch {
      return;
    }
    // Another process was quicker and this is its new lock: back with it.
    if ((await readFile(aside, 'utf8')) !== holder) await linked(aside, this.#lockPath);
    await rm(aside, { force: true });
  }

  /** Device names have no slash (the kernel refuses them) and, with the suffix, are no `.` or `..`. */
  #path(device: string): string {
    if (device.includes('/') || device === '') throw new Error(`not a device name: ${JSON.stringify(device)}`);
    return join(this.#folder, `${device}${SUFFIX}`);
  }

  get #lockPath(): string {
    return join(this.#folder, 'lock');
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
