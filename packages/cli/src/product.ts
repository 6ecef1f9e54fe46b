import type { Product } from '@seikan/engine';

/** What this build is. `openvpnVersion` is the release whose behaviour and options it has. */
export const product: Product = { openvpnVersion: '2.6.14', name: 'Seikan', version: '0.1.0', platform: 'linux' };

/** The first lines of `--version`, in the shape in which tools look for them. */
export function versionText(): string {
  const { openvpnVersion, name, version } = product;
  return (
    `OpenVPN ${openvpnVersion} ${process.arch === 'x64' ? 'x86_64' : process.arch}-pc-linux-gnu [SSL (OpenSSL)] [EPOLL] [AEAD] ${name} ${version}\n` +
    `library versions: OpenSSL ${process.versions.openssl}, Node.js ${process.versions.node}\n`
  );
}
