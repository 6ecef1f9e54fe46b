/**
 * Links (interfaces) in rtnetlink.
 *
 *   ifinfomsg  u8 family · u8 0 · u16 hardware type · i32 index · u32 flags · u32 mask of the flags to change · attributes
 *
 * Source: Linux include/uapi/linux/if_link.h and rtnetlink.h.
 */
import {
  attributeString,
  attributeU32,
  FieldReader,
  MessageFlag,
  MessageWriter,
  type NetlinkMessage,
  parseAttributes,
} from './message.js';

export const LinkMessage = { new: 16, delete: 17, get: 18 } as const;

const LINK_HEADER_SIZE = 16;
const Attr = { hardwareAddress: 1, name: 3, mtu: 4, txQueueLength: 13, linkInfo: 18, extendedMask: 29 } as const;
const InfoAttr = { kind: 1, data: 2 } as const;
const FLAG_UP = 0x1;
/** RTEXT_FILTER_SKIP_STATS: nobody here reads the counters. */
const SKIP_STATS = 8;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  /** All IFF_* flags. */
  readonly flags: number;
  readonly mtu: number;
  readonly txQueueLength: number;
  /** `tun`, `veth`, `ovpn` …; empty for links without a kind (hardware, loopback). */
  readonly kind: string;
  /** `00:16:3e:00:00:01`; absent on links without an Ethernet address. */
  readonly hardwareAddress?: string;
}

export interface LinkChange {
  readonly index: number;
  readonly up?: boolean;
  readonly mtu?: number;
  readonly txQueueLength?: number;
  /** `00:16:3e:00:00:01` */
  readonly hardwareAddress?: string;
}

/** Reads an RTM_NEWLINK or RTM_DELLINK. */
export function parseLink(message: NetlinkMessage): Link {
  const fields = new FieldReader(message.payload);
  const flags = fields.u32(8);
  let name = '';
  let mtu = 0;
  let txQueueLength = 0;
  let kind = '';
  let hardwareAddress: string | undefined;
  for (const attribute of parseAttributes(message.payload.subarray(LINK_HEADER_SIZE))) {
    if (attribute.type === Attr.name) name = attributeString(attribute);
    else if (attribute.type === Attr.mtu) mtu = attributeU32(attribute);
    else if (attribute.type === Attr.txQueueLength) txQueueLength = attributeU32(attribute);
    else if (attribute.type === Attr.hardwareAddress && attribute.value.length === 6) {
      hardwareAddress = Array.from(attribute.value, (byte) => byte.toString(16).padStart(2, '0')).join(':');
    } else if (attribute.type === Attr.linkInfo) {
      const info = parseAttributes(attribute.value).find(({ type }) => type === InfoAttr.kind);
      if (info !== undefined) kind = attributeString(info);
    }
  }
  return {
    index: fields.i32(4),
    name,
    up: (flags & FLAG_UP) !== 0,
    flags,
    mtu,
    txQueueLength,
    kind,
    ...(hardwareAddress === undefined ? {} : { hardwareAddress }),
  };
}

export function encodeLinkDump(): MessageWriter {
  return header(LinkMessage.get, MessageFlag.request | MessageFlag.dump, 0).attributeU32(Attr.extendedMask, SKIP_STATS);
}

/** Asks for one link. */
export function encodeLinkGet(which: number | string): MessageWriter {
  const index = typeof which === 'number' ? which : 0;
  const writer = header(LinkMessage.get, MessageFlag.request, index).attributeU32(Attr.extendedMask, SKIP_STATS);
  return typeof which === 'string' ? writer.attributeString(Attr.name, which) : writer;
}

export function encodeLinkChange({ index, up, mtu, txQueueLength, hardwareAddress }: LinkChange): MessageWriter {
  const writer = header(LinkMessage.new, MessageFlag.request | MessageFlag.ack, index, up);
  if (mtu !== undefined) writer.attributeU32(Attr.mtu, mtu);
  if (txQueueLength !== undefined) writer.attributeU32(Attr.txQueueLength, txQueueLength);
  if (hardwareAddress !== undefined) {
    const bytes = hardwareAddress.split(':').map((byte) => Number.parseInt(byte, 16));
    writer.attribute(Attr.hardwareAddress, Uint8Array.from(bytes));
  }
  return writer;
}

/** Creates a link; `data` writes what its kind wants to know (`ovpn`: the mode). EEXIST when the name is taken. */
export function encodeLinkCreate(name: string, kind: string, data?: (writer: MessageWriter) => void): MessageWriter {
  const { request, ack, create, exclusive } = MessageFlag;
  return header(LinkMessage.new, request | ack | create | exclusive, 0)
    .attributeString(Attr.name, name)
    .nest(Attr.linkInfo, (info) => {
      info.attribute(InfoAttr.kind, new TextEncoder().encode(kind));
      if (data !== undefined) info.nest(InfoAttr.data, data);
    });
}

export function encodeLinkDelete(index: number): MessageWriter {
  return header(LinkMessage.delete, MessageFlag.request | MessageFlag.ack, index);
}

function header(type: number, flags: number, index: number, up?: boolean): MessageWriter {
  const changed = up === undefined ? 0 : FLAG_UP;
  return new MessageWriter(type, flags)
    .u8(0, 0)
    .u16(0)
    .u32(index)
    .u32(up === true ? FLAG_UP : 0)
    .u32(changed);
}
