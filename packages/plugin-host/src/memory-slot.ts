/**
 * Room for one message in memory that two threads share.
 *
 *     u32 state │ u32 after │ i32  length │ words   what the message's form can say in words
 *     u32 state │ u32 after │ i32 -length │ UTF-8   any other, as JSON
 *
 *     asleep ──wake──▶ awake ──put──▶ full ──take──▶ awake ──sleep──▶ asleep
 *
 * `after` counts what was sent another way before. What was taken is wiped: it may have been a password.
 */
import { WordReader, WordWriter } from './words.js';

export interface WordForm<Message> {
  /** `false`: JSON is to say it. */
  write(message: Message, to: WordWriter): boolean;
  read(from: WordReader): Message;
}

const headWords = 3;
const asleep = 0;
const awake = 1;
const full = 2;

export class MemorySlot<Message> {
  readonly #form: WordForm<Message> | undefined;
  readonly #head: Int32Array;
  readonly #words: Int32Array;
  readonly #writer: WordWriter;
  readonly #reader: WordReader;
  readonly #bytes: Buffer;

  constructor(memory: SharedArrayBuffer, form?: WordForm<Message>) {
    this.#form = form;
    this.#head = new Int32Array(memory, 0, headWords);
    this.#words = new Int32Array(memory, headWords * 4);
    this.#writer = new WordWriter(this.#words);
    this.#reader = new WordReader(this.#words);
    this.#bytes = Buffer.from(memory, headWords * 4);
  }

  get awake(): boolean {
    return Atomics.load(this.#head, 0) === awake;
  }

  get full(): boolean {
    return Atomics.load(this.#head, 0) === full;
  }

  get after(): number {
    return this.#head[1] ?? 0;
  }

  /** `false`: it is too long, or the reader has gone to sleep meanwhile. */
  put(message: Message, after: number): boolean {
    const length = this.#write(message);
    if (length === 0) return false;
    this.#head[1] = after;
    this.#head[2] = length;
    if (Atomics.compareExchange(this.#head, 0, awake, full) === awake) return true;
    this.#wipe(length);
    return false;
  }

  take(): Message {
    const length = this.#head[2] ?? 0;
    const message =
      length > 0 && this.#form !== undefined
        ? this.#form.read(this.#reader.begin())
        : (JSON.parse(this.#bytes.toString('utf8', 0, -length)) as Message);
    this.#wipe(length);
    Atomics.store(this.#head, 0, awake);
    return message;
  }

  wake(): void {
    Atomics.compareExchange(this.#head, 0, asleep, awake);
  }

  sleep(): boolean {
    return Atomics.compareExchange(this.#head, 0, awake, asleep) !== full;
  }

  /** Length as in the head; 0: there is no room. */
  #write(message: Message): number {
    if (this.#form !== undefined) {
      const said = this.#form.write(message, this.#writer.begin());
      const { length } = this.#writer;
      if (said && length <= this.#words.length) return length;
      this.#wipe(length);
    }
    const text = JSON.stringify(message);
    return text.length * 3 > this.#bytes.length ? 0 : -this.#bytes.write(text);
  }

  #wipe(length: number): void {
    if (length > 0) this.#words.fill(0, 0, length);
    else this.#bytes.fill(0, 0, -length);
  }
}
