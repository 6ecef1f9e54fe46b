/**
 * The description of an interface that a service offers: its members with named arguments, and what answers them.
 * It is written once and bound to each object that has it.
 *
 *   const lamp = new DbusInterface<Lamp>('org.example.Lamp')
 *     .method('Dim', { in: { level: 'u' }, out: { before: 'u' } }, (lamp, { level }) => ({ before: lamp.dim(level) }))
 *     .property('on', 'b', { get: (lamp) => lamp.on, set: (lamp, on) => lamp.turn(on) })
 *     .signal('Dimmed', { level: 'u' });
 */
import type { Call } from './call.js';
import { isInterfaceName, isMemberName } from './names.js';
import { parseSingleType } from './signature.js';
import type { DbusValue, ValueOf } from './value.js';

/** Names of arguments, in order, with their types. */
export type Arguments = Readonly<Record<string, string>>;

/** The values of arguments by name. */
export type Named<A extends Arguments> = { readonly [K in keyof A]: ValueOf<A[K]> };

type Result<A extends Arguments> = [keyof A] extends [never] ? void : Named<A>;

// oxlint-disable-next-line typescript/no-generated-empty-object-type -- a record of no names is meant
export type NoArguments = Record<never, never>;

export interface MethodSignature<In extends Arguments, Or extends Arguments, Out extends Arguments> {
  readonly in?: In;
  /** Another set of arguments that callers may send instead. It is not part of the description. */
  readonly orIn?: Or;
  readonly out?: Out;
}

export interface PropertyAccess<Target, T extends string> {
  readonly get: (target: Target) => ValueOf<T>;
  /** Left out, the property cannot be set. What it throws refuses the value. */
  readonly set?: (target: Target, value: ValueOf<T>, call: Call) => void | Promise<void>;
  /** Other types that Set takes, whose values are of the same JavaScript type. */
  readonly alsoSets?: readonly string[];
}

export type Access = { readonly kind: 'call' | 'get' | 'set'; readonly member: string };

export interface InterfaceOptions<Target> {
  /** Runs before each access; what it throws refuses it. `GetAll` asks for each property and leaves out what is refused. */
  readonly authorize?: (target: Target, access: Access, call: Call) => void | Promise<void>;
}

interface Method<Target> {
  readonly in: Arguments;
  readonly orIn: Arguments | undefined;
  readonly out: Arguments;
  readonly handle: (target: Target, args: Readonly<Record<string, DbusValue>>, call: Call) => unknown;
}

interface Property<Target> {
  readonly type: string;
  readonly get: (target: Target) => DbusValue;
  readonly set: ((target: Target, value: DbusValue, call: Call) => void | Promise<void>) | undefined;
  readonly setTypes: readonly string[];
}

export class DbusInterface<Target, Signals extends Readonly<Record<string, Arguments>> = NoArguments> {
  readonly name: string;
  readonly #options: InterfaceOptions<Target>;
  readonly #methods = new Map<string, Method<Target>>();
  readonly #properties = new Map<string, Property<Target>>();
  readonly #signals = new Map<string, Arguments>();

  constructor(name: string, options: InterfaceOptions<Target> = {}) {
    if (!isInterfaceName(name)) throw new TypeError(`not an interface name: ${JSON.stringify(name)}`);
    this.name = name;
    this.#options = options;
  }

  /** The handler gets arguments by name, and may be asynchronous: other calls go on. A DbusError is answered as it is. */
  method<
    const In extends Arguments = NoArguments,
    const Or extends Arguments = never,
    const Out extends Arguments = NoArguments,
  >(
    name: string,
    signature: MethodSignature<In, Or, Out>,
    handle: (
      target: Target,
      args: Named<In> | Named<Or>,
      call: Call,
    ) => Result<NoInfer<Out>> | Promise<Result<NoInfer<Out>>>,
  ): this {
    const { in: input = {}, orIn, out = {} } = signature;
    checkMember(name);
    for (const types of [input, orIn ?? {}, out]) checkTypes(types);
    this.#methods.set(name, { in: input, orIn, out, handle: handle as unknown as Method<Target>['handle'] });
    return this;
  }

  property<const T extends string>(name: string, type: T, access: PropertyAccess<Target, T>): this {
    checkMember(name);
    const setTypes = [type, ...(access.alsoSets ?? [])];
    for (const each of setTypes) parseSingleType(each);
    const { get, set } = access as unknown as Property<Target>;
    this.#properties.set(name, { type, get, set, setTypes });
    return this;
  }

  signal<const N extends string, const A extends Arguments>(
    name: N,
    args: A,
  ): DbusInterface<Target, Signals & Readonly<Record<N, A>>> {
    checkMember(name);
    checkTypes(args);
    this.#signals.set(name, args);
    return this;
  }

  signalArguments(name: string): Arguments {
    const args = this.#signals.get(name);
    if (args === undefined) throw new TypeError(`${this.name} has no signal ${name}`);
    return args;
  }

  /** For the object tree. */
  bind(target: Target): BoundInterface {
    return {
      name: this.name,
      describe: () => this.#describe(),
      authorize: async (access, call) => this.#options.authorize?.(target, access, call),
      method: (name) => {
        const method = this.#methods.get(name);
        return method && { ...method, handle: (args, call) => method.handle(target, args, call) };
      },
      property: (name) => {
        const property = this.#properties.get(name);
        if (property === undefined) return undefined;
        const { type, setTypes, get, set } = property;
        return {
          type,
          setTypes,
          get: () => get(target),
          set: set && ((value, call) => set(target, value, call)),
        };
      },
      propertyNames: () => [...this.#properties.keys()],
    };
  }

  /** Laid out as GDBus does. */
  #describe(): string {
    const lines = [`  <interface name="${this.name}">`];
    const member = (kind: string, name: string, args: readonly string[]) => {
      if (args.length === 0) lines.push(`    <${kind} name="${name}"/>`);
      else lines.push(`    <${kind} name="${name}">`, ...args, `    </${kind}>`);
    };
    for (const [name, method] of this.#methods) {
      member('method', name, [
        ...describeArguments(method.in, ' direction="in"'),
        ...describeArguments(method.out, ' direction="out"'),
      ]);
    }
    for (const [name, args] of this.#signals) member('signal', name, describeArguments(args, ''));
    for (const [name, { type, set }] of this.#properties) {
      lines.push(`    <property type="${type}" name="${name}" access="${set === undefined ? 'read' : 'readwrite'}"/>`);
    }
    return [...lines, '  </interface>', ''].join('\n');
  }
}

/** An interface of one object. */
export interface BoundInterface {
  readonly name: string;
  describe(): string;
  authorize(access: Access, call: Call): Promise<void>;
  method(name: string): BoundMethod | undefined;
  property(name: string): BoundProperty | undefined;
  propertyNames(): readonly string[];
}

export interface BoundMethod {
  readonly in: Arguments;
  readonly orIn: Arguments | undefined;
  readonly out: Arguments;
  handle(args: Readonly<Record<string, DbusValue>>, call: Call): unknown;
}

export interface BoundProperty {
  readonly type: string;
  readonly setTypes: readonly string[];
  get(): DbusValue;
  readonly set: ((value: DbusValue, call: Call) => void | Promise<void>) | undefined;
}

/** The signature of arguments. */
export function signatureOf(args: Arguments): string {
  return Object.values(args).join('');
}

function describeArguments(args: Arguments, direction: string): string[] {
  return Object.entries(args).map(([name, type]) => `      <arg type="${type}" name="${name}"${direction}/>`);
}

function checkMember(name: string): void {
  if (!isMemberName(name)) throw new TypeError(`not a member name: ${JSON.stringify(name)}`);
}

function checkTypes(args: Arguments): void {
  for (const [name, type] of Object.entries(args)) {
    checkMember(name);
    parseSingleType(type);
  }
}
