/** Which texts are names. Source: D-Bus specification 0.43, "Valid Names" and "Valid Object Paths". */

const LONGEST_NAME = 255;
const OBJECT_PATH = /^\/(?:[A-Za-z0-9_]+(?:\/[A-Za-z0-9_]+)*)?$/;
const INTERFACE = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+$/;
const MEMBER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const WELL_KNOWN = /^[A-Za-z_-][A-Za-z0-9_-]*(?:\.[A-Za-z_-][A-Za-z0-9_-]*)+$/;
const UNIQUE = /^:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+$/;

export function isObjectPath(text: string): boolean {
  return OBJECT_PATH.test(text);
}

/** Interfaces and error names follow the same rule. */
export function isInterfaceName(text: string): boolean {
  return text.length <= LONGEST_NAME && INTERFACE.test(text);
}

export function isMemberName(text: string): boolean {
  return text.length <= LONGEST_NAME && MEMBER.test(text);
}

/** A connection's own name, `:1.42`, or a well-known one. */
export function isBusName(text: string): boolean {
  return text.length <= LONGEST_NAME && (text.startsWith(':') ? UNIQUE : WELL_KNOWN).test(text);
}
