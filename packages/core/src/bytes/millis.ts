declare const millis: unique symbol;

/** A point in time or a span in milliseconds, from a clock that never runs backwards (not the wall clock). */
export type Millis = number & { readonly [millis]?: true };

/** Wall-clock time as whole seconds since 1970, where a format puts it on the wire or into a file. */
export type UnixSeconds = number;

/** The earlier of two deadlines that may not be set. */
export function earlier(a: Millis | undefined, b: Millis | undefined): Millis | undefined {
  if (a === undefined) return b;
  return b === undefined || a < b ? a : b;
}
