/**
 * The directive table: every option name that OpenVPN 2.6.14 parses on any platform, each supported, refused with the
 * reason, or ignored on purpose. docs/compatibility.md is generated from it.
 */
import type { DirectiveRow } from './directive.js';
import { dataDirectives } from './directives/data.js';
import { linkDirectives } from './directives/link.js';
import { processDirectives } from './directives/process.js';
import { proxyDirectives } from './directives/proxy.js';
import { serverDirectives } from './directives/server.js';
import { structureDirectives } from './directives/structure.js';
import { tlsDirectives } from './directives/tls.js';
import { tunnelDirectives } from './directives/tunnel.js';
import { ignoredDirectives, refusedDirectives } from './directives/unsupported.js';
import { verifyDirectives } from './directives/verify.js';

export const directiveTable: ReadonlyMap<string, DirectiveRow> = new Map(
  [
    ...structureDirectives,
    ...linkDirectives,
    ...proxyDirectives,
    ...tunnelDirectives,
    ...dataDirectives,
    ...tlsDirectives,
    ...verifyDirectives,
    ...serverDirectives,
    ...processDirectives,
    ...refusedDirectives,
    ...ignoredDirectives,
  ].map((row) => [row.name, row]),
);
