/** `--help`: the options from the directive table, so that it lists what this program really takes, in its groups. */
import { type DirectiveRow, directiveTable, type Permission } from '@seikan/engine';

/** In this order; an option stands in the first group that it belongs to. */
const GROUPS: readonly (readonly [title: string, belongs: (row: DirectiveRow) => boolean])[] = [
  ['One-shot actions', ({ name }) => /^(show-|genkey|test-crypto|mktun|rmtun|help|version)/.test(name)],
  ['Scripts', ({ permissions }) => permissions.includes('script')],
  ['Connecting', ({ permissions }) => permissions.includes('connection')],
  ['TLS', ({ permissions }) => has(permissions, 'tls')],
  ['Clients of a server', ({ permissions }) => has(permissions, 'push', 'instance')],
  ['Routes, addresses and DNS', ({ permissions }) => has(permissions, 'route', 'route-extras', 'dhcp-dns', 'up')],
  ['Data channel', ({ permissions }) => has(permissions, 'ncp', 'compression', 'mtu', 'push-mtu', 'timer')],
  ['Process, log and everything else', () => true],
];

export function helpText(banner: string): string {
  const lines = [banner, ''];
  const left = new Set([...directiveTable.values()].filter(({ support }) => support === 'supported'));
  for (const [title, belongs] of GROUPS) {
    const rows = [...left].filter((row) => belongs(row));
    for (const row of rows) left.delete(row);
    lines.push(`${title}:`, ...rows.map(usage).toSorted(), '');
  }
  lines.push('What each does, and which options are refused or ignored and why: docs/compatibility.md, openvpn(8).');
  return `${lines.join('\n')}\n`;
}

function has(permissions: readonly Permission[], ...wanted: readonly Permission[]): boolean {
  return permissions.some((permission) => wanted.includes(permission));
}

function usage({ name, parameters: [least, most], inline }: DirectiveRow): string {
  const required = ' ARG'.repeat(least);
  const optional = most === Number.POSITIVE_INFINITY ? ' [ARG …]' : ' [ARG]'.repeat(most - least);
  return `--${name}${required}${optional}${inline ? `   or <${name}> … </${name}>` : ''}`;
}
