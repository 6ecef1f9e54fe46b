/** What a server may push, and what the client and its netcfg service make of it. */
import type { Directive } from '#interop/options.js';
import { eventually } from '#netcfg/eventually.js';
import { RESOLVER } from './client.js';
import type { Session } from './session.js';

export interface Pushed {
  readonly server: () => Directive[];
  readonly exercise: (session: Session) => Promise<void>;
}

interface Effects {
  /** In the client's or its services' log. */
  readonly said?: readonly RegExp[];
  readonly routes?: readonly RegExp[];
  readonly links?: readonly RegExp[];
  readonly resolver?: readonly RegExp[];
}

export function pushed(options: readonly string[], effects: Effects, server: readonly Directive[] = []): Pushed {
  return {
    server: () => [...server, ...options.map((option): Directive => ['push', option])],
    exercise: async ({ client }) => {
      const pictures: Readonly<Record<keyof Effects, () => Promise<string> | string>> = {
        said: () => client.lines.join('\n'),
        routes: async () => `${await client.ip('-4', 'route', 'show')}${await client.ip('-6', 'route', 'show')}`,
        links: () => client.ip('link', 'show'),
        resolver: () => client.read(RESOLVER),
      };
      for (const what of ['said', 'routes', 'links', 'resolver'] as const)
        for (const pattern of effects[what] ?? [])
          await eventually(`${what}: ${pattern}`, async () => pattern.test(await pictures[what]()), 10_000);
    },
  };
}
