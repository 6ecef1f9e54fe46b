/** An error with a D-Bus name: what a call was answered with, or what a handler answers. */
import { isInterfaceName } from './names.js';

export const ErrorName = {
  failed: 'org.freedesktop.DBus.Error.Failed',
  invalidArgs: 'org.freedesktop.DBus.Error.InvalidArgs',
  unknownMethod: 'org.freedesktop.DBus.Error.UnknownMethod',
  accessDenied: 'org.freedesktop.DBus.Error.AccessDenied',
  limitsExceeded: 'org.freedesktop.DBus.Error.LimitsExceeded',
  noReply: 'org.freedesktop.DBus.Error.NoReply',
  disconnected: 'org.freedesktop.DBus.Error.Disconnected',
  nameHasNoOwner: 'org.freedesktop.DBus.Error.NameHasNoOwner',
} as const;

export class DbusError extends Error {
  override readonly name = 'DbusError';
  /** `org.freedesktop.DBus.Error.Failed` and the like. */
  readonly errorName: string;

  constructor(errorName: string, message: string) {
    super(message);
    if (!isInterfaceName(errorName)) throw new TypeError(`not an error name: ${JSON.stringify(errorName)}`);
    this.errorName = errorName;
  }
}
