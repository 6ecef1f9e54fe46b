/**
 * Who a client is: the name and hash of its certificate, and the user that logged in. What it has shown once holds for
 * its session: another certificate or user under a running tunnel is refused (upstream: ssl_verify.c
 * `tls_lock_common_name`, `tls_lock_username`, 2.6).
 */
export class ClientIdentity {
  #commonName: string | undefined;
  #leafHash: string | undefined;
  #username: string | undefined;

  /** Of the certificate, or the user's with username-as-common-name. */
  get commonName(): string | undefined {
    return this.#commonName;
  }

  /** SHA-256 of the certificate in hex: who may take over an address. */
  get leafHash(): string | undefined {
    return this.#leafHash;
  }

  get username(): string | undefined {
    return this.#username;
  }

  /** A key's certificate has been verified. Why it is refused, if it is. */
  certified(commonName: string, leafHash: string): string | undefined {
    if (this.#leafHash !== undefined && (this.#leafHash !== leafHash || this.#commonName !== commonName))
      return `TLS Auth Error: TLS object CN attempted to change from '${this.#commonName}' to '${commonName}' -- tunnel disabled`;
    this.#commonName = commonName;
    this.#leafHash = leafHash;
    return undefined;
  }

  /** A key's login was right; `commonName` replaces the certificate's. Why it is refused, if it is. */
  loggedIn(username: string | undefined, commonName: string | undefined): string | undefined {
    if (this.#username !== undefined && this.#username !== username)
      return `TLS Auth Error: username attempted to change from '${this.#username}' to '${username}' -- tunnel disabled`;
    this.#username = username;
    this.#commonName = commonName ?? this.#commonName;
    return undefined;
  }
}
