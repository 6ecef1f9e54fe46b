/**
 * Adds a section to an ELF file: how a built plugin travels inside a shared library. A section survives `strip`, which
 * cuts off bytes that are only appended.
 *
 *     file │ new section's bytes │ section names and the new one's │ section headers and one more
 *
 * Nothing that is loaded moves: only the ELF header's e_shoff and e_shnum and the name table's place change.
 * Source: System V ABI, ELF-64 (little-endian): e_shoff at 40, e_shentsize 58, e_shnum 60, e_shstrndx 62;
 * section header: name 0, type 4, flags 8, address 16, offset 24, size 32, link 40, info 44, align 48, entry 56.
 */
const headerLength = 64;

/** Returns a copy of the file with the section added. Throws a TypeError where it is no ELF-64 file with sections. */
export function addSection(file: Uint8Array, name: string, content: Uint8Array): Buffer {
  const old = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (old.length < headerLength || old.readUInt32BE(0) !== 0x7f454c46 || old[4] !== 2 || old[5] !== 1)
    throw new TypeError('not a 64-bit little-endian ELF file');
  const headersAt = Number(old.readBigUInt64LE(40));
  const count = old.readUInt16LE(60);
  const namesIndex = old.readUInt16LE(62);
  if (old.readUInt16LE(58) !== headerLength || namesIndex >= count || headersAt + count * headerLength > old.length)
    throw new TypeError('an ELF file without usable section headers');

  const headers = Buffer.alloc((count + 1) * headerLength);
  old.copy(headers, 0, headersAt, headersAt + count * headerLength);
  const namesHeader = headers.subarray(namesIndex * headerLength, (namesIndex + 1) * headerLength);
  const namesAt = Number(namesHeader.readBigUInt64LE(24));
  const namesLength = Number(namesHeader.readBigUInt64LE(32));
  const names = Buffer.concat([old.subarray(namesAt, namesAt + namesLength), Buffer.from(`${name}\0`)]);

  const contentAt = align(old.length, 16);
  const newNamesAt = align(contentAt + content.length, 8);
  const newHeadersAt = align(newNamesAt + names.length, 8);

  namesHeader.writeBigUInt64LE(BigInt(newNamesAt), 24);
  namesHeader.writeBigUInt64LE(BigInt(names.length), 32);
  const header = headers.subarray(count * headerLength);
  header.writeUInt32LE(namesLength, 0);
  header.writeUInt32LE(1, 4);
  header.writeBigUInt64LE(BigInt(contentAt), 24);
  header.writeBigUInt64LE(BigInt(content.length), 32);
  header.writeBigUInt64LE(1n, 48);

  const out = Buffer.alloc(newHeadersAt + headers.length);
  old.copy(out);
  out.set(content, contentAt);
  out.set(names, newNamesAt);
  out.set(headers, newHeadersAt);
  out.writeBigUInt64LE(BigInt(newHeadersAt), 40);
  out.writeUInt16LE(count + 1, 60);
  return out;
}

function align(at: number, to: number): number {
  return Math.ceil(at / to) * to;
}
