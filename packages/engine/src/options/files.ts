/**
 * Which files a configuration needs, and upstream's complaint where one is missing.
 * Source: options.c options_postprocess_filechecks, check_cmd_access (2.6.14).
 */
import { ConfigError, type ConfigWarning, wholeConfiguration } from './config-error.js';
import { splitCommand } from './lexer.js';
import type { Credentials, Material, Options } from './options.js';
import type { Configuration } from './parse.js';

/** How this process may use a path; answered by whoever can ask the system. */
export interface FileProbe {
  /** `mode` has letters of `rwx`; none asks whether the path exists. Undefined: allowed. */
  access(path: string, mode: string): { readonly text: string; readonly errno: number } | undefined;
  /** Permission bits, or undefined if unknown. */
  permissions(path: string): number | undefined;
}

interface Need {
  readonly directive: string;
  readonly shown: string;
  readonly path: string;
  /** `place`: the file may be missing, but its directory must let it be written. */
  readonly kind: 'use' | 'place';
  readonly mode: string;
  readonly secret: boolean;
}

/**
 * Checks every file that the options name, chroot included; call it when `cd` is the working directory.
 * Throws one ConfigError about all that are missing, at the place of the first; answers warnings about secrets that
 * others may read.
 */
export function checkFiles({ options, places }: Configuration, probe: FileProbe): readonly ConfigWarning[] {
  const warnings: ConfigWarning[] = [];
  const problems: string[] = [];
  let first: Need | undefined;
  for (const need of needs(options)) {
    const { directive, shown, path, kind, mode, secret } = need;
    const at = places.get(directive) ?? wholeConfiguration;
    const problem = kind === 'use' ? probe.access(path, mode) : placeProblem(probe, path, mode);
    if (problem !== undefined) {
      problems.push(`Options error: ${shown} fails with '${path}': ${problem.text} (errno=${problem.errno})`);
      first ??= need;
      continue;
    }
    const permissions = secret ? probe.permissions(path) : undefined;
    if (permissions !== undefined && (permissions & 0o077) !== 0)
      warnings.push({ level: 'warning', text: `WARNING: file '${path}' is group or others accessible`, at });
  }
  if (first !== undefined)
    throw new ConfigError(places.get(first.directive) ?? wholeConfiguration, {
      upstream: [
        ...problems,
        `Options error: Please correct ${problems.length === 1 ? 'this error' : 'these errors'}.`,
      ].join('\n'),
      why: `${first.path} cannot be used as ${first.directive} needs it.`,
      remedy: 'Correct the path or its permissions.',
      directive: first.directive,
    });
  return warnings;
}

function placeProblem(probe: FileProbe, path: string, mode: string): ReturnType<FileProbe['access']> {
  const slash = path.lastIndexOf('/');
  const directory = slash < 0 ? '.' : slash === 0 ? '/' : path.slice(0, slash);
  const problem = probe.access(directory, `${mode}x`);
  if (problem !== undefined) return problem;
  return probe.access(path, '') === undefined ? probe.access(path, 'w') : undefined;
}

function* needs(options: Options): Generator<Need> {
  const { tls, verify, auth, data, server, process, log, scripts } = options;
  const inChroot = (path: string): string =>
    process.chroot === undefined ? path : `${process.chroot.replace(/\/$/, '')}/${path.replace(/^\//, '')}`;
  yield* script('up', scripts.up, (path) => path);
  yield* script('down', scripts.down, inChroot);
  yield* script('ipchange', scripts.ipchange, inChroot);
  yield* script('route-up', scripts.routeUp, (path) => path);
  yield* script('route-pre-down', scripts.routePreDown, inChroot);
  yield* script('tls-verify', verify.script, inChroot);
  yield* script('auth-user-pass-verify', auth.verify?.command, inChroot);
  yield* script('client-connect', scripts.clientConnect, inChroot);
  yield* script('client-disconnect', scripts.clientDisconnect, inChroot);
  yield* script('learn-address', scripts.learnAddress, inChroot);
  yield* script('client-crresponse', scripts.clientCrresponse, inChroot);
  yield* file('dh', tls.dh);
  yield* file('ca', tls.ca);
  yield* directory('capath', '--capath', tls.capath === undefined ? undefined : inChroot(tls.capath), 'r');
  yield* file('cert', tls.cert);
  yield* file('extra-certs', tls.extraCerts);
  yield* file('key', tls.key, true);
  yield* file('pkcs12', tls.pkcs12, true);
  if (verify.crl?.kind === 'directory')
    yield* directory('crl-verify', '--crl-verify directory', inChroot(verify.crl.path), 'rx');
  else if (verify.crl?.source.from === 'file')
    yield* directory('crl-verify', '--crl-verify', inChroot(verify.crl.source.path), 'r');
  if (verify.exportDirectory !== undefined)
    yield* directory('tls-export-cert', '--tls-export-cert', inChroot(verify.exportDirectory), 'w');
  for (const { wrap, proxy } of options.connections) {
    yield* file(proxy?.kind === 'socks' ? 'socks-proxy' : 'http-proxy', proxy?.credentials, true);
    yield* file('tls-auth', wrap.tlsAuth?.key, true);
    yield* file('tls-crypt', wrap.tlsCrypt, true);
    yield* file('tls-crypt-v2', wrap.tlsCryptV2?.key, true);
  }
  yield* file('secret', data.secret?.key, true);
  yield* file('askpass', tls.askpass, true);
  yield* file('auth-user-pass', auth.userPass, true);
  yield* directory('chroot', '--chroot directory', process.chroot, 'rx');
  yield* place('writepid', process.writePid);
  yield* place('status', log.status?.file);
  if (server.clientConfigDir !== undefined)
    yield* directory('client-config-dir', '--client-config-dir', inChroot(server.clientConfigDir), 'rx');
  yield* directory('tmp-dir', 'Temporary directory (--tmp-dir)', inChroot(server.tempDirectory), 'rwx');
}

function* script(directive: string, command: string | undefined, where: (path: string) => string): Generator<Need> {
  if (command === undefined) return;
  const [path = ''] = splitCommand(command, wholeConfiguration);
  yield { directive, shown: `--${directive} script`, path: where(path), kind: 'use', mode: 'x', secret: false };
}

function* file(directive: string, source: Material | Credentials | undefined, secret = false): Generator<Need> {
  if (source?.from !== 'file') return;
  yield { directive, shown: `--${directive}`, path: source.path, kind: 'use', mode: 'r', secret };
}

function* directory(directive: string, shown: string, path: string | undefined, mode: string): Generator<Need> {
  if (path !== undefined) yield { directive, shown, path, kind: 'use', mode, secret: false };
}

function* place(directive: string, path: string | undefined): Generator<Need> {
  if (path !== undefined) yield { directive, shown: `--${directive}`, path, kind: 'place', mode: 'rw', secret: false };
}
