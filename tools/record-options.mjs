/**
 * Records what Debian's openvpn knows and decides about configurations, as vectors for packages/engine/test/options:
 *
 *     node tools/record-options.mjs names       stock-directives.json: every name with its least and most parameters
 *     node tools/record-options.mjs verdicts    config-verdicts.json: the answer to each case of config-cases.json
 *
 * Names: each word of the binary, of the manual page and of --help is put into a <connection> block with 0, 1, 2 …
 * parameters. There a known name with a right count is "not usable in this context" (or taken), an unknown one
 * "Unrecognized", and nothing is ever carried out.
 * Verdicts: a configuration was taken if the version banner appears, which follows the checks of all options; the
 * credentials are rubbish, so that the process ends right after it.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { directiveTable } from '@seikan/engine';

const program = '/usr/sbin/openvpn';
const vectors = resolve(import.meta.dirname, '../packages/engine/test/vectors');
const folder = mkdtempSync(join(tmpdir(), 'record-options-'));
const version = /OpenVPN (\S+)/.exec(openvpn(['--version']))?.[1];

try {
  if (process.argv[2] === 'names') recordNames();
  else if (process.argv[2] === 'verdicts') recordVerdicts();
  else console.error('usage: record-options.mjs names | verdicts');
} finally {
  rmSync(folder, { recursive: true });
}

function openvpn(argv) {
  const { stdout, stderr } = spawnSync(program, argv, { encoding: 'utf8', cwd: folder, input: '', timeout: 3_000 });
  return stdout + stderr;
}

function recordNames() {
  const names = {};
  for (const name of candidates()) {
    const counts = [0, 1, 2, 3, 4, 5].filter((count) => isKnown(name, count));
    if (counts.length === 0) continue;
    // Fifteen is the most that a line can have: then the number is not limited.
    names[name] = [counts[0], isKnown(name, 15) ? 'list' : counts.at(-1)];
  }
  write('stock-directives.json', { version, names });
}

function candidates() {
  const man = gunzipSync(readFileSync('/usr/share/man/man8/openvpn.8.gz')).toString().replaceAll('\\', '');
  const texts = [readFileSync(program, 'latin1').replaceAll('\0', '\n'), man, openvpn(['--help'])];
  // The linker stores a string that ends another one only once, so names come from the pages and our table too.
  const words = new Set(texts.flatMap((text) => text.match(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/gm) ?? []));
  for (const text of texts.slice(1))
    for (const [, word] of text.matchAll(/--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)/g)) {
      words.add(word);
      if (word.endsWith('f')) words.add(word.slice(0, -1));
    }
  for (const name of directiveTable.keys()) words.add(name);
  return [...words].filter((word) => word.length > 1 && word.length <= 40).sort();
}

function isKnown(name, count) {
  const parameters = Array.from({ length: count }, () => ' 1').join('');
  writeFileSync(join(folder, 'c'), `<connection>\n${name}${parameters}\n</connection>\n`);
  return !/Unrecognized option|obsolete parameter/.test(openvpn(['--config', 'c']));
}

function recordVerdicts() {
  const { bases, cases } = JSON.parse(readFileSync(join(vectors, 'config-cases.json'), 'utf8'));
  for (const name of ['a.pem', 'b.pem', 'key', 'script', 'user-pass'])
    writeFileSync(join(folder, name), 'x\n', { mode: 0o700 });
  mkdirSync(join(folder, 'dir'));
  const answers = cases.map(({ base, text }) => {
    writeFileSync(join(folder, 'c'), `${bases[base]}${text}\n`);
    const output = openvpn(['--config', 'c']);
    const lines = output.replaceAll(/^\d{4}-\S+ \S+ /gm, '').split('\n');
    const banner = lines.findIndex((line) => /^OpenVPN \d.*\[/.test(line));
    if (banner >= 0) {
      // Rubbish keys, and what depends on the machine, are not about the configuration.
      const started = lines.slice(banner).filter((line) => /^(WARNING|NOTE): (?!file|your local LAN)/.test(line));
      return { taken: true, logged: lines.slice(0, banner), started };
    }
    const fatal = lines.indexOf('Exiting due to fatal error');
    const said = lines.find((line) => /^Options (error|warning):/.test(line)) ?? lines[fatal - 1] ?? '';
    return { taken: false, said: said.slice(0, 240) };
  });
  write('config-verdicts.json', { version, answers });
}

function write(name, value) {
  const text = JSON.stringify(value, null, 1).replaceAll(/\[\s+(\d+),\s+("list"|\d+)\s+\]/g, '[$1, $2]');
  writeFileSync(join(vectors, name), `${text}\n`);
  console.log(`recorded ${name} from openvpn ${version}`);
}
