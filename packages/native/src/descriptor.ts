/**
 * An open file descriptor with one owner. Everything of this package that holds a descriptor holds one of these.
 *
 * A descriptor that is collected while open is a leak: it is warned about (`SEIKAN_DESCRIPTOR_LEAK`), but not closed,
 * because its number may still be in use in another thread and closing it there would redirect someone's packets.
 */
import { loadAddon } from './addon.js';

interface DescriptorAddon {
  descriptorClose(fd: number): void;
  descriptorDuplicate(fd: number): number;
  descriptorSetCloseOnExec(fd: number, on: boolean): void;
  descriptorSetNonBlocking(fd: number, on: boolean): void;
}

const leaks = new FinalizationRegistry<string>((what) => {
  process.emitWarning(`${what} was never closed`, { code: 'SEIKAN_DESCRIPTOR_LEAK' });
});

export class Descriptor {
  readonly #native = loadAddon() as DescriptorAddon;
  readonly #label: string;
  #fd: number;

  /** Takes over `fd`; `label` says in warnings and errors what it is. */
  constructor(fd: number, label: string) {
    this.#fd = fd;
    this.#label = label;
    leaks.register(this, `${label} (file descriptor ${fd})`, this);
  }

  /** The number, for calls made while this is open. Throws when it was closed or released. */
  get fd(): number {
    if (this.#fd === -1) throw new Error(`${this.#label} is closed`);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd === -1;
  }

  /** Gives the number away, to another thread for instance, which owns it from now on. */
  release(): number {
    const { fd } = this;
    this.#fd = -1;
    leaks.unregister(this);
    return fd;
  }

  /** A second descriptor of the same open file, not inherited by children. */
  duplicate(): Descriptor {
    return new Descriptor(this.#native.descriptorDuplicate(this.fd), this.#label);
  }

  /** Whether a program started from here inherits it. Every descriptor of this package begins as not inherited. */
  setInheritable(on: boolean): void {
    this.#native.descriptorSetCloseOnExec(this.fd, !on);
  }

  setNonBlocking(on: boolean): void {
    this.#native.descriptorSetNonBlocking(this.fd, on);
  }

  /** Idempotent. A watch of the descriptor must be closed first. */
  close(): void {
    if (this.#fd !== -1) this.#native.descriptorClose(this.release());
  }
}
