/** Names of ciphers and groups as OpenVPN's configuration spells them, and as OpenSSL's lists want them. */
import { opensslRoom } from './openssl-room.js';

/**
 * A `tls-cipher` list for OpenSSL. IANA names may be written with `-` (`TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384`) or `_`;
 * all else (OpenSSL's names, `DEFAULT`, `@SECLEVEL=0`, `!`, `+` and `-` before a name) is OpenSSL's own language.
 */
export function toOpensslCipherList(list: string): string {
  const openssl = opensslRoom();
  return list
    .split(':')
    .map((item) => {
      const [, sign = '', name = ''] = /^([!+-]?)(.*)$/s.exec(item) ?? [];
      return sign + (openssl.opensslCipherName(name.replaceAll('-', '_')) ?? name);
    })
    .join(':');
}

/** A `tls-groups` list for OpenSSL: the one curve whose usual name OpenSSL does not know is translated. */
export function toOpensslGroups(list: string): string {
  return list
    .split(':')
    .map((group) => (group === 'secp256r1' ? 'prime256v1' : group))
    .join(':');
}
