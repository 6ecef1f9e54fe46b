/**
 * What has to be undone, last first: processes, namespaces, folders. `closeAll` closes all open ones, on a signal, say,
 * so that nothing outlives the program.
 */
export class Teardown {
  static readonly #open = new Set<Teardown>();
  readonly #steps: (() => Promise<void> | void)[] = [];

  constructor() {
    Teardown.#open.add(this);
  }

  /** Adds a step; it runs once, before the steps that were added earlier. */
  defer(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  /** Runs every step even when one fails, then throws the first failure. Idempotent. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (failure) {
        failures.push(failure);
      }
    }
    Teardown.#open.delete(this);
    if (failures.length > 0) throw failures[0];
  }

  static async closeAll(): Promise<void> {
    await Promise.allSettled([...Teardown.#open].map((open) => open.close()));
  }
  /** On SIGINT and SIGTERM closes all and exits. */
  static closeOnSignals(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        console.error(`${signal}: cleaning up`);
        void Teardown.closeAll().finally(() => process.exit(130));
      });
  }
}
