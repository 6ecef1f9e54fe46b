/**
 * What is worth a line when the tunnel starts, after the version banner: settings that are taken but seldom meant.
 * Source: init.c do_option_warnings (2.6.14), in its order. Upstream also looks at the host's own networks there.
 */
import { type ConfigWarning, wholeConfiguration } from './config-error.js';
import type { Configuration } from './parse.js';

export function startWarnings({ options, places }: Configuration): readonly ConfigWarning[] {
  const { timers, process, persist, pull, addresses, server, tls, verify, scripts } = options;
  const warnings: ConfigWarning[] = [];
  const warn = (directive: string, text: string): void => {
    warnings.push({ level: 'warning', text, at: places.get(directive) ?? wholeConfiguration });
  };
  if (timers.ping > 0 && timers.pingTimeout === 0)
    warn('ping', 'WARNING: --ping should normally be used with --ping-restart or --ping-exit');
  const dropping = (['user', 'group', 'chroot'] as const).find((name) => process[name] !== undefined);
  for (const kept of ['tun', 'key'] as const)
    if (dropping !== undefined && !persist[kept])
      warn(
        dropping,
        `WARNING: you are using user/group/chroot/setcon without persist-${kept} -- this may cause restarts to fail`,
      );
  if (process.chroot !== undefined && (process.user === undefined || process.group === undefined))
    warn(
      'chroot',
      'WARNING: you are using chroot without specifying user and group -- this may cause the chroot jail to be insecure',
    );
  if (pull && addresses.ipv4 !== undefined)
    warn('ifconfig', 'WARNING: using --pull/--client and --ifconfig together is probably not what you want');
  if (places.has('server-bridge'))
    warn(
      'server-bridge',
      'NOTE: when bridging your LAN adapter with the TAP adapter, note that the new bridge adapter will often take on its own IP address that is different from what the LAN adapter was previously set to',
    );
  if (options.mode === 'server') {
    if (server.duplicateCn && server.clientConfigDir !== undefined)
      warn(
        'duplicate-cn',
        'WARNING: using --duplicate-cn and --client-config-dir together is probably not what you want',
      );
    if (server.duplicateCn && server.poolPersist !== undefined)
      warn('duplicate-cn', 'WARNING: --ifconfig-pool-persist will not work with --duplicate-cn');
    if (!places.has('keepalive')) warn('server', 'WARNING: --keepalive option is missing from server config');
  }
  const checksServer =
    verify.script !== undefined ||
    verify.x509Name !== undefined ||
    verify.extendedKeyUsage !== undefined ||
    verify.peerFingerprints.length > 0;
  if (tls.role === 'client' && !checksServer)
    warn(
      'client',
      'WARNING: No server certificate verification method has been enabled.  See http://openvpn.net/howto.html#mitm for more info.',
    );
  const script = scriptDirectives.find((name) => places.has(name));
  if (script !== undefined)
    warn(
      script,
      scripts.security >= 2
        ? 'NOTE: the current --script-security setting may allow this configuration to call user-defined scripts'
        : "NOTE: starting with OpenVPN 2.1, '--script-security 2' or higher is required to call user-defined scripts or executables",
    );
  return warnings;
}

/** Directives that name a script of the user's. */
const scriptDirectives = [
  'up',
  'down',
  'ipchange',
  'route-up',
  'route-pre-down',
  'tls-verify',
  'auth-user-pass-verify',
  'client-connect',
  'client-disconnect',
  'learn-address',
];
