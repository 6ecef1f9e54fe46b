/**
 * What scripts and plugins say of a client when TLS is up, before anything that it says is read:
 *
 *   tls-crypt-v2-verify (its key's metadata) ─▶ tls-verify, from the root's certificate down to its own ─▶ admitted
 *
 * upstream: tls_crypt.c `tls_crypt_v2_verify_metadata`, ssl_verify.c `verify_cert_call_command` (2.6).
 */
import type { ClientKeyMetadata, PeerCertificate } from '@seikan/core';

import { sanitizeSubject } from '../certificate-policy.js';
import type { Time } from '../output.js';
import { certificateEnvironment } from './client-environment.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';

/** `refusal`: the log line that says who has refused the client. */
type Verdict = (refusal: string | undefined, time: Time) => void;

export interface ClientPapers {
  /** What its tls-crypt-v2 key was issued with; a renegotiation shows none. */
  readonly metadata: ClientKeyMetadata | undefined;
  readonly chain: readonly PeerCertificate[];
  /** What the certificate says the client is called. */
  readonly name: string | undefined;
}

export function verifyClient(
  top: Top,
  instance: Instance,
  { metadata, chain, name }: ClientPapers,
  then: Verdict,
  time: Time,
): void {
  const verifyChain = (at: Time): void =>
    verifyCertificates(top, instance, { waiting: chain.toSorted((a, b) => a.depth - b.depth), name }, then, at);
  if (metadata === undefined || !top.asksFor('tls-crypt-v2-verify')) {
    verifyChain(time);
    return;
  }
  const env = { ...instance.environment, metadata_type: String(metadata.type) };
  instance.ask({ event: 'tls-crypt-v2-verify', argv: [], env, metadata: metadata.data }, (verdict, at) => {
    if (verdict.result === 'success') {
      instance.log.info(2, 'TLS CRYPT V2 VERIFY SCRIPT OK');
      verifyChain(at);
    } else then('TLS CRYPT V2 VERIFY SCRIPT ERROR', at);
  });
}

/** The last of `waiting` is the next. */
interface Certificates {
  readonly waiting: PeerCertificate[];
  readonly name: string | undefined;
}

function verifyCertificates(top: Top, instance: Instance, certificates: Certificates, then: Verdict, time: Time): void {
  const { waiting, name } = certificates;
  const certificate = waiting.pop();
  if (certificate === undefined) {
    then(undefined, time);
    return;
  }
  const { depth, der } = certificate;
  instance.setEnvironment(() => ({
    ...certificateEnvironment([certificate], instance.remote, top.options.verify.track),
    ...(depth === 0 && name !== undefined ? { common_name: name } : {}),
  }));
  if (!top.asksFor('tls-verify')) {
    verifyCertificates(top, instance, certificates, then, time);
    return;
  }
  const subject = sanitizeSubject(certificate.subject);
  const argv = [String(depth), subject];
  instance.ask({ event: 'tls-verify', argv, env: instance.environment, certificate: { depth, der } }, (verdict, at) => {
    if (verdict.result === 'success') {
      instance.log.info(2, `VERIFY SCRIPT OK: depth=${depth}, ${subject}`);
      verifyCertificates(top, instance, certificates, then, at);
    } else then(`VERIFY SCRIPT ERROR: depth=${depth}, ${subject}`, at);
  });
}
