/**
 * The small files through which plugins and scripts answer: `openvpn_<prefix>_<32 hex digits>.tmp`, empty, mode 0600.
 *
 * Source: OpenVPN 2.6 src/openvpn/platform.c platform_create_temp_file(). Everything here is synchronous: the files
 * are a few bytes in tmp-dir, and a verdict must not wait for the thread pool (one thread under Debian's task limits).
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  type FSWatcher,
  openSync,
  readFileSync,
  unlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';

export type TempPrefix = 'acf' | 'apf' | 'afr' | 'cc' | 'ccr' | 'cr' | 'up' | 'pef' | 'tls_crypt_v2_metadata_';

/** Creates a temporary file and returns its path. Throws the system's error: tmp-dir full, missing or not writable. */
export function createTempFile(folder: string, prefix: TempPrefix, content: Uint8Array | string = ''): string {
  // Not joined: plugins and scripts are told the folder as it is configured.
  const path = `${folder}/openvpn_${prefix}_${randomBytes(16).toString('hex')}.tmp`;
  const file = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(file, content);
  } finally {
    closeSync(file);
  }
  return path;
}

/** Unlinks; a file that is gone already is what was wanted. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Plugins and scripts may have removed or replaced it.
  }
}

/** What stands in a file, or nothing where it is gone or may not be read. A pipe in its place is not waited for. */
export function readIfThere(path: string): Buffer {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return readFileSync(file);
    } finally {
      closeSync(file);
    }
  } catch {
    return Buffer.alloc(0);
  }
}

/**
 * Calls `look` when the file may have changed, at once after a write and every second besides (a file that was
 * replaced, a file system without inotify). Returns the function that ends it.
 */
export function watchFile(path: string, look: () => void): () => void {
  const timer = setInterval(look, 1_000);
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(path, { persistent: false }, look);
    watcher.on('error', () => watcher?.close());
  } catch {
    // No watch to be had (limit of inotify watches): the timer alone sees it within a second, as in OpenVPN.
  }
  return () => {
    clearInterval(timer);
    watcher?.close();
  };
}
