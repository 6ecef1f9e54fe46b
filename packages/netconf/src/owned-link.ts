/**
 * A link that outlives the process that makes it (kernel offload; a tun goes with its descriptor): written down before it
 * is made, so that whoever comes after a crash takes it away.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { JOURNAL_FOLDER, Journal, JournalError, journalPathOf } from './journal.js';
import { NetlinkError } from './netlink/connection.js';
import { RouteNetlink } from './netlink/route-netlink.js';

/** What the journal says of a link; the index once it is made. */
interface LinkRecord {
  readonly name: string;
  readonly kind: string;
  readonly index?: number;
}

export interface LinkMaking {
  readonly netlink: RouteNetlink;
  readonly name: string;
  /** As the kernel names it. */
  readonly kind: string;
  /** Makes it; rejects with a NetlinkError, EEXIST when the name is taken. */
  readonly create: () => Promise<{ readonly index: number }>;
  /** Where the journal lies. */
  readonly folder?: string;
  /** The journal cannot be written, and why: the link is made without. Left out, it is not made. */
  readonly unjournalled?: (why: Error) => void;
}

export const LINK_SUFFIX = '.link';

export class OwnedLink {
  readonly name: string;
  readonly index: number;
  readonly #netlink: RouteNetlink;
  readonly #journal: Journal<LinkRecord> | undefined;

  private constructor({ netlink, name }: LinkMaking, index: number, journal: Journal<LinkRecord> | undefined) {
    this.name = name;
    this.index = index;
    this.#netlink = netlink;
    this.#journal = journal;
  }

  /**
   * Rejects with what `create` rejects with, EEXIST for a name that is taken, EINVAL or ERANGE for one that no link can
   * have; nothing is left behind then. The name may be a stranger's: it is part of the journal's path.
   */
  static async make(making: LinkMaking): Promise<OwnedLink> {
    const { netlink, name, kind, create } = making;
    const fault = nameFault(name);
    if (fault !== undefined) throw new NetlinkError(`create ${kind} link ${name}`, fault);
    // Before it is written down: what is there already is somebody else's, and no crash must make it ours.
    if ((await netlink.link(name)) !== undefined) throw new NetlinkError(`create ${kind} link ${name}`, EEXIST);
    const journal = await beginJournal(making);
    try {
      const { index } = await create();
      await journal?.write([{ id: 0, state: 'done', step: { name, kind, index } }]);
      return new OwnedLink(making, index, journal);
    } catch (error) {
      await journal?.remove();
      throw error;
    }
  }

  /** One that is gone already is fine. */
  async remove(): Promise<void> {
    await deleteLink(this.#netlink, this.index);
    // Out of reach in a chroot, or of another user by now: the next recovery finds no link, and drops it.
    await this.#journal?.remove().catch(() => {});
  }
}

async function beginJournal(making: LinkMaking): Promise<Journal<LinkRecord> | undefined> {
  const { name, kind, folder = JOURNAL_FOLDER, unjournalled } = making;
  try {
    const { journal } = await Journal.open<LinkRecord>(await journalPathOf(name, folder, LINK_SUFFIX));
    await journal.write([{ id: 0, state: 'planned', step: { name, kind } }]);
    return journal;
  } catch (error) {
    if (unjournalled === undefined || !(error instanceof Error)) throw error;
    unjournalled(error);
    return undefined;
  }
}

/**
 * Takes away the links that processes which died left in this network namespace, and resolves to their names. Call it
 * before the first is made: this process's own are no longer distinguished from a dead one's of the same number.
 */
export async function recoverLinks(folder = JOURNAL_FOLDER): Promise<readonly string[]> {
  const removed: string[] = [];
  const netlink = new RouteNetlink();
  try {
    for (const file of (await filesIn(folder)).filter((one) => one.endsWith(LINK_SUFFIX))) {
      try {
        const { journal, left } = await Journal.open<LinkRecord>(join(folder, file));
        const [record] = left;
        if (record === undefined) continue;
        const { name, kind, index } = record.step;
        const link = await netlink.link(name);
        if (link?.kind === kind && link.index === (index ?? link.index)) {
          await deleteLink(netlink, link.index);
          removed.push(name);
        }
        await journal.remove();
      } catch (error) {
        if (!(error instanceof JournalError)) throw error;
      }
    }
  } finally {
    netlink.close();
  }
  return removed;
}

const EEXIST = 17;
const EINVAL = 22;
const ERANGE = 34;
const LONGEST_NAME = 15;

/** The kernel's rule (net/core/dev.c dev_valid_name), and no pattern that it would fill in by itself (`tun%d`). */
function nameFault(name: string): number | undefined {
  if (Buffer.byteLength(name) > LONGEST_NAME) return ERANGE;
  return /^[^/:%\s\0]+$/.test(name) && name !== '.' && name !== '..' ? undefined : EINVAL;
}

async function filesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'EACCES') return [];
    throw error;
  });
}

async function deleteLink(netlink: RouteNetlink, index: number): Promise<void> {
  try {
    await netlink.deleteLink(index);
  } catch (error) {
    if (!(error instanceof NetlinkError && error.code === 'ENODEV')) throw error;
  }
}
