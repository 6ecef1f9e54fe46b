/**
 * An HTTP proxy that wants NTLM, as a domain's do: it knows the hash of the password only, checks the response by
 * node:crypto, and keeps the connection over its challenge. It answers with a page under it, and lets only the third
 * message of the same connection through.
 * Source: MS-NLMP 3.2.5.1, 3.3.2; its example account "User" of "Domain" with "Password" (4.2.1, 4.2.2.1.2).
 */
import { createHmac, randomBytes } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';

export const NTLM_LOGIN = 'Domain\\User\nPassword\n';
const HASH = Buffer.from('a4f49c406510bdcab6824ee7c30fd852', 'hex');
/** Domain name, server name, end. */
const TARGET = Buffer.from('02000c0044006f006d00610069006e0001000c0053006500720076006500720000000000', 'hex');

export interface NtlmProxy {
  /** What it saw of logins, in order. */
  readonly seen: string[];
  close(): void;
}

/** Listens at `address`, calls from `from`. */
export async function startNtlmProxy(address: string, port: number, from: string): Promise<NtlmProxy> {
  const seen: string[] = [];
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket.on('close', () => open.delete(socket)).on('error', () => socket.destroy()));
    serve(socket, from, seen);
  });
  await new Promise<void>((listening) => server.listen(port, address, listening));
  return {
    seen,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

function serve(socket: Socket, from: string, seen: string[]): void {
  const challenge = randomBytes(8);
  let challenged = false;
  let text = '';
  socket.on('data', function onData(bytes: Buffer) {
    text += bytes.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = text.slice(0, end);
    text = text.slice(end + 4);
    const message = Buffer.from(/^Proxy-Authorization: NTLM (\S+)$/m.exec(head)?.[1] ?? '', 'base64');
    const type = message.length < 16 ? 0 : message.readUInt32LE(8);
    if (type === 1 && /^Proxy-Connection: keep-alive$/im.test(head)) {
      challenged = true;
      seen.push('negotiate');
      refuse(socket, `NTLM ${challengeMessage(challenge).toString('base64')}`);
      return;
    }
    const who = type === 3 && challenged ? proven(message, challenge) : undefined;
    seen.push(who ?? (type === 3 ? 'wrong' : 'no login'));
    if (who === undefined) {
      refuse(socket, 'NTLM', 'Basic realm="lab"');
      socket.end();
      return;
    }
    socket.off('data', onData);
    const [, host = '', port = ''] = /^CONNECT (\S+):(\d+) HTTP\/1\.\d/.exec(head) ?? [];
    const peer = connect({ host, port: Number(port), localAddress: from }, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(peer).pipe(socket);
    });
    peer.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.on('close', () => peer.destroy());
  });
}

function refuse(socket: Socket, ...offers: readonly string[]): void {
  const page = '<html>Who are you?\r\n\r\n</html>';
  const lines = [
    'HTTP/1.1 407 Proxy Authentication Required',
    ...offers.map((offer) => `Proxy-Authenticate: ${offer}`),
    `Content-Length: ${page.length}`,
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n${page}`);
}

/** The second message: flags NTLM, OEM, Unicode and target information, no target name. */
function challengeMessage(challenge: Buffer): Buffer {
  const message = Buffer.alloc(48);
  message.write('NTLMSSP\0', 'latin1');
  message.writeUInt32LE(2, 8);
  message.writeUInt32LE(48, 16);
  message.writeUInt32LE(0x00800203, 20);
  challenge.copy(message, 24);
  message.writeUInt16LE(TARGET.length, 40);
  message.writeUInt16LE(TARGET.length, 42);
  message.writeUInt32LE(48, 44);
  return Buffer.concat([message, TARGET]);
}

/** The name that a third message proves. */
function proven(message: Buffer, challenge: Buffer): string | undefined {
  const field = (at: number): Buffer => {
    const offset = message.readUInt32LE(at + 4);
    return message.subarray(offset, offset + message.readUInt16LE(at));
  };
  const [response, domain, user] = [field(20), field(28).toString('latin1'), field(36).toString('latin1')];
  const mac = (key: Buffer, ...parts: readonly Buffer[]): Buffer =>
    createHmac('md5', key).update(Buffer.concat(parts)).digest();
  const key = mac(HASH, Buffer.from(user.toUpperCase() + domain, 'utf16le'));
  const proof = mac(key, challenge, response.subarray(16));
  // Shorter ones are of the first version.
  const isSecond = response.length > 44 && response.subarray(44).includes(TARGET);
  return isSecond && proof.equals(response.subarray(0, 16)) ? `${domain}\\${user}` : undefined;
}
