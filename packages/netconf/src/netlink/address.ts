/**
 * Addresses of links in rtnetlink.
 *
 *   ifaddrmsg  u8 family · u8 prefix length · u8 flags · u8 scope · u32 link index · attributes
 *
 * IFA_LOCAL is the link's own address, IFA_ADDRESS the peer's on a point-to-point link; without a peer both are equal
 * (IPv6 then carries IFA_ADDRESS alone). Source: Linux include/uapi/linux/if_addr.h.
 */
import { type IpFamily, ipBytes, ipFamily, ipText } from '../ip.js';
import {
  attributeU32,
  FieldReader,
  MessageFlag,
  MessageWriter,
  NetlinkFormatError,
  type NetlinkMessage,
  parseAttributes,
} from './message.js';

export const AddressMessage = { new: 20, delete: 21, get: 22 } as const;
export const AF_INET = 2;
export const AF_INET6 = 10;

const ADDRESS_HEADER_SIZE = 8;
const Attr = { address: 1, local: 2, broadcast: 4, flags: 8 } as const;

/** IFA_F_*; the ones that matter here. */
export const AddressFlag = { noDuplicateDetection: 0x02, permanent: 0x80 } as const;

export interface InterfaceAddress {
  readonly linkIndex: number;
  readonly address: string;
  readonly prefixLength: number;
  /** The other end of a point-to-point link; the prefix length is then the peer's. */
  readonly peer?: string;
  readonly broadcast?: string;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  readonly scope: number;
  readonly flags: number;
}

export function addressFamily(family: IpFamily): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** Reads an RTM_NEWADDR or RTM_DELADDR; undefined for families other than IPv4 and IPv6. */
export function parseAddress(message: NetlinkMessage): InterfaceAddress | undefined {
  const fields = new FieldReader(message.payload);
  const family = fields.u8(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  let local: string | undefined;
  let address: string | undefined;
  let broadcast: string | undefined;
  let flags = fields.u8(2);
  for (const attribute of parseAttributes(message.payload.subarray(ADDRESS_HEADER_SIZE))) {
    if (attribute.type === Attr.local) local = ipText(attribute.value);
    else if (attribute.type === Attr.address) address = ipText(attribute.value);
    else if (attribute.type === Attr.broadcast) broadcast = ipText(attribute.value);
    else if (attribute.type === Attr.flags) flags = attributeU32(attribute);
  }
  const own = local ?? address;
  if (own === undefined) throw new NetlinkFormatError('an address message without an address');
  return {
    linkIndex: fields.u32(4),
    address: own,
    prefixLength: fields.u8(1),
    ...(address !== undefined && address !== own ? { peer: address } : {}),
    ...(broadcast !== undefined ? { broadcast } : {}),
    scope: fields.u8(3),
    flags,
  };
}

export function encodeAddressDump(): MessageWriter {
  return new MessageWriter(AddressMessage.get, MessageFlag.request | MessageFlag.dump).u8(0, 0, 0, 0).u32(0);
}

/** EEXIST when the link has the address already. IPv6 addresses are added without duplicate address detection when the flag says so. */
export function encodeAddressAdd(address: InterfaceAddress): MessageWriter {
  const { request, ack, create, exclusive } = MessageFlag;
  return encode(AddressMessage.new, request | ack | create | exclusive, address);
}

/** EADDRNOTAVAIL when the link does not have the address. */
export function encodeAddressDelete(address: InterfaceAddress): MessageWriter {
  return encode(AddressMessage.delete, MessageFlag.request | MessageFlag.ack, address);
}

export function describeAddress({ address, prefixLength, peer, linkIndex }: InterfaceAddress): string {
  return `${address}${peer === undefined ? '' : ` peer ${peer}`}/${prefixLength} link ${linkIndex}`;
}

function encode(type: number, flags: number, address: InterfaceAddress): MessageWriter {
  const writer = new MessageWriter(type, flags)
    .u8(
      ipFamily(address.address) === 6 ? AF_INET6 : AF_INET,
      address.prefixLength,
      address.flags & 0xff & ~AddressFlag.permanent,
      address.scope,
    )
    .u32(address.linkIndex)
    .attribute(Attr.local, ipBytes(address.address))
    .attribute(Attr.address, ipBytes(address.peer ?? address.address));
  if (address.broadcast !== undefined) writer.attribute(Attr.broadcast, ipBytes(address.broadcast));
  return writer;
}
