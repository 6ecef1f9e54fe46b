/**
 * One end of a bulk transfer, run as a program inside a namespace: both ends send and receive at once over one TCP
 * connection and print what they hashed, so that the harness can compare the two.
 *
 *     node bulk.js listen  ADDRESS PORT BYTES
 *     node bulk.js connect ADDRESS PORT BYTES
 *
 * The bytes are a cipher's key stream, different for each end and each length. Neither end closes the connection: who
 * starts them ends them. A closed socket repeats what is not acknowledged a few times only, then forgets it in silence.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';

const [role, address = '', port = '', size = ''] = process.argv.slice(2);
const total = Number(size);
const chunk = Buffer.alloc(1 << 16);

function exchange(socket: Socket): void {
  const stream = createCipheriv(
    'aes-128-ctr',
    createHash('md5').update(`${role} ${total}`).digest(),
    chunk.subarray(0, 16),
  );
  const sent = createHash('sha256');
  const received = createHash('sha256');
  let left = total;
  let arrived = 0;
  let open = 2;
  const finish = (): void => {
    open -= 1;
    if (open > 0) return;
    clearInterval(progress);
    console.log(JSON.stringify({ arrived, sent: sent.digest('hex'), received: received.digest('hex') }));
  };
  const send = (): void => {
    while (left > 0) {
      const bytes = stream.update(chunk.subarray(0, Math.min(left, chunk.length)));
      left -= bytes.length;
      sent.update(bytes);
      if (!socket.write(bytes)) return;
    }
    socket.write('', finish);
  };
  const progress = setInterval(() => console.log(`progress ${arrived} of ${total}`), 500);
  socket.setNoDelay(true);
  socket.on('drain', send);
  socket.on('data', (bytes: Buffer) => {
    arrived += bytes.length;
    received.update(bytes);
    if (arrived >= total) finish();
  });
  socket.on('end', () => {
    if (arrived < total) finish();
  });
  socket.on('error', (error) => {
    console.error(`bulk ${role}: ${error.message}`);
    process.exit(1);
  });
  send();
}

if (role === 'listen') {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    server.close();
    exchange(socket);
  });
  server.listen({ host: address, port: Number(port) }, () => console.log('listening'));
} else {
  const socket = connect({ host: address, port: Number(port), allowHalfOpen: true }, () => exchange(socket));
}
