/**
 * What a client's own file, or what a client-connect event answered, says of the client, with the files that it includes
 * (`config`): each is asked for, and what was there before is read again with it.
 * upstream: multi.c `multi_client_connect_source_ccd`, options.c `options_server_import` (2.6).
 */
import type { Crypto } from '@seikan/core';

import type { Asks } from '../asks.js';
import type { ClientConfig } from '../options/client-config.js';
import type { Options } from '../options/options.js';
import { parseClientConfig } from '../options/parse.js';
import type { Time } from '../output.js';

/**
 * Where the file of a client is looked for; undefined: its name is none of a file. The name came from a certificate or a
 * login: it stays inside the directory. upstream: `platform_gen_path`.
 */
export function clientFile(directory: string, name: string): string | undefined {
  return name === '.' || name === '..' ? undefined : `${directory}/${name.replaceAll('/', '_')}`;
}

export interface ClientConfigText {
  readonly text: string;
  /** As messages name it. */
  readonly source: string;
  /** What was said of the client before. */
  readonly base: ClientConfig;
}

export type ReadClientConfig = ReturnType<typeof parseClientConfig>;

export function readClientConfig(
  { text, source, base }: ClientConfigText,
  { options, crypto, asks }: { readonly options: Options; readonly crypto: Crypto; readonly asks: Asks },
  then: (read: ReadClientConfig, time: Time) => void,
  time: Time,
): void {
  // The process stands in `cd` by now.
  const here = { ...options, process: { ...options.process, cd: undefined } };
  const included = new Map<string, string | undefined>();
  const attempt = (at: Time): void => {
    const unknown = new Set<string>();
    const read = (path: string): string | undefined => {
      if (!included.has(path)) unknown.add(path);
      return included.get(path);
    };
    const result = parseClientConfig(text, source, { options: here, base, files: { read, crypto } });
    const [path] = unknown;
    if (path === undefined) return then(result, at);
    asks.ask('read-file', { path }, (answer, when) => {
      included.set(path, 'error' in answer ? undefined : answer.text);
      attempt(when);
    });
    return undefined;
  };
  attempt(time);
}
