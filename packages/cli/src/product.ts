import type { Product } from '@seikan/engine';
import { offloadVersion } from '@seikan/runtime';

/** What this build is. `openvpnVersion` is the release whose behaviour and options it has. */
export const product: Product = { openvpnVersion: '2.6.14', name: 'Seikan', version: '0.1.0', platform: 'linux' };

/** The three lines that open every log, in the shape in which tools look for them. */
export function bannerLines(): readonly string[] {
  const { openvpnVersion, name, version } = product;
  const machine = process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : process.arch;
  return [
    `OpenVPN ${openvpnVersion} ${machine}-pc-linux-gnu [SSL (OpenSSL)] [EPOLL] [MH/PKTINFO] [AEAD] [DCO] ${name} ${version}`,
    `library versions: OpenSSL ${process.versions.openssl}, Node.js ${process.versions.node}`,
    `DCO version: ${offloadVersion()}`,
  ];
}

/** `--version`. */
export function versionText(): string {
  return [
    ...bannerLines(),
    `${product.name} ${product.version} takes OpenVPN's configuration and command line; it is no OpenVPN.`,
    'Compile time defines: enable_async_push=no enable_crypto_ofb_cfb=yes enable_dco=yes enable_fragment=yes enable_lz4=no enable_lzo=no enable_management=no enable_plugins=no enable_systemd=yes with_crypto_library=openssl',
    '',
  ].join('\n');
}
