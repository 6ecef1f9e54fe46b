import type { PeerCertificate, VerifyError } from '@seikan/core';

/** A verify callback that notes what it was asked and refuses whatever has an error. */
export class Verifier {
  readonly asked: { depth: number; subject: string; error: string | undefined }[] = [];

  readonly strict = (certificate: PeerCertificate, error: VerifyError | undefined): 'accept' | 'reject' => {
    this.#note(certificate, error);
    return error === undefined ? 'accept' : 'reject';
  };

  readonly lenient = (certificate: PeerCertificate, error: VerifyError | undefined): 'accept' => {
    this.#note(certificate, error);
    return 'accept';
  };

  /** As OpenVPN does: a missing CRL is only a warning. */
  readonly tolerant = (certificate: PeerCertificate, error: VerifyError | undefined): 'accept' | 'reject' => {
    this.#note(certificate, error);
    return error === undefined || error.code === 3 ? 'accept' : 'reject';
  };

  #note(certificate: PeerCertificate, error: VerifyError | undefined): void {
    this.asked.push({ depth: certificate.depth, subject: certificate.subject, error: error?.text });
  }
}
