/**
 * The place of kernel offload: what the service needs of it. The object at `…/dco` is the port's own; it exports it when
 * it makes the kernel's device and takes it away with it.
 */
import type { Call, ObjectTree } from '@seikan/dbus';

import type { LogWriter } from './service-log.js';

export interface DcoRequest {
  /** The name that the client wants for the kernel's device. */
  readonly name: string;
  /** Where the object goes: the device's path and `/dco`. */
  readonly path: string;
  readonly tree: ObjectTree;
  /** To be awaited before each access of the object: rejects callers other than the device's owner, its ACL and root. */
  readonly authorize: (call: Call, member: string) => Promise<void>;
  readonly log: LogWriter;
}

/** A kernel device with its object. */
export interface DcoLink {
  /** The kernel's name. */
  readonly name: string;
  /** Removes object, pipe and kernel device. Idempotent. */
  close(): Promise<void>;
}

export interface DcoPort {
  /** True only if `enable` can succeed. */
  available(): Promise<boolean>;
  /** Rejects with an Error whose message tells why, the kernel's number at its end. */
  enable(request: DcoRequest): Promise<DcoLink>;
}

/** For kernels, and builds of the service, without offload. */
export const noDco: DcoPort = {
  available: () => Promise.resolve(false),
  enable: ({ name }) => Promise.reject(new Error(`Error while executing NetlinkLinkNew ${name}: -95`)),
};
