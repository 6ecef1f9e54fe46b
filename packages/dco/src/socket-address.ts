/**
 * `struct sockaddr_in` and `sockaddr_in6` as bytes: family in host order, port and address in network order.
 *
 *   in   u16 2  · u16 port · 4 address · 8 zero
 *   in6  u16 10 · u16 port · u32 flow · 16 address · u32 scope
 */
import { addressBytes, type SocketAddress } from '@seikan/native';
import { FieldReader, ipText } from '@seikan/netconf';

const SIZE_OF_IN = 16;
const SIZE_OF_IN6 = 28;
const AF_INET = 2;
const AF_INET6 = 10;

export function encodeSocketAddress({ family, address, port, scope = 0 }: SocketAddress): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? SIZE_OF_IN : SIZE_OF_IN6);
  new Uint16Array(bytes.buffer, 0, 1)[0] = family === 4 ? AF_INET : AF_INET6;
  bytes[2] = port >>> 8;
  bytes[3] = port & 0xff;
  bytes.set(addressBytes(family, address), family === 4 ? 4 : 8);
  if (family === 6) new Uint32Array(bytes.buffer, 24, 1)[0] = scope;
  return bytes;
}

/** Undefined: neither of both. Bytes behind the structure are no matter. */
export function parseSocketAddress(bytes: Uint8Array): SocketAddress | undefined {
  if (bytes.length < SIZE_OF_IN) return undefined;
  const fields = new FieldReader(bytes);
  const family = fields.u16(0);
  const port = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
  if (family === AF_INET) return { family: 4, address: bytes.subarray(4, 8).join('.'), port };
  if (family !== AF_INET6 || bytes.length < SIZE_OF_IN6) return undefined;
  const scope = fields.u32(24);
  return { family: 6, address: ipText(bytes.subarray(8, 24)) ?? '', port, ...(scope === 0 ? {} : { scope }) };
}
