/**
 * The words of a command as a configuration file writes it: `up "/etc/openvpn/up.sh 'with space' \"quoted\""`.
 *
 * Source: OpenVPN 2.6 src/openvpn/options.c parse_line(), src/openvpn/argv.c argv_parse_cmd(). A double or single quote
 * opens a quoted word only at the word's start, and its closing quote ends the word; a backslash (not inside single
 * quotes) may stand before a backslash, a double quote or white space only; `#` and `;` start a comment at a word's start.
 */

/** Splits a command line; a line that breaks the rules above is one word, as in OpenVPN. */
export function splitCommand(line: string): string[] {
  const words = splitLine(line);
  return words === undefined || words.length === 0 ? [line] : words;
}

/** The words of a line, or `undefined` where a quote is not closed or a backslash stands before something else. */
export function splitLine(line: string): string[] | undefined {
  const words: string[] = [];
  let state: 'between' | 'bare' | 'double' | 'single' = 'between';
  let word = '';
  let escaped = false;
  for (const character of `${line}\0`) {
    const space = character === '\0' || /[ \t\n\v\f\r]/.test(character);
    if (escaped) {
      escaped = false;
      if (state === 'between') {
        if (space) continue;
        if (character === '#' || character === ';') return words;
        state = 'bare';
      }
      if (character === '\0') break;
      if (character !== '\\' && character !== '"' && !space) return undefined;
      word += character;
      continue;
    }
    if (character === '\\' && state !== 'single') {
      escaped = true;
      continue;
    }
    switch (state) {
      case 'between':
        if (space) break;
        if (character === '#' || character === ';') return words;
        if (character === '"') state = 'double';
        else if (character === "'") state = 'single';
        else {
          state = 'bare';
          word = character;
        }
        break;
      case 'bare':
        if (!space) {
          word += character;
          break;
        }
        words.push(word);
        word = '';
        state = 'between';
        break;
      case 'double':
      case 'single':
        if (character === '\0') break;
        if (character !== (state === 'double' ? '"' : "'")) {
          word += character;
          break;
        }
        words.push(word);
        word = '';
        state = 'between';
        break;
      default:
        state satisfies never;
    }
  }
  return state === 'between' ? words : undefined;
}
