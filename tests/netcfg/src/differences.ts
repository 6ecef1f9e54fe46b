/**
 * Where our service does not do what the original does, on purpose, each with its reason. A difference that is not here
 * fails the test; so does one that stands here and is no longer seen.
 */

export interface Difference {
  readonly why: string;
  /** Of the original of this suite only. */
  readonly suite?: string;
  /** Takes the difference out of a line of the original's, and of ours; undefined: the line is not concerned. */
  readonly original?: (what: string, line: string) => string;
  readonly ours?: (what: string, line: string) => string;
}

/** Of the scripted calls: `what` is the call, or `change` for a NetworkChange signal. */
export const CALL_DIFFERENCES: readonly Difference[] = [
  {
    why: 'the version is our own; clients read its number, and from 26 on send metrics',
    original: (what, line) => (what === 'manager get version' ? line.replace(/v\d[^"]*/, 'VERSION') : line),
    ours: (what, line) => (what === 'manager get version' ? line.replace('v27_seikan', 'VERSION') : line),
  },
  {
    why: 'the published interface has properties that the original lacks',
    ours: (what, line) =>
      what === 'device get all'
        ? line.replaceAll(/"(active|dns_transport|log_level|modified)":\{"signature":"\w","value":[^}]*\},?/g, '')
        : line,
  },
  {
    why: 'the published interface gives mtu and txqueuelen as u: both types are taken',
    original: (what, line) =>
      what.startsWith('device set mtu u') ? line.replace(/^.*Expected type “q” but got “u”$/, 'ok []') : line,
  },
  {
    suite: 'trixie',
    why: 'AddNetworks takes metrics, as from v26 on; the form without is taken too',
    original: (what, line) =>
      what.startsWith('device AddNetworks') ? line.replace('“(a(subb))”', '“(a(suibb))”') : line,
  },
  {
    suite: 'trixie',
    why: 'later versions of the original name the interface in the error, as ours does',
    original: (what, line) =>
      what.startsWith('manager CreateVirtualInterface')
        ? line.replace(
            /^.*gdbuspp\.request: Invalid D-Bus path: .*PID_(.*)$/,
            "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2ev3_2enetcfg_2eerror.Code36: GDBus.Error:net.openvpn.v3.netcfg.error: Error creating virtual interface '$1'",
          )
        : line,
  },
  {
    why: 'where no kernel device was made the name does not change',
    original: (what, line) => (what === 'device get all' ? line.replace('"value":"tun"', '"value":"est0"') : line),
  },
  {
    suite: 'trixie',
    why: 'later versions of the original send prefix_size beside prefix',
    ours: (what, line) => (what === 'change' ? line.replace(/ prefix_size=\d+/, '') : line),
  },
];

/** Of the client's day: `what` is the stage, lines are those of the kernel and of resolv.conf. */
export const DAY_DIFFERENCES: readonly Difference[] = [
  {
    why: 'the original leaves the route that protected a killed client’s socket',
    original: (what, line) => (what === 'client killed' && line.includes('198.51.100.1') ? '' : line),
  },
  {
    suite: 'trixie',
    why: 'the original leaves a killed client’s DNS settings in resolv.conf until it ends itself',
    original: (what, line) => {
      if (what !== 'client killed') return line;
      if (line === 'resolv.conf nameserver 10.8.0.1') return '';
      return line.replace('search corp.example lan.example', 'search lan.example');
    },
  },
];

/** Applies differences to both sides and tells what is left of them; `unused` are those that changed no line. */
export function compare(
  differences: readonly Difference[],
  pairs: readonly { readonly what: string; readonly original: readonly string[]; readonly ours: readonly string[] }[],
): { readonly left: readonly string[]; readonly unused: readonly string[] } {
  const used = new Set<Difference>();
  const without = (side: 'original' | 'ours', what: string, lines: readonly string[]): string[] =>
    lines
      .map((line) =>
        differences.reduce((text, difference) => {
          const changed = difference[side]?.(what, text) ?? text;
          if (changed !== text) used.add(difference);
          return changed;
        }, line),
      )
      .filter((line) => line !== '');
  const left = pairs.flatMap(({ what, original, ours }) => {
    const theirs = without('original', what, original);
    const mine = without('ours', what, ours);
    return [
      ...theirs.filter((line) => !mine.includes(line)).map((line) => `${what}: only the original: ${line}`),
      ...mine.filter((line) => !theirs.includes(line)).map((line) => `${what}: only ours: ${line}`),
    ];
  });
  return { left, unused: differences.filter((difference) => !used.has(difference)).map(({ why }) => why) };
}
