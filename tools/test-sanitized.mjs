/**
 * Runs the addon's tests under AddressSanitizer, with more random arguments than usual and no guard bytes between an
 * array and the sanitizer's own: `node tools/test-sanitized.mjs`. Puts the ordinary build back. Exits 1 on a finding.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const tests = join(root, 'packages/native/dist-test');
/** Those that end in moments and start no other program: a preloaded sanitizer would go into each of those, too. */
const chosen = /^(aead|arguments|socket-address|tcp-socket|udp-socket|unix-socket|tls)\.test\.js$/;

const runtime = execFileSync(process.env.CC ?? 'cc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
if (!runtime.startsWith('/')) {
  console.error('test-sanitized: no libasan.so; on Debian it comes with gcc (libgcc-12-dev)');
  process.exit(1);
}

function build(sanitize) {
  const environment = { ...process.env, ...sanitize };
  execFileSync(process.execPath, [join(root, 'tools/build-native.mjs'), '--force'], {
    stdio: 'inherit',
    env: environment,
  });
}

build({ SEIKAN_SANITIZE: 'address' });
let failed = 0;
try {
  for (const file of readdirSync(tests).filter((name) => chosen.test(name))) {
    const run = spawnSync(process.execPath, ['--enable-source-maps', join(tests, file)], {
      encoding: 'utf8',
      timeout: 300_000,
      env: {
        ...process.env,
        LD_PRELOAD: runtime,
        // V8 keeps what it allocated until the process ends; a leak of ours shows in the descriptor tests.
        ASAN_OPTIONS: 'detect_leaks=0',
        SEIKAN_FUZZ_GUARD: '0',
        SEIKAN_FUZZ_ROUNDS: process.env.SEIKAN_FUZZ_ROUNDS ?? '100000',
      },
    });
    console.log(`test-sanitized: ${file} ${run.status === 0 ? 'passed' : `failed (${run.status ?? run.signal})`}`);
    if (run.status !== 0) {
      failed += 1;
      console.error(`${run.stdout}\n${run.stderr}`);
    }
  }
} finally {
  build({});
}
process.exit(failed === 0 ? 0 : 1);
