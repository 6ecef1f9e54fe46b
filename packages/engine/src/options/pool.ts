/** What makes a pool of IPv4 addresses usable. Source: pool.c ifconfig_pool_verify_range (2.6.14). */
import { formatIpv4 } from './address.js';
import type { Use } from './directive.js';

/** Largest pool of addresses. */
const maximumPool = 65_536;

/** The pool must run upwards and be countable. */
export function checkPool(use: Pick<Use, 'fail'>, start: number, end: number): void {
  if (start > end)
    use.fail(
      `--ifconfig-pool start IP [${formatIpv4(start)}] is greater than end IP [${formatIpv4(end)}]`,
      'The pool runs backwards.',
      'Exchange the two addresses.',
      0,
    );
  if (end - start >= maximumPool)
    use.fail(
      `--ifconfig-pool address range is too large [${formatIpv4(start)} -> ${formatIpv4(end)}].  Current maximum is ${maximumPool} addresses, as defined by IFCONFIG_POOL_MAX variable.`,
      'The pool has too many addresses.',
      'Choose a shorter range.',
      0,
    );
}
