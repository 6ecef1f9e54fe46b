/**
 * What fixtures/recorder.c wrote, and how two recordings are compared: the sequence of calls, their arguments, and the
 * names and values of their environment. Values that no two runs share (ports, times, temporary files, process ids)
 * are compared by shape; the differences that are meant stand in fixtures/differences.json with their reason.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { eventName } from '@seikan/plugin-sdk';

export interface RecordedCall {
  /** `open`, `ctor`, `dtor`, `close`, or an event's name. */
  readonly call: string;
  /** The client's number in order of construction; 1 is the tunnel. */
  readonly client: number;
  readonly certificate: string;
  readonly argv: readonly string[];
  readonly env: ReadonlyMap<string, string>;
}

/** Differences that are meant, each with its reason. `call` and `name` are regular expressions over the whole. */
export interface Allowed {
  readonly environment: readonly { readonly call: string; readonly name: string; readonly why: string }[];
  /** `call` is a call's name and arguments. */
  readonly order: readonly {
    readonly role: Role;
    readonly call: string;
    readonly may: 'come at any time' | 'come once only';
    readonly why: string;
  }[];
}

export type Role = 'server' | 'client';

export function allowedDifferences(): Allowed {
  return JSON.parse(
    readFileSync(fileURLToPath(new URL('../fixtures/differences.json', import.meta.url)), 'utf8'),
  ) as Allowed;
}

export function buildRecorder(output: string, ...flags: readonly string[]): void {
  const source = fileURLToPath(new URL('../fixtures/recorder.c', import.meta.url));
  execFileSync('cc', ['-shared', '-fPIC', '-Wall', '-Wextra', '-Werror', ...flags, '-o', output, source]);
}

export function readRecording(path: string): RecordedCall[] {
  const calls: { call: string; client: number; certificate: string; argv: string[]; env: Map<string, string> }[] = [];
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    if (line === '') continue;
    const [kind = '', escaped = ''] = line.split('\t');
    const text = escaped.replaceAll(/\\(.)/g, (_, character: string) => ({ t: '\t', n: '\n' })[character] ?? character);
    const last = calls.at(-1);
    switch (kind) {
      case 'A':
        last?.argv.push(text);
        break;
      case 'E': {
        const equals = text.indexOf('=');
        last?.env.set(text.slice(0, equals), text.slice(equals + 1));
        break;
      }
      case 'C':
        if (last !== undefined) last.certificate = text;
        break;
      case 'P':
        if (last !== undefined) last.client = Number(text);
        break;
      default: {
        const call = kind === 'event' ? (eventName(Number(text)) ?? `event ${text}`) : kind;
        const client = kind === 'ctor' || kind === 'dtor' ? Number(text) : 0;
        calls.push({ call, client, certificate: '', argv: [], env: new Map() });
      }
    }
  }
  return calls;
}

/** Every way in which two recordings differ and should not; empty is equal. */
export function compareRecordings(
  mine: readonly RecordedCall[],
  other: readonly RecordedCall[],
  allowed: Allowed,
  role: Role,
): string[] {
  const [ours, theirs] = [inOrder(mine, allowed, role), inOrder(other, allowed, role)];
  const patterns = allowed.environment.map(
    ({ call, name }) => [new RegExp(`^(?:${call})$`), new RegExp(`^(?:${name})$`)] as const,
  );
  const meant = (call: string, name: string): boolean =>
    patterns.some(([calls, names]) => calls.test(call) && names.test(name));
  const differences: string[] = [];
  const sequence = (calls: readonly RecordedCall[]): string[] =>
    calls.map(({ call, client, argv }) => `${call} ${client} ${argv.slice(1).map(shapeOf).join(' ')}`);
  const [left, right] = [sequence(ours), sequence(theirs)];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1)
    if (left[index] !== right[index]) {
      differences.push(`call ${index}: ${left[index] ?? 'nothing'} instead of ${right[index] ?? 'nothing'}`);
      return differences;
    }
  for (const [index, mine] of ours.entries()) {
    const other = theirs[index];
    if (other === undefined) break;
    const where = `call ${index} (${mine.call})`;
    if (mine.certificate !== other.certificate)
      differences.push(`${where}: certificate ${mine.certificate} instead of ${other.certificate}`);
    for (const name of new Set([...mine.env.keys(), ...other.env.keys()])) {
      const [value, wanted] = [mine.env.get(name), other.env.get(name)];
      if (meant(mine.call, name)) continue;
      if (value === undefined) differences.push(`${where}: ${name} is missing (${wanted})`);
      else if (wanted === undefined) differences.push(`${where}: ${name}=${value} is too much`);
      else if (shapeOf(value, name) !== shapeOf(wanted, name))
        differences.push(`${where}: ${name}=${value} instead of ${wanted}`);
    }
  }
  return differences;
}

/** A recording with what may come at another time at its end, and what may come once only once. */
function inOrder(calls: readonly RecordedCall[], { order }: Allowed, role: Role): readonly RecordedCall[] {
  let result = calls;
  for (const { call: pattern, may } of order.filter((rule) => rule.role === role)) {
    const whole = new RegExp(`^(?:${pattern})$`);
    const meant = ({ call, argv }: RecordedCall): boolean => whole.test([call, ...argv.slice(1)].join(' ').trim());
    const rest = result.filter((call) => !meant(call));
    const moved = result.filter(meant);
    if (may === 'come at any time') result = [...rest, ...moved];
    // The tunnel itself is then always the same.
    else {
      const one = (call: RecordedCall): RecordedCall => ({ ...call, client: Math.min(call.client, 1) });
      result = [...moved.slice(0, 1), ...rest].map(one);
    }
  }
  return result;
}

/** What stays of a value that no two runs share. */
function shapeOf(value: string, name: string | number = ''): string {
  if (
    /(?:^|_)(?:port|pid|time|unix|ascii|duration|bytes_received|bytes_sent|daemon_start_time)(?:_|$)/.test(
      String(name),
    ) &&
    name !== 'local_port_1'
  )
    return /^\d+$/.test(value) ? 'number' : value === '' ? '' : 'text';
  if (name === 'exported_keying_material' || name === 'session_id') return `${value.length} characters`;
  return value
    .replace(/openvpn_(\w+?)_[\da-f]{8,32}\.tmp$/, 'openvpn_$1_HEX.tmp')
    .replace(/^\/tmp\/seikan-[^/]+\//, '/tmp/FOLDER/')
    .replace(/^(\[AF_INET6?\]\S+) \d+$/, '$1 PORT')
    .replace(/config-\d+$/, 'config-N');
}
