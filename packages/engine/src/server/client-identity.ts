/**
 * Who a client is: the name and hash of its certificate, and the user that logged in. What it has shown once holds for
 * its session: another certificate or user under a running tunnel is refused (upstream: ssl_verify.c
 * `tls_lock_common_name`, `tls_lock_cert_hash_set`, `tls_lock_username`, 2.6).
 */
export class ClientIdentity {
  #commonName: string | undefined;
  #certificateName: string | undefined;
  #leafHash: string | undefined;
  #username: string | undefined;
  /** It was let in once. */
  #isKnown = false;

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

  /** A key's certificate has been verified, or it showed none. Why it is refused, if it is. */
  certified(name: string | undefined, leafHash: string | undefined): string | undefined {
    if (this.#isKnown && this.#leafHash !== leafHash)
      return this.#certificateName === name
        ? `TLS Auth Error: TLS object CN=${name} client-provided SSL certs unexpectedly changed during mid-session reauth`
        : `TLS Auth Error: TLS object CN attempted to change from '${this.#certificateName}' to '${name}' -- tunnel disabled`;
    if (!this.#isKnown) this.#commonName = name;
    this.#certificateName = name;
    this.#leafHash = leafHash;
    return undefined;
  }

  /** The user's name counts, from before the login is decided on; not for whoever has a name already. */
  named(username: string): void {
    if (!this.#isKnown) this.#commonName = username === '' ? undefined : username;
  }

  /** A key's login was right. Why it is refused, if it is. */
  loggedIn(username: string | undefined): string | undefined {
    if (this.#username !== undefined && this.#username !== username)
      return `TLS Auth Error: username attempted to change from '${this.#username}' to '${username}' -- tunnel disabled`;
    this.#username = username === '' ? undefined : username;
    this.#isKnown = true;
    return undefined;
  }
}
