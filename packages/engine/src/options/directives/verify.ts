/** Directives about who the peer is: certificates, fingerprints, user names, tokens. */
import { type DirectiveRow, supported, type Use } from '../directive.js';
import { credentials } from './tls.js';

/** `remote-cert-tls`: what RFC 3280 asks of the extended key usage. */
const purposes = { server: 'TLS Web Server Authentication', client: 'TLS Web Client Authentication' } as const;

export const verifyDirectives: readonly DirectiveRow[] = [
  supported('remote-cert-tls', [1, 1], ['general'], (use) => {
    const purpose = use.choice(0, ['server', 'client'], "--remote-cert-tls must be 'client' or 'server'");
    use.options.verify.keyUsage = [];
    use.options.verify.extendedKeyUsage = purposes[purpose];
  }),
  supported('remote-cert-ku', [0, Number.POSITIVE_INFINITY], ['general'], (use) => {
    use.options.verify.keyUsage = use.words.map((word, index) =>
      /^(0x)?[0-9a-f]{1,4}$/i.test(word)
        ? Number.parseInt(word, 16)
        : use.fail(
            `bad key usage '${word}' for --remote-cert-ku`,
            `"${word}" is no hexadecimal number.`,
            'Write masks like a0 88.',
            index,
          ),
    );
  }),
  supported('remote-cert-eku', [1, 1], ['general'], (use) => {
    use.options.verify.extendedKeyUsage = use.word(0);
  }),
  supported('verify-x509-name', [1, 2], ['general'], (use) => {
    const name = use.word(0);
    if (name === '')
      use.fail(
        `Unrecognized option or missing or extra parameter(s) in ${use.at.upstream}: verify-x509-name (2.6.14)`,
        'The name is empty, so any peer would match.',
        'Write the name that the certificate must have.',
        0,
      );
    const line = `unknown X.509 name type: ${use.word(1)}`;
    const type = use.count === 2 ? use.choice(1, ['subject', 'name', 'name-prefix'], line) : 'subject';
    use.options.verify.x509Name = { name, type };
  }),
  supported(
    'peer-fingerprint',
    [1, 1],
    ['general'],
    (use) => {
      if (use.options.verify.caFingerprints !== undefined) exclusive(use);
      use.options.verify.peerFingerprints.push(...fingerprints(use, 32));
    },
    { inline: true },
  ),
  supported(
    'verify-hash',
    [1, 2],
    ['general'],
    (use) => {
      use.warn(
        'DEPRECATED OPTION: The option --verify-hash is deprecated. You should switch to the either use the level 1 certificate as --ca option, use --tls-verify or use --peer-fingerprint',
      );
      if (use.options.verify.peerFingerprints.length > 0) exclusive(use);
      const line = `invalid or unsupported hashing algorithm: ${use.word(1)} (only SHA1 and SHA256 are supported)`;
      // Inline blocks are newer than the directive, so their default is the newer digest.
      const algorithm = use.count === 2 ? use.choice(1, ['SHA1', 'SHA256'], line) : use.inline ? 'SHA256' : 'SHA1';
      const hashes = fingerprints(use, algorithm === 'SHA1' ? 20 : 32);
      use.options.verify.caFingerprints = {
        algorithm,
        hashes: [...(use.options.verify.caFingerprints?.hashes ?? []), ...hashes],
      };
    },
    { inline: true },
  ),
  supported('verify-client-cert', [0, 1], ['general'], (use) => {
    const line = "parameter to --verify-client-cert must be 'none', 'optional' or 'require'";
    use.options.verify.clientCertificate =
      use.count === 0 ? 'require' : use.choice(0, ['none', 'optional', 'require'], line);
  }),
  supported(
    'crl-verify',
    [1, 2],
    ['general'],
    (use) => {
      if (use.count === 1) {
        use.options.verify.crl = { kind: 'file', source: use.material() };
        return;
      }
      use.choice(
        1,
        ['dir'],
        `Unrecognized option or missing or extra parameter(s) in ${use.at.upstream}: crl-verify (2.6.14)`,
      );
      use.options.verify.crl = { kind: 'directory', path: use.word(0) };
    },
    { inline: true },
  ),
  supported('tls-export-cert', [1, 1], ['script'], (use) => {
    use.options.verify.exportDirectory = use.word(0);
  }),
  supported('x509-username-field', [1, Number.POSITIVE_INFINITY], ['general'], (use) => {
    use.options.verify.usernameFields = use.words.map((word, index) => {
      if (word.startsWith('ext:')) {
        if (word !== 'ext:subjectAltName' && word !== 'ext:issuerAltName')
          use.fail(
            `Unsupported x509-username-field extension: ${word}`,
            'That extension holds no name.',
            'Write ext:subjectAltName or ext:issuerAltName.',
            index,
          );
        return word;
      }
      if (/[A-Z]/.test(word)) return word;
      use.warn(
        `DEPRECATED FEATURE: automatically upcased the --x509-username-field parameter to '${word.toUpperCase()}'; please update your configuration`,
      );
      return word.toUpperCase();
    });
  }),
  supported('x509-track', [1, 1], ['general'], (use) => {
    const fullChain = use.word(0).startsWith('+');
    use.options.verify.track.push({ name: fullChain ? use.word(0).slice(1) : use.word(0), fullChain });
  }),
  supported(
    'auth-user-pass',
    [0, 1],
    ['general'],
    (use) => {
      use.options.auth.userPass = credentials(use);
    },
    { inline: true },
  ),
  supported('auth-nocache', [0, 0], ['general'], (use) => {
    use.options.auth.noCache = true;
  }),
  supported('static-challenge', [2, 2], ['general'], (use) => {
    use.options.auth.staticChallenge = { text: use.word(0), echo: use.number(1) !== 0 };
  }),
  supported('auth-retry', [1, 1], ['general'], (use) => {
    use.options.auth.retry = use.choice(
      0,
      ['none', 'nointeract', 'interact'],
      "--auth-retry method must be 'interact', 'nointeract', or 'none'",
    );
  }),
  supported('auth-user-pass-optional', [0, 0], ['general'], (use) => {
    use.options.auth.userPassOptional = true;
  }),
  supported('opt-verify', [0, 0], ['general'], (use) => {
    use.warn('DEPRECATION: opt-verify is deprecated and will be removed in OpenVPN 2.7');
    use.options.auth.optionsMustMatch = true;
  }),
  supported('username-as-common-name', [0, 0], ['general'], (use) => {
    use.options.auth.usernameAsCommonName = true;
  }),
  supported('auth-gen-token', [0, Number.POSITIVE_INFINITY], ['general'], (use) => {
    const lifetime = use.count === 0 ? 0 : use.positive(0);
    let renewal = 0;
    let externalAuth = false;
    for (const [index, word] of use.words.entries()) {
      if (index === 0) continue;
      if (index === 1 && /^\d*[1-9]/.test(word)) renewal = use.positive(index);
      else if (word === 'external-auth') externalAuth = true;
      else
        use.fail(
          `Invalid argument to auth-gen-token: ${word} (${index + 1})`,
          `"${word}" is neither a renewal time nor external-auth.`,
          'Write "auth-gen-token LIFETIME RENEWAL external-auth".',
          index,
        );
    }
    use.draft.genTokenRenewalGiven = renewal > 0;
    use.options.auth.genToken = { lifetime, renewal, externalAuth, secret: undefined };
  }),
  supported(
    'auth-gen-token-secret',
    [1, 1],
    ['general'],
    (use) => {
      use.draft.genTokenSecret = use.material();
    },
    { inline: true },
  ),
];

function exclusive(use: Use): never {
  return use.fail(
    `ERROR: Setting ${use.name} not allowed. --verify-hash and --peer-fingerprint are mutually exclusive`,
    'The other of the two stands above.',
    'Keep peer-fingerprint.',
  );
}

/** Lines of hexadecimal bytes with colons; comments and empty lines between. */
function fingerprints(use: Use, size: number): string[] {
  const found: string[] = [];
  const remedy = `Copy it from "openssl x509 -fingerprint -${size === 20 ? 'sha1' : 'sha256'} -noout -in FILE".`;
  for (const [offset, text] of use.word(0).split('\n').entries()) {
    const line = text.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    const bytes = line.split(':');
    if (!bytes.every((byte) => /^[0-9a-fA-F]{1,2}$/.test(byte)))
      use.failInside(
        offset,
        `format error in hash fingerprint: ${line}`,
        'A fingerprint is bytes in hexadecimal with colons between.',
        remedy,
      );
    if (bytes.length > size)
      use.failInside(
        offset,
        `hash fingerprint too long - expected only ${size} bytes: ${line}`,
        'It was made with another digest.',
        remedy,
      );
    if (bytes.length < size)
      use.failInside(
        offset,
        `hash fingerprint is wrong length - expected ${size} bytes, got ${bytes.length}: ${line}`,
        'It was made with another digest, or cut.',
        remedy,
      );
    found.push(bytes.map((byte) => byte.padStart(2, '0').toLowerCase()).join(''));
  }
  return found;
}
