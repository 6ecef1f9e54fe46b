/** Rules of the data channel that the kernel's modules do not keep, and why. Those that are run must fail. */
import type { OffloadFamily } from '@seikan/dco';
import type { ComplianceException } from '@seikan/testkit';

interface Exception extends ComplianceException {
  readonly only?: OffloadFamily;
}

const exceptions: readonly Exception[] = [];

export function exceptionsOf(family: OffloadFamily): readonly ComplianceException[] {
  return exceptions.filter(({ only = family }) => only === family);
}
