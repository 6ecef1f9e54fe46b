/**
 * Values as plain JavaScript, directed by signatures:
 *
 *   y n q i u d        number                 ay        Uint8Array
 *   x t                bigint                 aT        array
 *   b                  boolean                a{KV}     Map (of a repeated key the last value)
 *   s o g              string                 (…)       array of the fields
 *   h                  number: an index into the message's descriptors
 *   v                  { signature, value }
 */

export interface Variant {
  readonly signature: string;
  readonly value: DbusValue;
}

export type DbusValue =
  | number
  | bigint
  | boolean
  | string
  | Uint8Array
  | Variant
  | readonly DbusValue[]
  | ReadonlyMap<DbusValue, DbusValue>;

export function variant<S extends string>(signature: S, value: ValueOf<S>): Variant {
  return { signature, value: value as DbusValue };
}

/** The type of one value: `ValueOf<'a{sv}'>` is `ReadonlyMap<string, Variant>`. */
export type ValueOf<S extends string> = string extends S ? DbusValue : First<S> extends [infer V, ''] ? V : never;

/** The types of a body: `ValuesOf<'su'>` is `[string, number]`. */
export type ValuesOf<S extends string> = string extends S ? readonly DbusValue[] : All<S>;

interface SimpleValues {
  readonly y: number;
  readonly b: boolean;
  readonly n: number;
  readonly q: number;
  readonly i: number;
  readonly u: number;
  readonly x: bigint;
  readonly t: bigint;
  readonly d: number;
  readonly s: string;
  readonly o: string;
  readonly g: string;
  readonly h: number;
  readonly v: Variant;
}

/** The first complete type of a signature, and the rest. */
type First<S extends string> = S extends `ay${infer R}`
  ? [Uint8Array, R]
  : S extends `a{${infer R}`
    ? First<R> extends [infer K, infer RV extends string]
      ? First<RV> extends [infer V, `}${infer Rest}`]
        ? [ReadonlyMap<K, V>, Rest]
        : never
      : never
    : S extends `a${infer R}`
      ? First<R> extends [infer E, infer Rest]
        ? [readonly E[], Rest]
        : never
      : S extends `(${infer R}`
        ? Fields<R>
        : S extends `${infer C extends keyof SimpleValues}${infer R}`
          ? [SimpleValues[C], R]
          : never;

type Fields<S extends string, Before extends readonly unknown[] = readonly []> = S extends `)${infer R}`
  ? [Before, R]
  : [First<S>] extends [never]
    ? never
    : First<S> extends [infer V, infer R extends string]
      ? Fields<R, readonly [...Before, V]>
      : never;

type All<S extends string, Before extends readonly unknown[] = readonly []> = S extends ''
  ? Before
  : [First<S>] extends [never]
    ? never
    : First<S> extends [infer V, infer R extends string]
      ? All<R, readonly [...Before, V]>
      : never;
