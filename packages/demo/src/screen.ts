/**
 * What the demo writes: headings, lines, a progress line that is redrawn on a terminal and becomes a line a second
 * anywhere else. Colour only on a terminal, and never under NO_COLOR.
 */
const styles = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
const BAR_WIDTH = 24;

export class Screen {
  readonly #stream: NodeJS.WriteStream;
  readonly #terminal: boolean;
  readonly #colour: boolean;
  #drawn = false;
  #lastPlain = Number.NEGATIVE_INFINITY;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#terminal = stream.isTTY && process.env['TERM'] !== 'dumb';
    this.#colour = this.#terminal && (process.env['NO_COLOR'] ?? '') === '';
  }

  style(name: keyof typeof styles, text: string): string {
    return this.#colour ? `\x1b[${styles[name]}m${text}\x1b[0m` : text;
  }

  heading(text: string): void {
    this.line(`\n${this.style('bold', text)}`);
  }

  /** One line, two columns in. */
  step(text: string): void {
    this.line(`  ${text}`);
  }

  done(text: string): void {
    this.step(`${this.style('green', 'ok')}  ${text}`);
  }

  line(text: string): void {
    this.#erase();
    this.#stream.write(`${text}\n`);
  }

  /** `share` is 0 to 1. */
  progress(share: number, text: string): void {
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    if (this.#terminal) {
      const full = Math.round(share * BAR_WIDTH);
      const bar = this.style('cyan', '#'.repeat(full)) + this.style('dim', '.'.repeat(BAR_WIDTH - full));
      this.#erase();
      this.#stream.write(`  [${bar}] ${percent}  ${text}`);
      this.#drawn = true;
    } else if (performance.now() - this.#lastPlain >= 1000) {
      this.#lastPlain = performance.now();
      this.step(`${percent}  ${text}`);
    }
  }

  #erase(): void {
    if (this.#drawn) this.#stream.write('\r\x1b[2K');
    this.#drawn = false;
  }
}
