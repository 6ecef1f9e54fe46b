/**
 * Runs the addon's tests under AddressSanitizer, without guard bytes between an array and the sanitizer's own:
 * `node tools/test-sanitized.mjs [--long]`. `--long` tries many more random arguments, superpackets and flows, from a
 * seed of its own. Puts the ordinary build back. Ends with 'N passed, N failed', one for each file of tests.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const tests = join(root, 'packages/native/dist-test');
/** Those that end in moments and start no other program: a preloaded sanitizer would go into each of those, too. */
const chosen =
  /^(aead|arguments|cbc|offload-fuzz|offload-rules|socket-address|tcp-socket|udp-socket|unix-socket|tls)\.test\.js$/;
const long = process.argv.includes('--long');
const seed = process.env.SEIKAN_SEED ?? String(long ? Date.now() % 0x1_0000_0000 : 20_261_121);

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
let passed = 0;
let failed = 0;
try {
  for (const file of readdirSync(tests).filter((name) => chosen.test(name))) {
    const run = spawnSync(process.execPath, ['--enable-source-maps', join(tests, file)], {
      encoding: 'utf8',
      timeout: 1_200_000,
      env: {
        ...process.env,
        LD_PRELOAD: runtime,
        // V8 keeps what it allocated until the process ends; a leak of ours shows in the descriptor tests.
        ASAN_OPTIONS: 'detect_leaks=0',
        SEIKAN_FUZZ_GUARD: '0',
        SEIKAN_SEED: seed,
        SEIKAN_FUZZ_ROUNDS: process.env.SEIKAN_FUZZ_ROUNDS ?? (long ? '300000' : '20000'),
        SEIKAN_OFFLOAD_ROUNDS: process.env.SEIKAN_OFFLOAD_ROUNDS ?? (long ? '6000' : '100'),
      },
    });
    console.log(
      `test-sanitized: ${file} ${run.status === 0 ? 'passed' : `failed (${run.status ?? run.signal})`} (seed ${seed})`,
    );
    if (run.status === 0) passed += 1;
    else {
      failed += 1;
      console.error(`${run.stdout}\n${run.stderr}`);
    }
  }
} finally {
  build({});
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
