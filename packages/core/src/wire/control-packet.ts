/**
 * A packet of the control channel, in the plain layout that every wrapping encloses:
 *
 *   header | opcode:5 keyId:3 | own session id 8 |
 *   body   | n 1 | n × acked message id 4 | peer session id 8 (if n > 0) | message id 4 (not ACK_V1) | payload |
 *
 * The two halves have codecs of their own: tls-auth and tls-crypt put their fields between them, and tls-crypt
 * encrypts the body. Numbers are big-endian. Source: OpenVPN 2.6 `ssl_pkt.c`, `reliable.c`.
 */
import { readUint32, writeUint32 } from '../bytes/big-endian.js';
import type { DropReason } from './drop-reason.js';
import { type ControlOpcode, firstByte, isControlOpcode, type KeyId, keyIdOf, Opcode, opcodeOf } from './opcode.js';
import { isSessionId, SESSION_ID_SIZE, type SessionId } from './session-id.js';

declare const messageId: unique symbol;

/** The number of a message in the reliability layer (upstream says packet-id there too), 0 up per key state. */
export type MessageId = number & { readonly [messageId]?: true };

export interface ControlHeader {
  readonly opcode: ControlOpcode;
  readonly keyId: KeyId;
  /** The sender's. */
  readonly sessionId: SessionId;
}

export interface ControlPacket extends ControlHeader {
  readonly acks: readonly MessageId[];
  /** The receiver's, present exactly when there are acks. */
  readonly peerSessionId: SessionId | undefined;
  /** Absent exactly for ACK_V1. */
  readonly messageId: MessageId | undefined;
  readonly payload: Uint8Array;
}

export const CONTROL_HEADER_SIZE = 1 + SESSION_ID_SIZE;

/** Acknowledgements in one packet: what we parse, and what a packet of acknowledgements alone may carry. */
export const MAX_ACKS = 8;

/** Bytes of a plain packet besides its payload: with the wrapping's overhead, what a payload must leave of the MTU. */
export function controlFieldsSize(opcode: ControlOpcode, acks: number): number {
  return CONTROL_HEADER_SIZE + bodyFields(opcode, acks);
}

/** Reads the first nine bytes. The session id borrows from `bytes`. */
export function parseControlHeader(bytes: Uint8Array): ControlHeader | DropReason {
  if (bytes.length < CONTROL_HEADER_SIZE) return 'truncated';
  const first = bytes[0] as number;
  const opcode = opcodeOf(first);
  if (!isControlOpcode(opcode)) return 'bad-opcode';
  const sessionId = bytes.subarray(1, CONTROL_HEADER_SIZE);
  if (!isSessionId(sessionId)) return 'bad-session-id';
  return { opcode, keyId: keyIdOf(first), sessionId };
}

/** Reads what follows the header (and the wrapping's fields). The payload and the peer's session id borrow from `body`. */
export function parseControlBody(header: ControlHeader, body: Uint8Array): ControlPacket | DropReason {
  const count = body[0];
  if (count === undefined) return 'truncated';
  if (count > MAX_ACKS) return 'too-many-acks';
  if (count === 0 && header.opcode === Opcode.ackV1) return 'no-acks';
  if (body.length < bodyFields(header.opcode, count)) return 'truncated';

  let at = 1;
  const acks: MessageId[] = [];
  for (; acks.length < count; at += 4) acks.push(readUint32(body, at));
  let peerSessionId: SessionId | undefined;
  if (count > 0) {
    peerSessionId = body.subarray(at, at + SESSION_ID_SIZE);
    if (!isSessionId(peerSessionId)) return 'bad-session-id';
    at += SESSION_ID_SIZE;
  }
  let messageId: MessageId | undefined;
  if (header.opcode !== Opcode.ackV1) {
    messageId = readUint32(body, at);
    at += 4;
  }
  const { opcode, keyId, sessionId } = header;
  return { opcode, keyId, sessionId, acks, peerSessionId, messageId, payload: body.subarray(at) };
}

export function encodeControlHeader(header: ControlHeader, into: Uint8Array): void {
  into[0] = firstByte(header.opcode, header.keyId);
  into.set(header.sessionId, 1);
}

/** Bytes that `encodeControlBody` writes. */
export function controlBodySize(packet: ControlPacket): number {
  return bodyFields(packet.opcode, packet.acks.length) + packet.payload.length;
}

export function encodeControlBody(packet: ControlPacket, into: Uint8Array): void {
  const { acks, peerSessionId, messageId, payload } = packet;
  into[0] = acks.length;
  let at = 1;
  for (const ack of acks) {
    writeUint32(into, at, ack);
    at += 4;
  }
  if (acks.length > 0 && peerSessionId !== undefined) {
    into.set(peerSessionId, at);
    at += SESSION_ID_SIZE;
  }
  if (messageId !== undefined) {
    writeUint32(into, at, messageId);
    at += 4;
  }
  into.set(payload, at);
}

/** The body without its payload. */
function bodyFields(opcode: ControlOpcode, acks: number): number {
  return 1 + (acks === 0 ? 0 : acks * 4 + SESSION_ID_SIZE) + (opcode === Opcode.ackV1 ? 0 : 4);
}
