/**
 * Runs a bundled program with the code that V8 has made of it before (tools/keep-code.cjs). Where that is not there, or is
 * another V8's, the program is compiled as always. Such a program has no import(): Node 20 forgets how with code from
 * another process, and Node 24 warns of an experiment.
 */
'use strict';

const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');

/**
 * TurboFan compiles a function when it has run through so much bytecode, and takes a millisecond for it: twice V8's own
 * measure leaves out a third of what a server's first handshakes have compiled, and the packet path does not feel it.
 * See docs/decisions/0124. Later V8s count differently, wait longer, and have no such flag.
 */
if (process.versions.v8.startsWith('11.')) setFlagsFromString(`--interrupt-budget=${2 * 66 * 1024}`);

/** The program of this name, beside this file, not run yet. */
exports.compile = function compile(name, cachedData) {
  const filename = join(__dirname, `${name}.bundle.cjs`);
  // The bundler writes ASCII.
  const text = readFileSync(filename, 'latin1');
  return new Script(`(function (exports, require, module, __filename, __dirname) {${text}\n})`, {
    filename,
    cachedData,
  });
};

exports.start = function start(name) {
  const script = exports.compile(name, readCode(join(__dirname, `${name}.code`)));
  const filename = join(__dirname, `${name}.bundle.cjs`);
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(filename), module, filename, __dirname);
};

function readCode(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
