import { readFileSync } from 'node:fs';

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export function readVector(path: string): string {
  return readFileSync(new URL(`../../vectors/${path}`, import.meta.url), 'utf8');
}

/** A file of tests/vectors, parsed. */
export function vector<T>(path: string, parse: (text: string) => T | undefined): T {
  const parsed = parse(readVector(path));
  if (parsed === undefined) throw new Error(`tests/vectors/${path} does not parse`);
  return parsed;
}
