/**
 * `compress migrate`: a server without compression takes clients that still have it, and tells each to stop.
 * upstream: multi.c `multi_client_set_protocol_options`, comp.h COMP_F_MIGRATE (2.6).
 */
import { parseOptionsString } from '@seikan/core';

import { type ClientConfig, plainClientConfig } from '../options/client-config.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';

/** What a client begins with, before its file and the client-connect events. */
export function firstClientConfig(top: Top, instance: Instance): ClientConfig {
  const config = plainClientConfig(top.options);
  const theirs = instance.context.session.active?.primary.peerHello?.options ?? '';
  if (!config.compression.migrate || !parseOptionsString(theirs).has('comp-lzo')) return config;
  instance.log.info(1, "Note: 'compress migrate' detected remote peer with compression enabled.");
  // Whoever does not know the stub without overhead has the LZO of OpenVPN 2.3 and earlier.
  const isOld = instance.peerInfo.get('IV_COMP_STUBv2') !== '1';
  const [framing, line] = isOld ? (['lzo-no', 'comp-lzo no'] as const) : (['stub-v2', 'compress stub-v2'] as const);
  return {
    ...config,
    compression: { ...config.compression, algorithm: framing, framing },
    push: [...config.push, line],
  };
}
