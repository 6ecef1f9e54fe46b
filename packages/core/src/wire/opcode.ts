/**
 * The first byte of every packet: five bits of opcode, three of key id.
 *
 * Source: OpenVPN 2.6 `ssl_pkt.h`. 1 and 2 belong to key method 1, which nobody speaks any more; 6 and 9 are data.
 */
declare const keyId: unique symbol;

/** 3 bits on the wire: 0 for the first key of a session, then 1 to 7 in turn. */
export type KeyId = number & { readonly [keyId]?: true };

export const Opcode = {
  hardResetClientV1: 1,
  hardResetServerV1: 2,
  softResetV1: 3,
  controlV1: 4,
  ackV1: 5,
  dataV1: 6,
  hardResetClientV2: 7,
  hardResetServerV2: 8,
  dataV2: 9,
  hardResetClientV3: 10,
  controlWkcV1: 11,
} as const;

export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** What travels on the control channel; the V1 hard resets are refused like unknown opcodes. */
export type ControlOpcode = Exclude<Opcode, 1 | 2 | 6 | 9>;

/** 0 to 31; whether it means anything is the caller's question. */
export function opcodeOf(byte: number): number {
  return byte >>> 3;
}

export function keyIdOf(byte: number): KeyId {
  return byte & 0x07;
}

export function isControlOpcode(opcode: number): opcode is ControlOpcode {
  return opcode >= 3 && opcode <= 11 && opcode !== Opcode.dataV1 && opcode !== Opcode.dataV2;
}

export function firstByte(opcode: Opcode, keyId: KeyId): number {
  return (opcode << 3) | keyId;
}
