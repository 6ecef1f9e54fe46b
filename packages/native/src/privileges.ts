/**
 * Giving up privileges: user, group, root folder, capabilities, core dumps, niceness.
 *
 * The user and group ids belong to the process: changing them changes every thread. Capabilities belong to threads: when
 * the user id leaves 0, every thread loses all of them, except that the thread which calls dropPrivileges keeps those it
 * asked for. A thread that starts later begins with those of the thread that starts it: see dropThreadCapabilities and
 * startThreadPool.
 */
import { readdirSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { isMainThread } from 'node:worker_threads';

import { loadAddon } from './addon.js';

interface PrivilegeAddon {
  capabilitiesGet(words: Uint32Array): void;
  capabilitiesSet(low: number, high: number): void;
  capabilitiesKeep(on: boolean): void;
  capabilitiesBound(low: number): void;
  processExecute(words: readonly string[], low: number): never;
  processSetDumpable(on: boolean): void;
  processChangeRoot(path: string): void;
  userLookup(name: string): UserEntry | undefined;
  groupLookup(name: string): number | undefined;
  groupList(user: string, gid: number, groups: Uint32Array): number;
}

interface UserEntry {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
}

/** linux/capability.h, those that a VPN daemon has a use for. All stand in the first of the two words. */
const CAPABILITIES = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_FOWNER: 3,
  CAP_KILL: 5,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_CHROOT: 18,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_NICE: 23,
} as const;

export type Capability = keyof typeof CAPABILITIES;

/** Who a process becomes. */
export interface Identity {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

/**
 * Looks up `user` and `group` (names, or ids in digits), before chroot takes their files away. Throws an Error that names
 * what does not exist. Differs from OpenVPN 2.x: `user` without `group` also leaves root's groups for the user's own.
 */
export function lookUpIdentity(user: string | undefined, group: string | undefined): Identity {
  const native = loadAddon() as PrivilegeAddon;
  const named = group === undefined ? undefined : native.groupLookup(group);
  if (group !== undefined && named === undefined) throw new Error(`there is no group ${group}`);
  if (user === undefined) return { uid: undefined, gid: named, groups: named === undefined ? [] : [named] };
  const entry = native.userLookup(user);
  if (entry === undefined) throw new Error(`there is no user ${user}`);
  if (named !== undefined) return { uid: entry.uid, gid: named, groups: [named] };
  const groups = new Uint32Array(65_536);
  const count = native.groupList(entry.name, entry.gid, groups);
  return { uid: entry.uid, gid: entry.gid, groups: [...groups.subarray(0, count)] };
}

/**
 * Becomes `identity` in all threads and for good. This thread, and no other, keeps the capabilities of `keep`.
 * Main thread only. Throws a system error (EPERM) when this is not allowed; some of it may be done then: do not go on.
 */
export function dropPrivileges({ uid, gid, groups }: Identity, keep: readonly Capability[] = []): void {
  const native = loadAddon() as PrivilegeAddon;
  if (keep.length > 0) native.capabilitiesKeep(true);
  if (gid !== undefined) {
    process.setgroups?.([...groups]);
    process.setgid?.(gid);
  }
  if (uid !== undefined) process.setuid?.(uid);
  if (keep.length === 0) return;
  limitThreadCapabilities(keep);
  native.capabilitiesKeep(false);
}

/**
 * Becomes `identity` for good and executes a program in place of this one: unlike after dropPrivileges, each of its
 * threads has the capabilities of `keep`, and neither it nor its children can get others. The environment and the
 * descriptors marked as inheritable pass on. Main thread only. Returns only by throwing a system error.
 */
export function executeAs(
  { uid, gid, groups }: Identity,
  keep: readonly Capability[],
  words: readonly string[],
): never {
  const native = loadAddon() as PrivilegeAddon;
  const low = wordOf(keep);
  native.capabilitiesBound(low);
  native.capabilitiesKeep(true);
  if (gid !== undefined) {
    process.setgroups?.([...groups]);
    process.setgid?.(gid);
  }
  if (uid !== undefined) process.setuid?.(uid);
  return native.processExecute(words, low);
}

/** This thread has exactly these capabilities from now on, and cannot get others back. Throws EPERM when it lacks one. */
export function limitThreadCapabilities(keep: readonly Capability[]): void {
  (loadAddon() as PrivilegeAddon).capabilitiesSet(wordOf(keep), 0);
}

function wordOf(names: readonly Capability[]): number {
  return names.reduce((word, name) => word | (1 << CAPABILITIES[name]), 0) >>> 0;
}

/**
 * What a worker thread calls first, when its maker has capabilities that it must not have. Until dropPrivileges it keeps
 * those of changing ids: glibc changes them in every thread, and ends a process in which that succeeds in one only.
 */
export function dropThreadCapabilities(): void {
  limitThreadCapabilities((['CAP_SETGID', 'CAP_SETUID'] as const).filter(hasCapability));
}

/** This thread's effective capabilities, as the two words of capget(2), low word first. */
export function threadCapabilities(): readonly [low: number, high: number] {
  const words = new Uint32Array(6);
  (loadAddon() as PrivilegeAddon).capabilitiesGet(words);
  const [low = 0, high = 0] = words;
  return [low, high];
}

/** Whether this thread has a capability. */
export function hasCapability(name: Capability): boolean {
  return (threadCapabilities()[0] & (1 << CAPABILITIES[name])) !== 0;
}

/**
 * Starts libuv's threads, which otherwise start at the first asynchronous file operation: to be awaited before
 * dropPrivileges, so that they do not inherit what the main thread keeps.
 */
export async function startThreadPool(): Promise<void> {
  await stat('/');
}

/** `chroot`: the folder becomes the root of every thread and the working directory. Throws EPERM, ENOENT, ENOTDIR. */
export function changeRoot(folder: string): void {
  (loadAddon() as PrivilegeAddon).processChangeRoot(folder);
  // Node remembers the working directory; only its own chdir, which workers lack, makes it forget.
  if (isMainThread) process.chdir('/');
}

/** Whether the process leaves core dumps. Dropping privileges forbids them by itself. */
export function setDumpable(on: boolean): void {
  (loadAddon() as PrivilegeAddon).processSetDumpable(on);
}

/** `nice`, cut to -20 to 19 as the kernel does, for every thread (Linux gives each its own); threads that start later inherit it. Throws EACCES. */
export function setNice(niceness: number): void {
  for (const thread of readdirSync('/proc/self/task'))
    setPriority(Number(thread), Math.min(Math.max(niceness, -20), 19));
}
