/**
 * Files that are written again and again while the tunnel runs: status, address pool. They are opened at the start and
 * stay open, so that they can be written without root and from inside a chroot.
 * upstream: status.c `status_open`, `status_reset` (2.6).
 */
import { closeSync, constants as files, ftruncateSync, openSync, writeSync } from 'node:fs';

import type { LogLine, Options } from '@seikan/engine';

import { reasonOf } from './materials.js';

export class KeptFiles {
  readonly #open = new Map<string, number>();
  /** Paths whose last write failed: each is warned of once, not once a second. */
  readonly #failing = new Set<string>();
  readonly #log: (line: LogLine) => void;

  /** Opens what the options name, and makes what is missing; what cannot be opened is a warning. */
  constructor({ log: { status }, server: { poolPersist } }: Options, log: (line: LogLine) => void) {
    this.#log = log;
    for (const path of [status?.file, poolPersist?.file]) {
      if (path === undefined) continue;
      try {
        this.#open.set(path, openSync(path, files.O_RDWR | files.O_CREAT, 0o600));
      } catch (error) {
        this.#warn(`Note: cannot open ${path} for WRITE: ${reasonOf(error)}`);
      }
    }
  }

  /** Replaces the contents. A full disk is logged and the tunnel goes on. */
  write(path: string, text: string): void {
    const fd = this.#open.get(path);
    if (fd === undefined) return;
    try {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
      ftruncateSync(fd, bytes.length);
      this.#failing.delete(path);
    } catch (error) {
      if (!this.#failing.has(path)) this.#warn(`Cannot write ${path}: ${reasonOf(error)}`);
      this.#failing.add(path);
    }
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #warn(text: string): void {
    this.#log({ verb: 1, severity: 'warning', prefix: undefined, text });
  }
}
