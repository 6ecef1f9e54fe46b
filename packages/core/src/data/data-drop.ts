/** Why a packet was not carried. The order is the order of the counters in shared memory. */
export const dataDrops = [
  // from the link, before authentication
  'too-short',
  'unknown-peer',
  'wrong-peer-id',
  'wrong-address',
  'no-key',
  // authentication and replay
  'bad-auth',
  'bad-epoch',
  'bad-packet-id',
  'replay',
  'too-old',
  // the plaintext
  'bad-fragment',
  'bad-compression',
  'compressed',
  'bad-packet',
  'bad-source',
  'link-local-source',
  // towards a peer
  'no-route',
  'no-primary-key',
  'key-exhausted',
  'too-many-fragments',
  'too-large',
  'recursive-routing',
  'ipv6-blocked',
  // the ends
  'no-tun',
  'tun-full',
  'no-link',
  'link-full',
  'control-full',
  'stale-command',
  // what the kernel's channel cannot say to a peer
  'not-offloaded',
] as const;

export type DataDrop = (typeof dataDrops)[number];
