import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitCommand, splitLine } from '@seikan/plugin-host';

test('words are split and quoted as in a configuration file', () => {
  const cases: [string, string[] | undefined][] = [
    ['/bin/up.sh one  two', ['/bin/up.sh', 'one', 'two']],
    ['"/bin/my up.sh" \'single "inside\' x', ['/bin/my up.sh', 'single "inside', 'x']],
    ['"a\\"b" c\\ d e\\\\f', ['a"b', 'c d', 'e\\f']],
    ['"a"b', ['a', 'b']],
    ['a"b c"', ['a"b', 'c"']],
    ["it's", ["it's"]],
    ['a # comment', ['a']],
    ['a;b ;c', ['a;b']],
    ['"" \'\'', ['', '']],
    ["'back\\slash'", ['back\\slash']],
    ['\\ a', ['a']],
    ['c:\\temp', undefined],
    ['"open', undefined],
    ["'open", undefined],
    ['end\\', undefined],
    ['', []],
  ];
  for (const [line, words] of cases) assert.deepEqual(splitLine(line), words, line);
});

test('a command that breaks the rules is one word', () => {
  assert.deepEqual(splitCommand('c:\\temp x'), ['c:\\temp x']);
  assert.deepEqual(splitCommand(''), ['']);
});
