import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const header = '/usr/include/openvpn/openvpn-plugin.h';

/** Our struct and fields, theirs. */
const layouts: [string, string, [string, string][]][] = [
  [
    'abi_list',
    'openvpn_plugin_string_list',
    [
      ['next', 'next'],
      ['name', 'name'],
      ['value', 'value'],
    ],
  ],
  [
    'abi_callbacks',
    'openvpn_plugin_callbacks',
    [
      ['log', 'plugin_log'],
      ['vlog', 'plugin_vlog'],
      ['secure_memzero', 'plugin_secure_memzero'],
      ['base64_encode', 'plugin_base64_encode'],
      ['base64_decode', 'plugin_base64_decode'],
    ],
  ],
  [
    'abi_open_in',
    'openvpn_plugin_args_open_in',
    [
      ['type_mask', 'type_mask'],
      ['argv', 'argv'],
      ['envp', 'envp'],
      ['callbacks', 'callbacks'],
      ['ssl_api', 'ssl_api'],
      ['version', 'ovpn_version'],
      ['major', 'ovpn_version_major'],
      ['minor', 'ovpn_version_minor'],
      ['patch', 'ovpn_version_patch'],
    ],
  ],
  [
    'abi_open_return',
    'openvpn_plugin_args_open_return',
    [
      ['type_mask', 'type_mask'],
      ['handle', 'handle'],
      ['return_list', 'return_list'],
    ],
  ],
  [
    'abi_func_in',
    'openvpn_plugin_args_func_in',
    [
      ['type', 'type'],
      ['argv', 'argv'],
      ['envp', 'envp'],
      ['handle', 'handle'],
      ['client', 'per_client_context'],
      ['cert_depth', 'current_cert_depth'],
      ['cert', 'current_cert'],
    ],
  ],
  ['abi_func_return', 'openvpn_plugin_args_func_return', [['return_list', 'return_list']]],
];

const numbers: [string, string][] = [
  ['ABI_INTERFACE', 'OPENVPN_PLUGIN_VERSION'],
  ['ABI_STRUCTS', 'OPENVPN_PLUGINv3_STRUCTVER'],
  ['ABI_SUCCESS', 'OPENVPN_PLUGIN_FUNC_SUCCESS'],
  ['ABI_ERROR', 'OPENVPN_PLUGIN_FUNC_ERROR'],
  ['ABI_DEFERRED', 'OPENVPN_PLUGIN_FUNC_DEFERRED'],
  ['ABI_LOG_ERR', 'PLOG_ERR'],
  ['ABI_LOG_WARN', 'PLOG_WARN'],
  ['ABI_LOG_NOTE', 'PLOG_NOTE'],
  ['ABI_LOG_DEBUG', 'PLOG_DEBUG'],
  ['ABI_LOG_ERRNO', 'PLOG_ERRNO'],
  ['ABI_LOG_NOMUTE', 'PLOG_NOMUTE'],
  ['ABI_SSL_OPENSSL', 'SSLAPI_OPENSSL'],
  ['ABI_SSL_MBEDTLS', 'SSLAPI_MBEDTLS'],
  ['ABI_INIT_CONFIG', 'OPENVPN_PLUGIN_INIT_PRE_CONFIG_PARSE'],
  ['ABI_INIT_PRE_DAEMON', 'OPENVPN_PLUGIN_INIT_PRE_DAEMON'],
  ['ABI_INIT_POST_DAEMON', 'OPENVPN_PLUGIN_INIT_POST_DAEMON'],
  ['ABI_INIT_POST_UID', 'OPENVPN_PLUGIN_INIT_POST_UID_CHANGE'],
  ['ABI_CONNECT_DEFER_V2', 'OPENVPN_PLUGIN_CLIENT_CONNECT_DEFER_V2'],
  ['ABI_CRRESPONSE', 'OPENVPN_PLUGIN_CLIENT_CRRESPONSE'],
];

test("our declarations have the sizes, offsets and numbers of OpenVPN's header", (t) => {
  if (!existsSync(header)) return t.skip('openvpn is not installed');
  const checks = numbers.map(([ours, theirs]) => `_Static_assert((int)${ours} == (int)${theirs}, "${ours}");`);
  for (const [ours, theirs, fields] of layouts) {
    checks.push(`_Static_assert(sizeof(struct ${ours}) == sizeof(struct ${theirs}), "${ours}");`);
    for (const [a, b] of fields) {
      const [left, right] = [`((struct ${ours} *)0)->${a}`, `((struct ${theirs} *)0)->${b}`];
      checks.push(
        `_Static_assert(offsetof(struct ${ours}, ${a}) == offsetof(struct ${theirs}, ${b}), "${ours}.${a}");`,
      );
      checks.push(`_Static_assert(sizeof(${left}) == sizeof(${right}), "${ours}.${a} size");`);
    }
  }
  const folder = mkdtempSync(join(tmpdir(), 'seikan-abi-'));
  try {
    const source = join(folder, 'abi.c');
    const compile = (text: string): void => {
      writeFileSync(source, text);
      const c = fileURLToPath(new URL('../c', import.meta.url));
      execFileSync('cc', ['-std=gnu11', '-fsyntax-only', `-I${c}`, source], { stdio: 'pipe' });
    };
    const includes = '#include <openvpn/openvpn-plugin.h>\n#include "abi.h"\n';
    compile(`${includes}${checks.join('\n')}\n`);
    assert.throws(
      () => compile(`${includes}_Static_assert(offsetof(struct abi_list, value) == 8, "");\n`),
      'a wrong offset is seen',
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
  return undefined;
});
