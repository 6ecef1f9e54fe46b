import type { PeerCertificate, TlsConnection, TlsContext, VerifyError } from '@seikan/core';

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

const accept = () => 'accept' as const;

export interface Pair {
  readonly client: TlsConnection;
  readonly server: TlsConnection;
}

export function openPair(
  contexts: { client: TlsContext; server: TlsContext },
  verifiers: { client?: Verifier['strict']; server?: Verifier['strict'] } = {},
): Pair {
  const pair = {
    client: contexts.client.open(verifiers.client ?? accept),
    server: contexts.server.open(verifiers.server ?? accept),
  };
  pair.client.start();
  return pair;
}

/** Carries ciphertext both ways, at most `chunk` bytes a call, until both are silent. */
export function exchange({ client, server }: Pair, chunk = 1_200): void {
  while (client.pending > 0 || server.pending > 0) {
    server.receive(takeAll(client, chunk));
    client.receive(takeAll(server, chunk));
  }
}

export function takeAll(connection: TlsConnection, limit = 65_536): Uint8Array {
  const buffer = new Uint8Array(limit);
  return buffer.slice(0, connection.take(buffer));
}
