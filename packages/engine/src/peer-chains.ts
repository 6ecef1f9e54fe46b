/** The certificates that a peer shows in each handshake, judged one by one as the TLS library meets them. */
import type { PeerCertificate, VerifyError } from '@seikan/core';

import { judgeCertificate, type PolicyContext } from './certificate-policy.js';
import type { TunnelLog } from './tunnel-log.js';

export class PeerChains {
  readonly #policy: PolicyContext;
  readonly #log: TunnelLog;

  constructor(policy: PolicyContext, log: TunnelLog) {
    this.#policy = policy;
    this.#log = log;
  }

  /** Called inside the TLS handshake, from the root down to the leaf. */
  verify(certificate: PeerCertificate, error: VerifyError | undefined): 'accept' | 'reject' {
    const { verdict, log } = judgeCertificate(this.#policy, certificate, error);
    for (const { severity, verb, text } of log) this.#log.write(severity, verb, text);
    return verdict;
  }
}
