/** The file system as the options ask for it: texts, and what may be done with a path. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';

import type { ConfigFiles, FileProbe } from '@seikan/engine';
import { createCrypto } from '@seikan/native';

/** `stdin` names standard input, which can be read once: its text is kept for a SIGHUP and for a daemon. */
export class ConfigurationFiles implements ConfigFiles {
  readonly tempDirectory = process.env['TMPDIR'] ?? '/tmp';
  readonly crypto = createCrypto();
  #standardInput: string | undefined;

  constructor(standardInput: string | undefined) {
    this.#standardInput = standardInput;
  }

  get standardInput(): string | undefined {
    return this.#standardInput;
  }

  read(path: string): string | undefined {
    try {
      if (path === 'stdin') return (this.#standardInput ??= readFileSync(0, 'utf8'));
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  ENOTDIR: 'Not a directory',
  EROFS: 'Read-only file system',
  ELOOP: 'Too many levels of symbolic links',
  ENAMETOOLONG: 'File name too long',
};
const MODES: Readonly<Record<string, number>> = { r: constants.R_OK, w: constants.W_OK, x: constants.X_OK };

export const fileProbe: FileProbe = {
  access(path, mode) {
    try {
      let bits: number = constants.F_OK;
      for (const letter of mode) bits |= MODES[letter] ?? 0;
      accessSync(path, bits);
      return undefined;
    } catch (error) {
      const { code = '', errno = 0 } = error as NodeJS.ErrnoException;
      return { text: REASONS[code] ?? code, errno: Math.abs(errno) };
    }
  },
  permissions(path) {
    return statSync(path, { throwIfNoEntry: false })?.mode;
  },
};
