/**
 * Every case of config-cases.json against what openvpn 2.6.14 answered (tools/record-options.mjs verdicts): the same
 * configurations are taken, and refused ones with the same first line.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  ConfigError,
  type ConfigWarning,
  checkFiles,
  type FileProbe,
  parseConfig,
  startWarnings,
} from '@seikan/engine';

interface Cases {
  readonly bases: Readonly<Record<string, string>>;
  readonly cases: readonly { readonly base: string; readonly text: string }[];
}

interface Verdicts {
  readonly answers: readonly {
    readonly taken: boolean;
    readonly said?: string;
    /** Before the version banner, and after it. */
    readonly logged?: readonly string[];
    readonly started?: readonly string[];
  }[];
}

const vectors = join(import.meta.dirname, '../../test/vectors');
const { bases, cases }: Cases = JSON.parse(readFileSync(join(vectors, 'config-cases.json'), 'utf8'));
const { answers }: Verdicts = JSON.parse(readFileSync(join(vectors, 'config-verdicts.json'), 'utf8'));

/** Cases (some of one base only) where we decide otherwise on purpose, and how our first line starts. */
const deliberate: Readonly<Record<string, string>> = {
  // A tunnel without any encryption.
  '--port 1194\ndev tun': 'Options error: No tls-client, tls-server or secret option',
  'dev tun # comment': 'Options error: No tls-client, tls-server or secret option',
  'dev tun': 'Options error: No tls-client, tls-server or secret option',
  // Upstream notices when it opens the device.
  'dev-type foo\ndev x': "Options error: I don't recognize device foo as a tun or tap device",
  // Upstream notices when it makes the key.
  'secret: cipher AES-256-GCM': "Options error: Cipher 'AES-256-GCM' mode not supported",
  // Upstream notices when it wants to connect.
  'proto tcp-client\nremote 198.51.100.1\nsocks-proxy 192.0.2.9 1080 missing':
    "Options error: --socks-proxy fails with 'missing': No such file or directory (errno=2)",
  'proto-force tcp': 'Options error: No usable connection profiles are present',
  // Numbers that are none; upstream reads 0.
  'keepalive ten sixty': "Options error: bad number 'ten' for --keepalive",
  'verb abc': "Options error: bad number 'abc' for --verb",
  'tun-mtu abc': "Options error: Invalid tun-mtu: 'abc'",
  'max-clients 0': 'Options error: --max-clients must be at least 1',
  // Only a push may say it.
  'auth-token abc': "Options error: option 'auth-token' cannot be used in this context",
  // Its value is not looked at: it has no effect.
  'hash-size 0 0': 'Options error: --hash-size requires --mode server',
  // Not supported.
  'vlan-tagging': 'Options error: Unrecognized option',
  'vlan-pvid 5': 'Options error: Unrecognized option',
  // There is no single peer whose addresses it could change.
  'client-nat snat 10.0.0.0 255.0.0.0 11.0.0.0': 'Options error: --client-nat cannot be used with --mode server',
  // Not yet supported, or not at all.
  'shaper 1000': 'Options error: Unrecognized option',
  'shaper 10': 'Options error: Unrecognized option',
  'stale-routes-check 5': 'Options error: Unrecognized option',
  'route-gateway dhcp': "Options error: route-gateway parm 'dhcp' must be a valid address",
  'stale-routes-check 5 10': 'Options error: Unrecognized option',
  'stale-routes-check 0': 'Options error: Unrecognized option',
  'replay-persist dir/r': 'Options error: Unrecognized option',
  // Its value is not looked at: it has no effect.
  'bcast-buffers 0': '',
};

/** Where our log has a line more than openvpn's, or one less, on purpose. */
const otherLog: Readonly<Record<string, { readonly more?: string; readonly less?: string }>> = {
  'tls-crypt key 1': { more: "--tls-crypt: '1' is ignored" },
  'reneg-sec 5x': { more: "--reneg-sec: '5x' is read as 5" },
  'redirect-gateway def1 ipv6 bypass-dhcp': { more: '--redirect-gateway: bypass-dhcp has no effect on Linux' },
  'client: compress migrate': { more: 'compress migrate has no effect here: only a server moves its clients' },
  'fast-io': { more: '--fast-io is ignored: packets are moved in batches without asking first' },
  'ip-remote-hint 192.0.2.1': { more: '--ip-remote-hint is ignored: it is looked up beforehand, and never used' },
  'route-method exe': { more: '--route-method is ignored: it chooses how Windows sets routes' },
  'ecdh-curve secp384r1': {
    more: '--ecdh-curve is ignored: the curve is negotiated; tls-groups restricts it',
    less: 'Consider setting groups/curves preference with tls-groups instead of forcing a specific curve with ecdh-curve.',
  },
  'verb 3': { less: 'Note: Kernel support for ovpn-dco missing, disabling data channel offload.' },
};

/** The files that stood beside the recorded configurations. */
const present = new Set(['a.pem', 'b.pem', 'key', 'script', 'user-pass', 'dir', '.', 'c', '/tmp']);

const probe: FileProbe = {
  access: (path) => (present.has(path) ? undefined : { text: 'No such file or directory', errno: 2 }),
  permissions: () => 0o600,
};

interface Answer {
  readonly taken: boolean;
  readonly said: string;
  readonly logged: readonly string[];
  readonly started: readonly string[];
}

function answer(text: string): Answer {
  try {
    const configuration = parseConfig(text, 'c', { read: (path) => (path === 'c' ? text : undefined) });
    checkFiles(configuration, probe);
    return {
      taken: true,
      said: '',
      logged: texts(configuration.warnings),
      started: texts(startWarnings(configuration)),
    };
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return { taken: false, said: error.upstream.split('\n', 1)[0] ?? '', logged: [], started: [] };
  }
}

function texts(warnings: readonly ConfigWarning[]): string[] {
  return warnings.map((warning) => warning.text);
}

test('there is an answer of openvpn for each case', () => {
  assert.equal(answers.length, cases.length);
  assert.ok(cases.length >= 400);
});

for (const [index, { base, text }] of cases.entries()) {
  const stock = answers[index];
  const deliberately = deliberate[`${base}: ${text}`] ?? deliberate[text];
  const title = `${base}: ${JSON.stringify(text.slice(0, 60))} is ${stock?.taken === true ? 'taken' : 'refused'}`;
  if (deliberately !== undefined)
    test(`${title} by openvpn, refused here`, () => {
      const ours = answer(`${bases[base] ?? ''}${text}\n`);
      assert.ok(ours.said.startsWith(deliberately), ours.said);
    });
  else
    test(`${title}, as openvpn does`, () => {
      const ours = answer(`${bases[base] ?? ''}${text}\n`);
      assert.equal(ours.taken, stock?.taken, ours.said);
      // Recorded lines are cut, and ours leaves out a long explanation that has its own place in the second line.
      const { more, less } = otherLog[`${base}: ${text}`] ?? otherLog[text] ?? {};
      const expected = (stock?.logged ?? []).filter((logged) => logged !== less).concat(more ?? []);
      assert.deepEqual(ours.logged.toSorted(), expected.toSorted());
      // The recorded openvpn ended before: nobody answered its question for a name.
      if (!text.startsWith('auth-user-pass')) assert.deepEqual(ours.started, stock?.started ?? []);
      const said = stock?.said ?? '';
      const short = ours.said.slice(0, 240);
      assert.ok(said.startsWith(short) || short === `Options error: ${said}`, `${short}\n${said}`);
    });
}
