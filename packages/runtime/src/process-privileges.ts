/**
 * What the process gives up once everything that needs it is open: its root folder, user, group and capabilities.
 *
 *   prepare (as root, before anything is opened) ─▶ … the tunnel comes up … ─▶ drop (once)
 *
 * The main thread keeps CAP_NET_ADMIN, for routes and the tun; other threads keep nothing. Threads inherit from the one
 * that starts them, so libuv's are started before.
 * upstream: init.c `do_uid_gid_chroot`, platform.c `platform_user_group_set` (2.6).
 */
import type { LogLine, ProcessOptions } from '@seikan/engine';
import {
  changeRoot,
  dropPrivileges,
  forbidSwap,
  hasCapability,
  type Identity,
  lookUpIdentity,
  setNice,
  startThreadPool,
} from '@seikan/native';

import { formatLocalTime } from './line-log.js';
import { MaterialError, reasonOf } from './materials.js';

export class ProcessPrivileges {
  readonly #options: ProcessOptions;
  readonly #identity: Identity;
  #dropped = false;

  private constructor(options: ProcessOptions, identity: Identity) {
    this.#options = options;
    this.#identity = identity;
  }

  /** Looks names up while their files can be read. Throws a MaterialError that names what does not exist or is refused. */
  static async prepare(options: ProcessOptions, log: (line: LogLine) => void): Promise<ProcessPrivileges> {
    const { user, group, nice, mlock } = options;
    const identity = identityOf(user, group);
    if (nice !== 0) {
      attempt(`nice ${nice} failed`, () => setNice(nice));
      log(notice(`nice ${nice} succeeded`));
    }
    if (mlock) attempt('mlock', () => forbidSwap());
    await startThreadPool();
    return new ProcessPrivileges(options, identity);
  }

  /** Paths of before mean something else now. */
  get rootChanged(): boolean {
    return this.#dropped && this.#options.chroot !== undefined;
  }

  /** As whom and where the processes of plugins are to run from the same moment on; undefined: as before. */
  get forOthers(): { readonly uid: number; readonly gid: number; readonly root?: string } | undefined {
    const { user, group, chroot } = this.#options;
    if (user === undefined && group === undefined && chroot === undefined) return undefined;
    const { uid = process.getuid?.() ?? 0, gid = process.getgid?.() ?? 0 } = this.#identity;
    return { uid, gid, ...(chroot === undefined ? {} : { root: chroot }) };
  }

  /**
   * Gives everything up and says so. A second call does nothing: what is gone is gone, after SIGHUP too.
   * Throws a MaterialError.
   */
  drop(log: (line: LogLine) => void): boolean {
    if (this.#dropped) return false;
    this.#dropped = true;
    const { chroot, user, group } = this.#options;
    if (chroot !== undefined) {
      formatLocalTime(Date.now()); // the time zone's file is read now
      attempt(`chroot to '${chroot}' failed`, () => changeRoot(chroot));
      log(notice(`chroot to '${chroot}' and cd to '/' succeeded`));
    }
    if (user === undefined && group === undefined) return true;
    const keep = hasCapability('CAP_NET_ADMIN') ? (['CAP_NET_ADMIN'] as const) : [];
    attempt('giving up privileges', () => dropPrivileges(this.#identity, keep));
    if (group !== undefined) log(notice(`GID set to ${group}`));
    if (user !== undefined) log(notice(`UID set to ${user}`));
    if (keep.length > 0) log(notice('Capabilities retained: CAP_NET_ADMIN'));
    return true;
  }
}

function identityOf(user: string | undefined, group: string | undefined): Identity {
  const find = (kind: string, name: string | undefined, look: () => Identity): Identity => {
    try {
      return look();
    } catch (error) {
      throw new MaterialError(`failed to find ${kind} ${name ?? ''}`, { cause: error });
    }
  };
  find('GID for group', group, () => lookUpIdentity(undefined, group));
  return find('UID for user', user, () => lookUpIdentity(user, group));
}

function attempt<Result>(what: string, step: () => Result): Result {
  try {
    return step();
  } catch (error) {
    throw new MaterialError(`${what}: ${reasonOf(error)}`, { cause: error });
  }
}

function notice(text: string): LogLine {
  return { verb: 1, severity: 'notice', prefix: undefined, text };
}
