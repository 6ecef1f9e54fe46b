import type { TlsConnection, TlsContext, VerifyCertificate } from '@seikan/core';

/** Two ends of one TLS session in one process. */
export interface TlsPair {
  readonly client: TlsConnection;
  readonly server: TlsConnection;
}

export interface TlsContexts {
  readonly client: TlsContext;
  readonly server: TlsContext;
}

/** Opens both ends, accepting all certificates unless told otherwise; the client's first flight can be taken. */
export function openTlsPair(
  contexts: TlsContexts,
  verify: { readonly client?: VerifyCertificate; readonly server?: VerifyCertificate } = {},
): TlsPair {
  const client = contexts.client.open(verify.client ?? accept);
  const server = contexts.server.open(verify.server ?? accept);
  client.start();
  return { client, server };
}

/** Carries ciphertext both ways, at most `chunk` bytes a call, until both are silent. */
export function exchangeTls({ client, server }: TlsPair, chunk = 1_200): void {
  while (client.pending > 0 || server.pending > 0) {
    server.receive(takeTls(client, chunk));
    client.receive(takeTls(server, chunk));
  }
}

/** What waits to be sent, as bytes of its own. */
export function takeTls(connection: TlsConnection, limit = 65_536): Uint8Array {
  const buffer = new Uint8Array(limit);
  return buffer.slice(0, connection.take(buffer));
}

function accept(): 'accept' {
  return 'accept';
}
