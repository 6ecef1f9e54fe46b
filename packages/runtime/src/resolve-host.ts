/** Names of hosts, as the system resolves them. */
import { lookup } from 'node:dns/promises';

import type { Endpoint } from '@seikan/core';
import type { AskFailure } from '@seikan/engine';

import { reasonOf } from './materials.js';
import { scopedEndpoint } from './scoped-address.js';

/** What libc says of a name that cannot be resolved, by node's code. */
const RESOLVER_TEXTS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'Name or service not known',
  EAI_AGAIN: 'Temporary failure in name resolution',
  EAI_FAIL: 'Non-recoverable failure in name resolution',
};

export async function resolveHost(
  host: string,
  port: number,
  family: 4 | 6 | undefined,
): Promise<{ addresses: Endpoint[] } | AskFailure> {
  try {
    const found = await lookup(host, { all: true, family: family ?? 0, order: 'verbatim' });
    return {
      addresses: found.map((one) => scopedEndpoint(one.address, one.family === 6 ? 6 : 4, port)),
    };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return { error: RESOLVER_TEXTS[code] ?? reasonOf(error) };
  }
}
