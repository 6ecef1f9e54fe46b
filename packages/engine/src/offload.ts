/**
 * Whether the kernel may carry a configuration's data channel (DCO). Pure; whether it can is the runtime's question.
 * upstream: dco.c `dco_check_option`, `dco_check_startup_option`, `dco_check_pull_options` (2.6).
 */
import type { ChannelAbilities } from './local-hello.js';
import type { Negotiated } from './negotiation.js';
import type { CompressionOptions, Options } from './options/options.js';

const OFFLOADED_CIPHERS: ReadonlySet<string> = new Set([
  'AES-128-GCM',
  'AES-192-GCM',
  'AES-256-GCM',
  'CHACHA20-POLY1305',
]);

/**
 * Why the packets have to stay in user space, as log lines; none when the kernel may have them.
 * Differs from OpenVPN 2.6: block-ipv6, passtos and client-nat, which it ignores with offload, are obstacles.
 */
export function offloadObstacle(options: Options): readonly string[] {
  const { connections, data, device, routing, socket, tls } = options;
  if (data.fallback && !OFFLOADED_CIPHERS.has(data.cipher))
    return [`Note: --data-ciphers-fallback with cipher '${data.cipher}' disables data channel offload.`];
  if (data.compression.allow !== 'no' || data.compression.algorithm !== 'none') {
    return [
      "Note: '--allow-compression' is not set to 'no', disabling data channel offload.",
      ...(options.mode === 'server' ? ["Consider using the '--compress migrate' option."] : []),
    ];
  }
  const foreign = data.dataCiphers.map(withoutMark).find((name) => !OFFLOADED_CIPHERS.has(name));
  if (foreign !== undefined)
    return [
      `Note: cipher '${foreign}' in --data-ciphers is not supported by ovpn-dco, disabling data channel offload.`,
    ];
  if (tls.role === 'none')
    return ['No tls-client or tls-server option in configuration detected. Disabling data channel offload.'];
  if (device.type !== 'tun') return ['Note: dev-type not tun, disabling data channel offload.'];
  if (connections.some(({ fragment }) => fragment > 0)) return ['Note: --fragment disables data channel offload.'];
  if (connections.some(({ proxy }) => proxy?.kind === 'http'))
    return ['Note: --http-proxy disables data channel offload.'];
  if (connections.some(({ proxy }) => proxy?.kind === 'socks'))
    return ['Note: --socks-proxy disables data channel offload.'];
  if (socket.bindDevice !== undefined) return ['Note: bind-dev not supported with DCO, disabling data channel offload'];
  if (socket.passTos) return ['Note: --passtos disables data channel offload.'];
  if (routing.blockIpv6) return ['Note: --block-ipv6 disables data channel offload.'];
  if (routing.clientNat.length > 0) return ['Note: --client-nat disables data channel offload.'];
  if (options.mode === 'server' && device.topology !== 'subnet')
    return ["Note: NOT using '--topology subnet' disables data channel offload."];
  return [];
}

export interface OffloadTerms {
  readonly peerId: number | undefined;
  readonly cipher: Negotiated['cipher'];
  readonly compression: CompressionOptions;
  /** `client-nat`, pushed. */
  readonly translates: boolean;
}

/** Why an offloaded channel cannot carry what was agreed on; undefined when it can, or when nothing is offloaded. */
export function offloadRefusal(
  abilities: ChannelAbilities,
  { peerId, cipher, compression, translates }: OffloadTerms,
): string | undefined {
  if (!abilities.offload) return undefined;
  if (peerId === undefined)
    return 'OPTIONS IMPORT: Server did not request DATA_V2 packet format required for data channel offload';
  if (!OFFLOADED_CIPHERS.has(cipher)) return `OPTIONS ERROR: cipher ${cipher} is not supported by data channel offload`;
  if (compression.framing !== 'none')
    return 'OPTIONS ERROR: compression framing is not supported by data channel offload';
  if (translates) return 'OPTIONS ERROR: client-nat is not supported by data channel offload';
  return undefined;
}

/** What follows each refusal. */
export const OFFLOAD_ADVICE =
  'OPTIONS ERROR: pushed options are incompatible with data channel offload. Use --disable-dco to connect to this server';

function withoutMark(name: string): string {
  return name.startsWith('?') ? name.slice(1) : name;
}
