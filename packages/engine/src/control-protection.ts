/**
 * How the control packets of a peer are protected: the `ControlProtection` of core, made from the key material that
 * `tls-auth`, `tls-crypt` and `tls-crypt-v2` name. A server may offer tls-crypt-v2 beside one of the others.
 */
import {
  type AcceptedClientKey,
  type AcceptedPacket,
  announcesEarlyNegotiation,
  type ClientKey,
  type ControlProtection,
  type ControlWrap,
  type Crypto,
  type DropReason,
  EARLY_NEGOTIATION_START,
  exportDynamicWrapKey,
  type KeyDirection,
  MetadataType,
  Opcode,
  opcodeOf,
  plainWrap,
  type StaticKey,
  splitWrappedKey,
  type TlsConnection,
  tlsAuthWrap,
  tlsCryptWrap,
  type UnixSeconds,
  unwrapClientKey,
  type WrapOptions,
} from '@seikan/core';

/** Key material as read from its files. At most one of `tlsAuth` and `tlsCrypt`. */
export interface ProtectionKeys {
  readonly tlsAuth?: { readonly key: StaticKey; readonly direction: KeyDirection; readonly digest: string } | undefined;
  readonly tlsCrypt?: StaticKey | undefined;
  readonly tlsCryptV2Client?: ClientKey | undefined;
  readonly tlsCryptV2Server?: Uint8Array | undefined;
}

export interface ProtectionOptions {
  readonly crypto: Crypto;
  readonly role: 'client' | 'server';
  readonly keys: ProtectionKeys;
  readonly replay: NonNullable<WrapOptions['replay']>;
}

export function createProtection(options: ProtectionOptions): ControlProtection {
  return new Protection(options);
}

class Protection implements ControlProtection {
  readonly #options: ProtectionOptions;

  constructor(options: ProtectionOptions) {
    this.#options = options;
  }

  get wrappedClientKey(): Uint8Array | undefined {
    return this.#options.keys.tlsCryptV2Client?.wrapped;
  }

  open(sentPacketIds = 0): ControlWrap {
    const { crypto, role, keys, replay } = this.#options;
    if (keys.tlsCryptV2Client !== undefined) {
      const { key } = keys.tlsCryptV2Client;
      return tlsCryptWrap({ crypto, key, role, replay, sentPacketIds: EARLY_NEGOTIATION_START });
    }
    const wrap = this.#shared(replay, sentPacketIds);
    if (wrap === undefined) throw new RangeError('a tls-crypt-v2 server opens no session by itself');
    return wrap;
  }

  accept(bytes: Uint8Array, now: UnixSeconds, options: WrapOptions = {}): AcceptedPacket | DropReason {
    const { crypto, role, keys } = this.#options;
    const { replay = this.#options.replay, sentPacketIds = 0 } = options;
    const serverKey = keys.tlsCryptV2Server;
    if (!carriesClientKey(bytes)) {
      const wrap = this.#shared(replay, sentPacketIds);
      return wrap === undefined ? 'bad-client-key' : unwrapFirst(wrap, bytes, now, undefined);
    }
    if (serverKey === undefined) return 'bad-client-key';
    const split = splitWrappedKey(bytes);
    if (typeof split === 'string') return split;
    const client = unwrapClientKey({ crypto, serverKey, wrapped: split.wrapped });
    if (typeof client === 'string') return client;
    const { key, metadata = { type: MetadataType.user, data: new Uint8Array(0) } } = client;
    const wrap = tlsCryptWrap({ crypto, key, role, replay, sentPacketIds });
    return unwrapFirst(wrap, split.packet, now, { key, metadata });
  }

  withoutClientKey(bytes: Uint8Array): Uint8Array | DropReason {
    if (!carriesClientKey(bytes)) return bytes;
    const split = splitWrappedKey(bytes);
    return typeof split === 'string' ? split : split.packet;
  }

  renegotiationWrap(tls: TlsConnection, clientKey: AcceptedClientKey | undefined): ControlWrap {
    const { crypto, role, replay, keys } = this.#options;
    const own = keys.tlsCryptV2Client?.key ?? keys.tlsCrypt ?? keys.tlsAuth?.key;
    const key = exportDynamicWrapKey(tls, clientKey?.key ?? own);
    const wrap = tlsCryptWrap({ crypto, key, role, replay });
    key.fill(0);
    return wrap;
  }

  /** The wrap that all peers share; `undefined` on a server where each client has a key of its own. */
  #shared(replay: NonNullable<WrapOptions['replay']>, sentPacketIds: number): ControlWrap | undefined {
    const { crypto, role, keys } = this.#options;
    const { tlsAuth, tlsCrypt, tlsCryptV2Server } = keys;
    if (tlsAuth !== undefined) {
      const { key: staticKey, direction, digest } = tlsAuth;
      return tlsAuthWrap({ crypto, digest, staticKey, direction, replay, sentPacketIds });
    }
    if (tlsCrypt !== undefined) return tlsCryptWrap({ crypto, key: tlsCrypt, role, replay, sentPacketIds });
    return tlsCryptV2Server === undefined ? plainWrap() : undefined;
  }
}

function carriesClientKey(bytes: Uint8Array): boolean {
  const opcode = opcodeOf(bytes[0] ?? 0);
  return opcode === Opcode.hardResetClientV3 || opcode === Opcode.controlWkcV1;
}

function unwrapFirst(
  wrap: ControlWrap,
  bytes: Uint8Array,
  now: UnixSeconds,
  clientKey: AcceptedClientKey | undefined,
): AcceptedPacket | DropReason {
  const packet = wrap.unwrap(bytes, now);
  if (typeof packet === 'string') {
    wrap.wipe();
    clientKey?.key.fill(0);
    return packet;
  }
  return { wrap, packet, clientKey, earlyNegotiation: announcesEarlyNegotiation(bytes) };
}
