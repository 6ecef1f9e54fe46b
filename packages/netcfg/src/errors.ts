/**
 * The service's errors in the form of the original, which is GDBus' for a GError without a D-Bus name: clients take
 * domain and text out of it. Observed on openvpn3-client 24.1.
 */
import { DbusError, ErrorName } from '@seikan/dbus';

function unmapped(domain: string, text: string): DbusError {
  const escaped = domain.replaceAll('.', '_2e');
  return new DbusError(`org.gtk.GDBus.UnmappedGError.Quark._${escaped}.Code36`, `GDBus.Error:${domain}: ${text}`);
}

/** What the service itself refuses. */
export function netcfgError(text: string): DbusError {
  return unmapped('net.openvpn.v3.netcfg.error', text);
}

/** What the original's object layer refuses: a caller that may not call this, a kernel device that cannot be made. */
export function objectError(text: string): DbusError {
  return unmapped('net.openvpn.gdbuspp', text);
}

/** A request that cannot be carried out as it is: a path that is none, a caller that has left. */
export function requestError(text: string): DbusError {
  return unmapped('net.openvpn.gdbuspp.request', text);
}

/** A property's value that is refused. */
export function valueError(text: string): DbusError {
  return new DbusError(ErrorName.failed, text);
}

/**
 * Names, addresses and domains as they are used: without control characters, which have no place in logs and files.
 * Terminals heed those of ISO 8859, too.
 */
export function withoutControls(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is meant
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '');
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
