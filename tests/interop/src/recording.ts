/** What a recorded session consists of: the capture, what a log at verb 11 says of keys and packets, the options. */
import { basename } from 'node:path';
import { Program, type Teardown } from '@seikan/testkit';
import { asArguments, type Directive } from './options.js';

/** The lines that speak of packets, keys and derivations; the rest is the event loop and the options' dump. */
const telling =
  /v[46]\w* (READ|WRITE) \[|\b(EN|DE)CRYPT |TLS-CRYPT|KEY: |Options String|peer info|PUSH_|SENT CONTROL|Master |dynamic tls-crypt|(Data|Control) Channel|FRAG_(IN|OUT)|pre_master|random[12]|tls1_PRF|Peer Connection|epoch/;

export function tellingLines(lines: readonly string[]): string {
  return `${lines.filter((line) => telling.test(line) && !/^ {2}\w+ = /.test(line)).join('\n')}\n`;
}

export function optionLine(side: string, directives: readonly Directive[]): string {
  return `${side}: ${asArguments(directives)
    .map((word) => (word.startsWith('/') ? basename(word) : word))
    .join(' ')}\n`;
}

/** Captures what crosses the first client's link, into a pcap file; resolves when it has begun. */
export async function startCapture(namespace: string, file: string, teardown: Teardown): Promise<Program> {
  const words = ['-Z', 'root', '-U', '--immediate-mode', '-i', 'c0', '-w', file, 'port', '1194'];
  const capture = new Program({ name: 'tcpdump', command: ['tcpdump', ...words], namespace, teardown });
  await capture.waitFor(/listening on/, { timeout: 10_000 });
  return capture;
}
