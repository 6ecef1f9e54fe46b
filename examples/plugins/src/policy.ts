/**
 * What each user gets: a fixed address, routes, and what their groups have. Its argument is a JSON file, read again
 * when it changes:
 *
 *     { "groups": { "staff": { "routes": ["10.20.0.0/16"] } },
 *       "users":  { "ada": { "groups": ["staff"], "address": "10.8.0.50", "routes": ["10.30.1.0/24"] },
 *                   "bob": { "disabled": true } } }
 *
 * A user is the name that logged in, or the certificate's common name. Who is not in the file may not come in.
 */
import { readFileSync, statSync } from 'node:fs';
import { definePlugin, failure, success } from '@seikan/plugin-sdk';

interface Policy {
  readonly groups?: Readonly<Record<string, { readonly routes?: readonly string[] }>>;
  readonly users: Readonly<Record<string, User>>;
}

interface User {
  readonly disabled?: boolean;
  readonly address?: string;
  readonly groups?: readonly string[];
  readonly routes?: readonly string[];
}

class PolicyFile {
  readonly #path: string;
  #read = 0;
  #policy: Policy = { users: {} };

  constructor(path: string) {
    this.#path = path;
    this.current();
  }

  /** Throws where the file is gone or malformed: the login fails and the log says why. */
  current(): Policy {
    const { mtimeMs } = statSync(this.#path);
    if (mtimeMs !== this.#read) {
      const policy = JSON.parse(readFileSync(this.#path, 'utf8')) as Policy;
      for (const [name, user] of Object.entries(policy.users)) configOf(policy, user, name);
      this.#policy = policy;
      this.#read = mtimeMs;
    }
    return this.#policy;
  }
}

export default definePlugin<PolicyFile>({
  name: 'policy',
  open({ argv }) {
    if (argv[1] === undefined) throw new Error('usage: plugin policy.so POLICY.json');
    return { events: ['client-connect'], handle: new PolicyFile(argv[1]) };
  },
  event(event, file) {
    if (event.type !== 'client-connect') return success();
    const name = event.username ?? event.commonName ?? '';
    const policy = file.current();
    const user = Object.hasOwn(policy.users, name) ? policy.users[name] : undefined;
    if (user === undefined || user.disabled === true) {
      console.warn(`${name} may not come in: ${user === undefined ? 'not in the policy' : 'disabled'}`);
      return failure();
    }
    return success({ config: configOf(policy, user, name) });
  },
});

function configOf(policy: Policy, user: User, name: string): string[] {
  const routes = [...(user.routes ?? [])];
  for (const group of user.groups ?? []) {
    const found = policy.groups?.[group];
    if (found === undefined) throw new Error(`${name} is in group ${group}, which the policy does not have`);
    routes.push(...(found.routes ?? []));
  }
  return [
    ...(user.address === undefined ? [] : [`ifconfig-push ${user.address} 255.255.255.0`]),
    ...new Set(routes.map((route) => `push "route ${route.replace(/\/.*/, '')} ${netmask(route, name)}"`)),
  ];
}

/** `10.20.0.0/16` → 255.255.0.0. */
function netmask(route: string, name: string): string {
  const bits = Number(/^\d+\.\d+\.\d+\.\d+\/(\d+)$/.exec(route)?.[1] ?? Number.NaN);
  if (!(bits >= 0 && bits <= 32)) throw new Error(`${name} has the route ${route}: write it as 10.20.0.0/16`);
  const mask = bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 0xff).join('.');
}
