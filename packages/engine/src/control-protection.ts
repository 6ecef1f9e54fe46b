/**
 * How the control packets of a peer are protected: the `ControlProtection` of core, made from the key material that
 * `tls-auth`, `tls-crypt` and `tls-crypt-v2` name. A server may offer tls-crypt-v2 beside one of the others.
 */
import {
  type AcceptedPacket,
  announcesEarlyNegotiation,
  type ClientKey,
  type ClientKeyMetadata,
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

export function createProtection({ crypto, role, keys, replay }: ProtectionOptions): ControlProtection {
  const { tlsAuth, tlsCrypt, tlsCryptV2Client, tlsCryptV2Server } = keys;
  // A renegotiation's own keys are mixed with the static ones; a tls-crypt-v2 server learns them with the client's key.
  let mixedKey: Uint8Array | undefined = tlsCryptV2Client?.key ?? tlsCrypt ?? tlsAuth?.key;

  let clientMetadata: ClientKeyMetadata | undefined;

  const shared = (options: WrapOptions): ControlWrap | undefined => {
    if (tlsAuth !== undefined)
      return tlsAuthWrap({
        crypto,
        digest: tlsAuth.digest,
        staticKey: tlsAuth.key,
        direction: tlsAuth.direction,
        ...options,
      });
    if (tlsCrypt !== undefined) return tlsCryptWrap({ crypto, key: tlsCrypt, role, ...options });
    return tlsCryptV2Server === undefined ? plainWrap() : undefined;
  };

  return {
    wrappedClientKey: tlsCryptV2Client?.wrapped,
    get clientMetadata() {
      return clientMetadata;
    },
    open(sentPacketIds = 0) {
      if (tlsCryptV2Client !== undefined) {
        return tlsCryptWrap({
          crypto,
          key: tlsCryptV2Client.key,
          role,
          replay,
          sentPacketIds: EARLY_NEGOTIATION_START,
        });
      }
      const wrap = shared({ replay, sentPacketIds });
      if (wrap === undefined) throw new RangeError('a tls-crypt-v2 server opens no session by itself');
      return wrap;
    },
    accept(bytes, now: UnixSeconds, options: WrapOptions = {}): AcceptedPacket | DropReason {
      const opcode = opcodeOf(bytes[0] ?? 0);
      if (tlsCryptV2Server !== undefined && (opcode === Opcode.hardResetClientV3 || opcode === Opcode.controlWkcV1)) {
        const split = splitWrappedKey(bytes);
        if (typeof split === 'string') return split;
        const client = unwrapClientKey({ crypto, serverKey: tlsCryptV2Server, wrapped: split.wrapped });
        if (typeof client === 'string') return client;
        mixedKey = client.key;
        clientMetadata = client.metadata ?? { type: MetadataType.user, data: new Uint8Array(0) };
        const wrap = tlsCryptWrap({ crypto, key: client.key, role, replay, ...options });
        return unwrapFirst(wrap, split.packet, now, client.metadata);
      }
      const wrap = shared({ replay, ...options });
      return wrap === undefined ? 'bad-client-key' : unwrapFirst(wrap, bytes, now, undefined);
    },
    withoutClientKey(bytes) {
      const opcode = opcodeOf(bytes[0] ?? 0);
      if (opcode !== Opcode.hardResetClientV3 && opcode !== Opcode.controlWkcV1) return bytes;
      const split = splitWrappedKey(bytes);
      return typeof split === 'string' ? split : split.packet;
    },
    renegotiationWrap(tls) {
      const key = exportDynamicWrapKey(tls, mixedKey);
      const wrap = tlsCryptWrap({ crypto, key, role, replay });
      key.fill(0);
      return wrap;
    },
  };
}

function unwrapFirst(
  wrap: ControlWrap,
  bytes: Uint8Array,
  now: UnixSeconds,
  metadata: ClientKeyMetadata | undefined,
): AcceptedPacket | DropReason {
  const packet = wrap.unwrap(bytes, now);
  if (typeof packet === 'string') {
    wrap.wipe();
    return packet;
  }
  return { wrap, packet, metadata, earlyNegotiation: announcesEarlyNegotiation(bytes) };
}
