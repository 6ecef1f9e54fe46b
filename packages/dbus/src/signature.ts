/** Signatures as trees of types. Source: D-Bus specification 0.43, "Type System". */
import { WireError } from './wire-error.js';

export type BasicCode = 'y' | 'b' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 's' | 'o' | 'g' | 'h';

export type Type =
  | { readonly code: BasicCode | 'v' }
  | { readonly code: 'a'; readonly element: Type }
  | { readonly code: '('; readonly fields: readonly Type[] }
  | { readonly code: '{'; readonly key: Type; readonly value: Type };

export const LONGEST_SIGNATURE = 255;
/** Each of arrays in arrays and structures in structures, within one signature. */
const DEEPEST_ARRAY = 32;
const DEEPEST_STRUCT = 32;

const ALIGNMENT = {
  y: 1,
  b: 4,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  x: 8,
  t: 8,
  d: 8,
  s: 4,
  o: 4,
  g: 1,
  h: 4,
  v: 1,
  a: 4,
  '(': 8,
  '{': 8,
} as const;

export function alignmentOf(type: Type): number {
  return ALIGNMENT[type.code];
}

/** The complete types of a signature. Throws WireError. */
export function parseSignature(text: string): readonly Type[] {
  if (text.length > LONGEST_SIGNATURE) throw bad(text, `longer than ${LONGEST_SIGNATURE} bytes`);
  const cursor: Cursor = { text, at: 0 };
  const types: Type[] = [];
  while (cursor.at < text.length) types.push(parseType(cursor, 0, 0));
  return types;
}

/** The only complete type of a signature, as variants have. Throws WireError. */
export function parseSingleType(text: string): Type {
  const [type, ...rest] = parseSignature(text);
  if (type === undefined || rest.length > 0) throw bad(text, 'not one complete type');
  return type;
}

interface Cursor {
  readonly text: string;
  at: number;
}

function parseType(cursor: Cursor, arrays: number, structs: number): Type {
  const code = cursor.text[cursor.at++];
  switch (code) {
    case 'a':
      if (arrays === DEEPEST_ARRAY) throw bad(cursor.text, 'arrays nest too deeply');
      if (cursor.text[cursor.at] === '{') return { code, element: parseDictEntry(cursor, arrays + 1, structs) };
      return { code, element: parseType(cursor, arrays + 1, structs) };
    case '(': {
      if (structs === DEEPEST_STRUCT) throw bad(cursor.text, 'structures nest too deeply');
      const fields: Type[] = [];
      while (cursor.text[cursor.at] !== ')') fields.push(parseType(cursor, arrays, structs + 1));
      if (fields.length === 0) throw bad(cursor.text, 'an empty structure');
      cursor.at++;
      return { code, fields };
    }
    case undefined:
      throw bad(cursor.text, 'it ends inside a type');
    default:
      if (!isSimple(code)) throw bad(cursor.text, `no type at ${cursor.at - 1}`);
      return { code };
  }
}

function parseDictEntry(cursor: Cursor, arrays: number, structs: number): Type {
  cursor.at++;
  const key = parseType(cursor, arrays, structs);
  if (key.code === 'v' || !isSimple(key.code)) throw bad(cursor.text, 'a key is of a basic type');
  const value = parseType(cursor, arrays, structs);
  if (cursor.text[cursor.at++] !== '}') throw bad(cursor.text, 'a dictionary entry is one key and one value');
  return { code: '{', key, value };
}

function isSimple(code: string): code is BasicCode | 'v' {
  return code !== 'a' && code !== '(' && code !== '{' && code in ALIGNMENT;
}

function bad(text: string, why: string): WireError {
  return new WireError('bad-signature', `${JSON.stringify(text.slice(0, LONGEST_SIGNATURE))}: ${why}`);
}
