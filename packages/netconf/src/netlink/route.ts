/**
 * Routes in rtnetlink.
 *
 *   rtmsg  u8 family · u8 destination length · u8 source length · u8 tos
 *          u8 table · u8 protocol · u8 scope · u8 type · u32 flags · attributes
 *
 * A table above 255 stands in RTA_TABLE. Attributes that `Route` has no field for are kept as they came, so that a
 * route that was read, deleted and added again is the same route. Source: Linux include/uapi/linux/rtnetlink.h.
 */
import { anyAddress, hostLength, type IpFamily, ipBytes, ipFamily, ipText } from '../ip.js';
import { AF_INET, AF_INET6, addressFamily } from './address.js';
import {
  type Attribute,
  attributeU16,
  attributeU32,
  FieldReader,
  MessageFlag,
  MessageWriter,
  NetlinkFormatError,
  type NetlinkMessage,
  parseAttributes,
} from './message.js';

export const RouteMessage = { new: 24, delete: 25, get: 26 } as const;
export const RouteTable = { main: 254, local: 255 } as const;
export const RouteProtocol = { unspecified: 0, kernel: 2, boot: 3, static: 4, ra: 9 } as const;
export const RouteScope = { universe: 0, link: 253, host: 254, nowhere: 255 } as const;
export const RouteType = { unicast: 1, local: 2, blackhole: 6, unreachable: 7, prohibit: 8 } as const;
export const RouteFlag = { dead: 0x1, onLink: 0x4, linkDown: 0x10, cloned: 0x200, lookupTable: 0x1000 } as const;

const ROUTE_HEADER_SIZE = 12;
const NEXTHOP_HEADER_SIZE = 8;
const Attr = {
  destination: 1,
  outLink: 4,
  gateway: 5,
  metric: 6,
  preferredSource: 7,
  multipath: 9,
  cacheInfo: 12,
  table: 15,
  via: 18,
  nexthopId: 30,
} as const;

/** Where a route sends a packet: through a link, and through a gateway on it unless the destination is on the link. */
export interface Nexthop {
  readonly linkIndex?: number;
  /** Usually of the route's family; an IPv6 gateway for an IPv4 route travels as RTA_VIA. */
  readonly gateway?: string;
}

export interface Route extends Nexthop {
  readonly family: IpFamily;
  /** `0.0.0.0` or `::` with length 0 for the default route. */
  readonly destination: string;
  readonly prefixLength: number;
  readonly tos: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
  /** Lower wins. Absent on IPv4 means 0; on IPv6 the kernel puts 1024 when asked without one. */
  readonly metric?: number;
  readonly preferredSource?: string;
  /** A multipath route's nexthops, for reading only: its bytes stand in `others`. */
  readonly multipath?: readonly Nexthop[];
  readonly others: readonly Attribute[];
}

/** Reads an RTM_NEWROUTE or RTM_DELROUTE; undefined for families other than IPv4 and IPv6. */
export function parseRoute(message: NetlinkMessage): Route | undefined {
  const fields = new FieldReader(message.payload);
  const family: IpFamily | undefined = fields.u8(0) === AF_INET ? 4 : fields.u8(0) === AF_INET6 ? 6 : undefined;
  if (family === undefined) return undefined;
  const prefixLength = fields.u8(1);
  if (prefixLength > hostLength(family)) throw new NetlinkFormatError(`a route with a prefix of ${prefixLength} bits`);
  let destination = anyAddress(family);
  let table = fields.u8(4);
  let linkIndex: number | undefined;
  let gateway: string | undefined;
  let metric: number | undefined;
  let preferredSource: string | undefined;
  let multipath: Nexthop[] | undefined;
  const others: Attribute[] = [];
  for (const attribute of parseAttributes(message.payload.subarray(ROUTE_HEADER_SIZE))) {
    switch (attribute.type) {
      case Attr.destination:
        destination = address(attribute.value);
        break;
      case Attr.outLink:
        linkIndex = attributeU32(attribute);
        break;
      case Attr.gateway:
        gateway = address(attribute.value);
        break;
      case Attr.via:
        gateway = address(attribute.value.subarray(2));
        break;
      case Attr.metric:
        metric = attributeU32(attribute);
        break;
      case Attr.preferredSource:
        preferredSource = address(attribute.value);
        break;
      case Attr.table:
        table = attributeU32(attribute);
        break;
      case Attr.cacheInfo:
        break;
      case Attr.multipath:
        multipath = parseNexthops(attribute.value);
        others.push(attribute);
        break;
      default:
        others.push(attribute);
    }
  }
  return {
    family,
    destination,
    prefixLength,
    tos: fields.u8(3),
    table,
    protocol: fields.u8(5),
    scope: fields.u8(6),
    type: fields.u8(7),
    flags: fields.u32(8),
    ...(linkIndex === undefined ? {} : { linkIndex }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(metric === undefined ? {} : { metric }),
    ...(preferredSource === undefined ? {} : { preferredSource }),
    ...(multipath === undefined ? {} : { multipath }),
    others,
  };
}

/** Without a family: every IPv4 and IPv6 route of every table. */
export function encodeRouteDump(family?: IpFamily): MessageWriter {
  return new MessageWriter(RouteMessage.get, MessageFlag.request | MessageFlag.dump)
    .u8(family === undefined ? 0 : addressFamily(family), 0, 0, 0, 0, 0, 0, 0)
    .u32(0);
}

/** Asks which route a packet to `destination` takes now, rules and all. */
export function encodeRouteLookup(destination: string): MessageWriter {
  const family = ipFamily(destination) ?? 4;
  return (
    new MessageWriter(RouteMessage.get, MessageFlag.request)
      .u8(addressFamily(family), hostLength(family), 0, 0, 0, 0, 0, 0)
      // Strict checking refuses this flag for IPv6, which names the table without it.
      .u32(family === 4 ? RouteFlag.lookupTable : 0)
      .attribute(Attr.destination, ipBytes(destination))
  );
}

/**
 * Adds a route. An identical one is EEXIST. IPv4 puts the route before others to the same prefix with the same metric,
 * as OpenVPN does; IPv6 refuses instead (EEXIST), since the kernel would merge the two into one multipath route.
 */
export function encodeRouteAdd(route: Route): MessageWriter {
  const { request, ack, create, exclusive } = MessageFlag;
  return encode(RouteMessage.new, request | ack | create | (route.family === 6 ? exclusive : 0), route);
}

/** ESRCH when there is no such route. */
export function encodeRouteDelete(route: Route): MessageWriter {
  return encode(RouteMessage.delete, MessageFlag.request | MessageFlag.ack, route);
}

/** `10.0.0.0/8 via 192.0.2.1 link 3 metric 50`, for errors and logs. */
export function describeRoute(route: Route): string {
  const parts = [`${route.destination}/${route.prefixLength}`];
  if (route.gateway !== undefined) parts.push(`via ${route.gateway}`);
  if (route.linkIndex !== undefined) parts.push(`link ${route.linkIndex}`);
  if (route.metric !== undefined) parts.push(`metric ${route.metric}`);
  if (route.table !== RouteTable.main) parts.push(`table ${route.table}`);
  return parts.join(' ');
}

function encode(type: number, flags: number, route: Route): MessageWriter {
  const writer = new MessageWriter(type, flags)
    .u8(addressFamily(route.family), route.prefixLength, 0, route.tos)
    .u8(route.table < 256 ? route.table : 0, route.protocol, route.scope, route.type)
    .u32(route.flags & RouteFlag.onLink);
  if (route.table > 255) writer.attributeU32(Attr.table, route.table);
  if (route.prefixLength > 0) writer.attribute(Attr.destination, ipBytes(route.destination));
  if (route.metric !== undefined) writer.attributeU32(Attr.metric, route.metric);
  if (route.preferredSource !== undefined) writer.attribute(Attr.preferredSource, ipBytes(route.preferredSource));
  // A nexthop object stands for gateway and link; the kernel reports them with it but refuses them beside it.
  const byObject = route.others.some((other) => other.type === Attr.nexthopId);
  if (!byObject) encodeNexthop(writer, route);
  for (const { type: kind, value } of route.others) {
    if (!(byObject && kind === Attr.multipath)) writer.attribute(kind, value);
  }
  return writer;
}

function encodeNexthop(writer: MessageWriter, { family, linkIndex, gateway }: Route): void {
  if (gateway !== undefined) {
    const bytes = ipBytes(gateway);
    if (ipFamily(gateway) === family) writer.attribute(Attr.gateway, bytes);
    else {
      const via = new Uint8Array(2 + bytes.length);
      new Uint16Array(via.buffer, 0, 1)[0] = addressFamily(ipFamily(gateway) === 4 ? 4 : 6);
      via.set(bytes, 2);
      writer.attribute(Attr.via, via);
    }
  }
  if (linkIndex !== undefined) writer.attributeU32(Attr.outLink, linkIndex);
}

/** rtnexthop: u16 length · u8 flags · u8 hops · i32 link index · attributes. */
function parseNexthops(region: Uint8Array): Nexthop[] {
  const nexthops: Nexthop[] = [];
  let offset = 0;
  while (region.length - offset >= NEXTHOP_HEADER_SIZE) {
    const entry = region.subarray(offset);
    const length = attributeU16({ type: 0, value: entry });
    if (length < NEXTHOP_HEADER_SIZE || length > entry.length) {
      throw new NetlinkFormatError(`nexthop of ${length} bytes where ${entry.length} are left`);
    }
    const attributes = parseAttributes(entry.subarray(NEXTHOP_HEADER_SIZE, length));
    const plain = attributes.find(({ type }) => type === Attr.gateway);
    const via = attributes.find(({ type }) => type === Attr.via);
    const gateway = plain?.value ?? via?.value.subarray(2);
    nexthops.push({
      linkIndex: new FieldReader(entry).i32(4),
      ...(gateway === undefined ? {} : { gateway: address(gateway) }),
    });
    offset += (length + 3) & ~3;
  }
  return nexthops;
}

function address(bytes: Uint8Array): string {
  const text = ipText(bytes);
  if (text === undefined) throw new NetlinkFormatError(`an address of ${bytes.length} bytes`);
  return text;
}
