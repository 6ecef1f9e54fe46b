/**
 * DNS by resolv.conf: the file is replaced while tunnels are up and comes back, the very same file, with the last.
 *
 * The original keeps its inode under another name (`resolv.conf.seikan`), also when it is a symbolic link: what it points
 * to is another program's and is not written. Each replacement is one rename, so a reader sees the old or the new file.
 * Where the file is a mount point (containers) nothing can be renamed onto it: then it is written in place.
 *
 * When another program replaces the file meanwhile, its file is the new original; at the end it is left alone.
 */
import { constants } from 'node:fs';
import { link, lstat, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

import { type DnsBackend, type DnsResult, type DnsSettings, plainDns } from './dns-backend.js';
import { type DnsRecord, DnsRecords } from './dns-records.js';
import { addedServers, formatResolvConf, isOurs, parseResolvConf } from './resolv-conf-text.js';

export interface ResolvConfFileOptions {
  readonly path?: string;
  /** Where the records of all processes lie. */
  readonly stateFolder?: string;
  /** Where the original is kept: in the same folder. */
  readonly backupPath?: string;
}

const FILE_MODE = 0o644;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;

export class ResolvConfFile implements DnsBackend {
  readonly moment = 'before-up';
  readonly #path: string;
  readonly #backup: string;
  readonly #records: DnsRecords;

  constructor(options: ResolvConfFileOptions = {}) {
    const { path = '/etc/resolv.conf', stateFolder = '/run/seikan/resolv.conf' } = options;
    this.#path = path;
    this.#backup = options.backupPath ?? `${path}.seikan`;
    if (dirname(this.#backup) !== dirname(path)) throw new RangeError('the backup must lie beside the file');
    this.#records = new DnsRecords(stateFolder);
  }

  async apply(device: string, settings: DnsSettings): Promise<DnsResult> {
    const { servers, searchDomains, warnings } = plainDns(settings);
    await this.#records.exclusively(async (live) => {
      const others = live.filter((record) => record.device !== device);
      const earlier = live.find((record) => record.device === device);
      const order = earlier?.order ?? Math.max(0, ...others.map((record) => record.order)) + 1;
      await this.#records.put(device, { order, servers, searchDomains });
      await this.#commit([...others, { order, servers, searchDomains }].toSorted((a, b) => a.order - b.order));
    });
    return { warnings };
  }

  async revert(device: string): Promise<void> {
    await this.#records.exclusively(async (live) => {
      await this.#commit(live.filter((record) => record.device !== device));
      await this.#records.remove(device);
    });
  }

  async recover(): Promise<void> {
    await this.#records.exclusively((live) => this.#commit(live));
  }

  async #commit(records: readonly Pick<DnsRecord, 'servers' | 'searchDomains'>[]): Promise<void> {
    const wanted = records.filter(({ servers, searchDomains }) => servers.length + searchDomains.length > 0);
    const present = await readFile(this.#path, 'utf8').catch(absent);
    if (wanted.length === 0) {
      if (present !== undefined && isOurs(present)) await this.#restore();
      else await rm(this.#backup, { force: true });
      return;
    }
    let added: string[] = [];
    if (present !== undefined && isOurs(present))
      added = addedServers(present, parseResolvConf(await this.#original()));
    else await this.#keepOriginal();
    const system = parseResolvConf(await this.#original());
    const text = formatResolvConf(
      { ...system, servers: [...system.servers, ...added] },
      records.toReversed(),
      this.#backup,
    );
    if (text !== present) await this.#replace(text);
  }

  /** Gives the original a second name; without an original there is none, which `#restore` understands. */
  async #keepOriginal(): Promise<void> {
    await rm(this.#backup, { force: true });
    try {
      await link(this.#path, this.#backup);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      // A mount point lies on another file system than its folder.
      if (code !== 'EXDEV') throw error;
      await writeNew(this.#backup, await readFile(this.#path, 'utf8'));
    }
  }

  async #original(): Promise<string> {
    return (await readFile(this.#backup, 'utf8').catch(absent)) ?? '';
  }

  async #replace(text: string): Promise<void> {
    const draft = `${this.#path}.seikan-new`;
    await rm(draft, { force: true });
    await writeNew(draft, text);
    await this.#putInPlace(draft);
  }

  async #restore(): Promise<void> {
    if ((await lstat(this.#backup).catch(absent)) === undefined) await rm(this.#path);
    else await this.#putInPlace(this.#backup);
  }

  /** Renames a file onto resolv.conf, or copies it where that is a mount point. */
  async #putInPlace(from: string): Promise<void> {
    try {
      await rename(from, this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
      await overwrite(this.#path, await readFile(from, 'utf8'));
      await rm(from);
    }
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
  try {
    await file.writeFile(text);
    await file.chmod(FILE_MODE);
    // Unlike the kernel's network, this file outlives a power cut.
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function overwrite(path: string, text: string): Promise<void> {
  const file = await open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW);
  try {
    await file.writeFile(text);
    await file.datasync();
  } finally {
    await file.close();
  }
}
