import type { ProxyDialogue } from '@seikan/engine';

/** Lets a dialogue read `answer`; `outcome` is undefined when it asks for more than there is. */
export function converse(dialogue: ProxyDialogue, answer: Uint8Array | string) {
  const bytes = typeof answer === 'string' ? Buffer.from(answer, 'latin1') : answer;
  const sent: Uint8Array[] = [];
  const log: string[] = [];
  let at = 0;
  for (let next = dialogue.next(new Uint8Array(0)); ; ) {
    if (next.done === true) return { outcome: next.value, sent: Buffer.concat(sent), log, read: at };
    const step = next.value;
    let given = new Uint8Array(0);
    if (step.step === 'send') sent.push(step.bytes.slice());
    else if (step.step === 'log') log.push(step.text);
    else {
      if (at + step.size > bytes.length) return { outcome: undefined, sent: Buffer.concat(sent), log, read: at };
      given = Uint8Array.from(bytes.subarray(at, at + step.size));
      at += step.size;
    }
    next = dialogue.next(given);
  }
}
