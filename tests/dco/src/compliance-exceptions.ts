/** Rules of the data channel that the kernel's modules do not keep, and why. They are run all the same, and must fail. */
import type { OffloadFamily } from '@seikan/dco';
import type { ComplianceException } from '@seikan/testkit';

interface Reason {
  readonly why: string;
  /** Of one family; left out, of both. */
  readonly only?: OffloadFamily;
  readonly rules: readonly string[];
}

const reasons: readonly Reason[] = [
  {
    why: 'the modules carry IP only, and no configuration with tap gets them',
    rules: [
      'tap: addresses are learned from sources, follow the latest peer, and are bounded per peer',
      "tap: where control is to be asked, an address is asked about once and is nobody's until it is allowed",
      'tap: broadcast and multicast reach all but the sender, a group source and a short frame are refused',
    ],
  },
  {
    why: 'the modules carry AEAD in P_DATA_V2 without framing, and no other configuration gets them',
    rules: [
      'a server finds peers by peer-id, by address for P_DATA_V1 and for peer-id 0xffffff',
      'static key mode: no header, no control packets, key 0 opens all',
      'compression framing: what is sent, what is taken, what is refused',
      'compressed packets are refused as such, and pings pass through the framing',
      'a stub-v2 payload that begins with 0x50 is escaped',
      'fragment: a large packet leaves in pieces no larger than asked, and pieces in any order make it whole',
      'fragment: what a client has cut and another gets is whole, however small, under every framing',
      'a packet that would need more than 32 fragments is a counted drop',
      'every format carries packets between two channels: AEAD, epoch, CBC, CFB, OFB, without cipher, without HMAC',
    ],
  },
  {
    why: 'the modules know a peer by one number, on packets both ways, and send none without it',
    rules: [
      'send and receive peer-ids are separate',
      'p2p: one peer takes and gives everything, from its link and address alone',
    ],
  },
  {
    why: 'the modules do not look into packets: no MSS, no ICMPv6, no recursion guard, no OCC messages',
    rules: [
      'mssfix: the MSS of SYNs is lowered in both directions, 20 less on IPv6, and the checksum stays right',
      'block-ipv6: IPv6 is answered with ICMPv6 "no route", on the client to the host, on the server to the peer',
      'p2p: tun packets to the address of the peer itself are dropped when recursion is guarded',
      'an OCC message goes to control without its magic, never to the tun; sendMessage puts the magic on',
    ],
  },
  {
    why: "peers reach each other by the host's routes, and groups reach nobody",
    rules: [
      'client-to-client packets stay inside, groups go to the others and the tun; without it all goes to the tun',
      'a group packet of the host goes to every peer',
    ],
  },
  {
    why: "the module takes the next hop from the host's route of a packet (peer.c ovpn_nexthop_from_skb4), and those of this suite come without; the tunnel cases have networks behind clients",
    only: 'ovpn',
    rules: [
      'the longest prefix wins, the latest owner of the same prefix wins, and only the owner can delete',
      "a deleted peer's routes go with it, and one that took a route over keeps it",
    ],
  },
  {
    why: 'nothing tells of the first packet under a key',
    rules: ['the first authentic packet under a key confirms it, once'],
  },
  {
    why: 'the module counts what arrives before it looks at it, replays too',
    rules: ['delPeer answers with the final counters'],
  },
  {
    why: 'the module counts pings as traffic of the tunnel, both ways',
    only: 'ovpn-dco-v2',
    rules: ['a ping goes out when nothing else has for the interval, and never reaches a tun'],
  },
  {
    why: 'the module neither pings nor lets a peer expire where one of both times is missing (peer.c ovpn_peer_keepalive_work_single)',
    only: 'ovpn',
    rules: ['a ping goes out when nothing else has for the interval, and never reaches a tun'],
  },
  {
    why: 'a silent peer is gone, with its keys; only what the module receives is a sign of life',
    rules: [
      'a silent peer is reported once, and again after it was heard',
      'a control packet that control accepted is a sign of life; a forged data packet is none',
    ],
  },
  {
    why: 'the module follows a peer wherever it is heard, on its own socket',
    rules: [
      'when another peer holds the address control decides, and the conflict is not reported with every packet',
      'a peer that may not float is heard at its address only',
      'a peer may float to another link, and is answered there',
    ],
  },
  {
    why: 'it does not tell of floats',
    only: 'ovpn-dco-v2',
    rules: ['a float is accepted after authentication only, reported, and before any later control packet'],
  },
  {
    why: 'it moves a peer to where a packet with its peer-id comes from before it has opened it (udp.c ovpn_udp_encap_recv)',
    only: 'ovpn-dco-v2',
    rules: ['a replayed packet from elsewhere does not move the peer'],
  },
  {
    why: "queues are the kernel's own",
    rules: ['a full queue of a link or the tun is a counted drop of that packet'],
  },
  {
    why: 'peers go with their link, and their keys are not kept (decision 0131)',
    rules: ['the tun can be taken away, replaced, and lost'],
  },
];

export function exceptionsOf(family: OffloadFamily): readonly ComplianceException[] {
  return reasons
    .filter(({ only = family }) => only === family)
    .flatMap(({ rules, why }) => rules.map((rule) => ({ rule, why, run: true })));
}
