/**
 * A cell: one session of the unchanged OpenVPN 3 client with our server. The cells are data: `cells.txt`, one line a
 * cell, in the order of the columns below; the last column says whether CI runs it.
 */
import type { Wrap } from '#interop/cell.js';
import { type EventName, events } from './events.js';

const protos = ['udp4', 'udp6', 'tcp4', 'tcp6'] as const;
const wraps = ['none', 'tls-auth', 'tls-crypt', 'tls-crypt-v2'] as const satisfies readonly Wrap[];
const ciphers = ['AES-128-GCM', 'AES-256-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC'] as const;
const tlsVersions = ['1.2', '1.3'] as const;

export interface Cell {
  readonly proto: (typeof protos)[number];
  readonly wrap: (typeof wraps)[number];
  readonly cipher: (typeof ciphers)[number];
  readonly tls: (typeof tlsVersions)[number];
  readonly event: EventName;
  readonly ci: boolean;
}

export const isAead = ({ cipher }: Cell): boolean => !cipher.endsWith('CBC');
export const overUdp = ({ proto }: Cell): boolean => proto.startsWith('udp');

export function cellName({ proto, wrap, cipher, tls, event }: Cell): string {
  return [proto, wrap, cipher, tls, event].join(' ');
}

/** Blank lines and lines that start with # are comments. */
export function parseCells(text: string): Cell[] {
  return text.split('\n').flatMap((line, index) => {
    if (/^\s*(#|$)/.test(line)) return [];
    const [proto, wrap, cipher, tls, event, when, ...rest] = line.trim().split(/\s+/);
    const oneOf = <V extends string>(known: readonly V[], word: string | undefined): V => {
      const found = known.find((one) => one === word);
      if (found === undefined)
        throw new Error(`cells.txt:${index + 1}: '${word ?? ''}' is none of ${known.join(', ')}`);
      return found;
    };
    if (rest.length > 0) throw new Error(`cells.txt:${index + 1}: expected six words`);
    return [
      {
        proto: oneOf(protos, proto),
        wrap: oneOf(wraps, wrap),
        cipher: oneOf(ciphers, cipher),
        tls: oneOf(tlsVersions, tls),
        event: oneOf(Object.keys(events) as EventName[], event),
        ci: oneOf(['ci', 'all'], when) === 'ci',
      },
    ];
  });
}
