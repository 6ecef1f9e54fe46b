/**
 * Keeps the code that V8 makes of a bundled program, all functions of it: keep-code.cjs FOLDER NAME
 *
 * V8 asks, before it takes such code, whether its version, its flags and the text's length are the same.
 */
'use strict';

const { writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { setFlagsFromString } = require('node:v8');

const [folder = '', name = ''] = process.argv.slice(2);
const { compile } = require(join(folder, 'start-cached.cjs'));
setFlagsFromString('--no-lazy');
const script = compile(name);
setFlagsFromString('--lazy');
writeFileSync(join(folder, `${name}.code`), script.createCachedData());
