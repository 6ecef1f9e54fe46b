import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { addSection } from '#src/elf-section.js';

function sections(file: string): string[] {
  const listing = execFileSync('readelf', ['-SW', file], { encoding: 'utf8' });
  return [...listing.matchAll(/\] (\.\S+)/g)].map(([, name]) => name ?? '');
}

test('a section is added where other tools find it, and all else stays', () => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-elf-'));
  try {
    const path = join(folder, 'with.so');
    const content = Buffer.from('some content');
    const original = readFileSync('/usr/lib/x86_64-linux-gnu/libdl.so.2');
    const twice = addSection(addSection(original, '.seikan.one', content), '.seikan.two', Buffer.from('more'));
    writeFileSync(path, twice);
    assert.deepEqual(sections(path), [
      ...sections('/usr/lib/x86_64-linux-gnu/libdl.so.2'),
      '.seikan.one',
      '.seikan.two',
    ]);
    const out = join(folder, 'content');
    execFileSync('objcopy', [
      '-O',
      'binary',
      '--only-section=.seikan.one',
      '--set-section-flags',
      '.seikan.one=alloc',
      path,
      out,
    ]);
    assert.deepEqual(readFileSync(out), content);
    assert.deepEqual(twice.subarray(64, original.length), original.subarray(64));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what is no ELF-64 file is refused', () => {
  const bad = [
    Buffer.alloc(0),
    Buffer.from('#!/bin/sh'),
    Buffer.concat([Buffer.from('7f454c460101', 'hex'), Buffer.alloc(100)]),
  ];
  for (const file of bad) assert.throws(() => addSection(file, '.x', Buffer.alloc(1)), TypeError);
  const cut = readFileSync('/usr/lib/x86_64-linux-gnu/libdl.so.2').subarray(0, 500);
  assert.throws(() => addSection(cut, '.x', Buffer.alloc(1)), TypeError);
});
