/** What is wrong with bytes that came, or with values that should go. */

export type WireFault =
  | 'truncated'
  | 'trailing-bytes'
  | 'too-large'
  | 'too-deep'
  | 'bad-padding'
  | 'bad-signature'
  | 'bad-boolean'
  | 'bad-utf8'
  | 'bad-object-path'
  | 'bad-name'
  | 'bad-descriptor'
  | 'bad-array-length'
  | 'bad-header'
  | 'bad-value';

/** Thrown inside the codec, which returns it for what came (`parseMessage`) and throws it for what should go. */
export class WireError extends Error {
  override readonly name = 'WireError';
  readonly fault: WireFault;

  constructor(fault: WireFault, detail: string) {
    super(`${fault}: ${detail}`);
    this.fault = fault;
  }
}
