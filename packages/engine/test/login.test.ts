import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseChallenge } from '#src/client/login.js';

test('a dynamic challenge has flags, a state, a name and a text, which may hold colons', () => {
  const asked = { username: 'ada', state: 'Om01u7', text: 'Pin: four digits?' };
  assert.deepEqual(parseChallenge('CRV1:R,E:Om01u7:YWRh:Pin: four digits?'), { ...asked, echo: true });
  assert.deepEqual(parseChallenge('CRV1:R:Om01u7:YWRh:Pin: four digits?'), { ...asked, echo: false });
  assert.deepEqual(parseChallenge('CRV1::Om01u7::'), { username: '', state: 'Om01u7', text: '', echo: false });
  for (const malformed of [
    '',
    'CRV1',
    'CRV1:R,E',
    'CRV1:R:Om01u7:YWRh',
    'CRV1:R::YWRh:x',
    'CRV1:R:s:*:x',
    'CRV2:R:s:YWRh:x',
  ])
    assert.equal(parseChallenge(malformed), undefined, malformed);
});
