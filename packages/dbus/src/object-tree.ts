/**
 * The objects that a connection offers. Every call is answered by itself: a handler that waits holds up nobody else, and
 * one caller cannot have more than a number of calls under way.
 * Error names and texts are those of GDBus (glib 2.74), which clients show and sometimes search.
 */
import type { Descriptor } from '@seikan/native';

import { Call } from './call.js';
import type { Answer, Connection } from './connection.js';
import { DbusError, ErrorName } from './dbus-error.js';
import { type Arguments, type BoundInterface, type DbusInterface, type Named, signatureOf } from './interface.js';
import type { MethodCall } from './message.js';
import { isObjectPath } from './names.js';
import { INTROSPECTABLE, introspect, machineId, PEER, PROPERTIES, STANDARD_METHODS } from './standard-interfaces.js';
import type { DbusValue, Variant } from './value.js';
import type { WireError } from './wire-error.js';

export interface ObjectTreeOptions {
  /** Most calls of one caller that are under way; more are answered with LimitsExceeded. */
  readonly callsPerCaller?: number;
  /** Runs before each call is answered, whoever answers: for idle timers and traces. */
  readonly called?: (call: MethodCall) => void;
  /** A handler threw something that is no DbusError. The caller gets its message as a plain failure. */
  readonly failed?: (error: unknown, call: MethodCall) => void;
}

const DEFAULT_CALLS_PER_CALLER = 1_000;

interface Values {
  readonly signature: string;
  readonly body: readonly DbusValue[];
}

const NOTHING: Values = { signature: '', body: [] };

export class ObjectTree {
  readonly #connection: Connection;
  readonly #options: ObjectTreeOptions;
  readonly #objects = new Map<string, Map<string, BoundInterface>>();
  readonly #underWay = new Map<string, number>();

  /** Answers all calls that come over the connection. */
  constructor(connection: Connection, options: ObjectTreeOptions = {}) {
    this.#connection = connection;
    this.#options = options;
    connection.handleCalls((call, descriptors, bodyError) => {
      void this.#answer(call, descriptors, bodyError);
    });
  }

  /** An object has any number of interfaces. Throws when it has this one already. */
  export<Target, S extends Readonly<Record<string, Arguments>>>(
    path: string,
    described: DbusInterface<Target, S>,
    target: Target,
  ): void {
    if (!isObjectPath(path)) throw new TypeError(`not an object path: ${JSON.stringify(path)}`);
    const interfaces = this.#objects.get(path) ?? new Map<string, BoundInterface>();
    if (interfaces.has(described.name)) throw new Error(`${path} has ${described.name} already`);
    interfaces.set(described.name, described.bind(target));
    this.#objects.set(path, interfaces);
  }

  /** Removes an object with all its interfaces; those below it stay. Calls under way are still answered. */
  unexport(path: string): void {
    this.#objects.delete(path);
  }

  paths(): readonly string[] {
    return [...this.#objects.keys()];
  }

  /** Sends a signal that the interface describes: to everybody, or to one connection. */
  emit<Target, S extends Readonly<Record<string, Arguments>>, N extends keyof S & string>(
    path: string,
    described: DbusInterface<Target, S>,
    signal: { readonly name: N; readonly args: Named<S[N]>; readonly destination?: string },
  ): void {
    const types = described.signalArguments(signal.name);
    this.#connection.emit<string>({
      path,
      interface: described.name,
      member: signal.name,
      signature: signatureOf(types),
      body: inOrder(types, signal.args as Readonly<Record<string, DbusValue>>),
      ...(signal.destination === undefined ? {} : { destination: signal.destination }),
    });
  }

  /** Tells everybody a property's value. `Set` does it by itself. */
  propertyChanged(path: string, interfaceName: string, name: string): void {
    const property = this.#objects.get(path)?.get(interfaceName)?.property(name);
    if (property === undefined) throw new Error(`${path} has no property ${interfaceName}.${name}`);
    const changed = new Map([[name, { signature: property.type, value: property.get() }]]);
    this.#connection.emit({
      path,
      interface: PROPERTIES,
      member: 'PropertiesChanged',
      signature: 'sa{sv}as',
      body: [interfaceName, changed, []],
    });
  }

  async #answer(message: MethodCall, descriptors: Descriptor[], bodyError: WireError | undefined): Promise<void> {
    const call = new Call(this.#connection, message, descriptors);
    const count = this.#underWay.get(call.sender) ?? 0;
    this.#underWay.set(call.sender, count + 1);
    try {
      this.#options.called?.(message);
      if (bodyError !== undefined) throw unreadable(bodyError);
      if (count >= (this.#options.callsPerCaller ?? DEFAULT_CALLS_PER_CALLER)) {
        throw new DbusError(ErrorName.limitsExceeded, `More than ${count} calls of ${call.sender} are under way`);
      }
      const values = await this.#dispatch(call);
      this.#reply(message, { ...values, descriptors: call.takeAttached() });
    } catch (error) {
      this.#reply(message, this.#errorOf(error, message));
    } finally {
      call.end();
      const left = (this.#underWay.get(call.sender) ?? 1) - 1;
      if (left === 0) this.#underWay.delete(call.sender);
      else this.#underWay.set(call.sender, left);
    }
  }

  #reply(message: MethodCall, answer: Answer): void {
    this.#connection.reply(message, answer);
  }

  #errorOf(error: unknown, message: MethodCall): DbusError {
    if (error instanceof DbusError) return error;
    this.#options.failed?.(error, message);
    return new DbusError(ErrorName.failed, error instanceof Error ? error.message : String(error));
  }

  async #dispatch(call: Call): Promise<Values> {
    const { message } = call;
    const { path, member } = message;
    const standard = message.interface === undefined ? undefined : STANDARD_METHODS[message.interface];
    if (standard !== undefined) {
      if (message.interface !== PEER && !this.#known(path, message.interface)) throw noObject(path);
      const wanted = standard[member];
      if (wanted === undefined) throw noMethod(member);
      checkSignature(message, wanted);
      return this.#standard(call, `${message.interface}.${member}`);
    }
    const interfaces = this.#objects.get(path);
    if (interfaces === undefined) throw noObject(path);
    const found =
      message.interface === undefined
        ? [...interfaces.values()].find((each) => each.method(member) !== undefined)
        : interfaces.get(message.interface);
    if (found === undefined) {
      if (message.interface === undefined) throw noMethod(member);
      const text = `No such interface “${message.interface}” on object at path ${path}`;
      throw new DbusError(ErrorName.unknownMethod, text);
    }
    return callMethod(found, call);
  }

  /** Introspection works on paths that only lead to objects, too. */
  #known(path: string, interfaceName: string | undefined): boolean {
    return this.#objects.has(path) || (interfaceName === INTROSPECTABLE && this.#children(path).length > 0);
  }

  async #standard(call: Call, method: string): Promise<Values> {
    const { path, body } = call.message;
    const [interfaceName, name, value] = body as readonly [string, string, Variant];
    switch (method) {
      case `${PEER}.Ping`:
        return NOTHING;
      case `${PEER}.GetMachineId`:
        return { signature: 's', body: [await machineId()] };
      case `${INTROSPECTABLE}.Introspect`:
        return { signature: 's', body: [introspect(this.#objects.get(path)?.values(), this.#children(path))] };
      case `${PROPERTIES}.Get`:
        return { signature: 'v', body: [await getProperty(this.#interface(path, interfaceName), name, call)] };
      case `${PROPERTIES}.GetAll`:
        return { signature: 'a{sv}', body: [await getProperties(this.#interface(path, interfaceName), call)] };
      default:
        await setProperty(this.#interface(path, interfaceName), { name, value }, call);
        // The object may have gone while the handler waited.
        if (this.#objects.get(path)?.has(interfaceName) === true) this.propertyChanged(path, interfaceName, name);
        return NOTHING;
    }
  }

  #interface(path: string, name: string): BoundInterface {
    const found = this.#objects.get(path)?.get(name);
    if (found === undefined) throw new DbusError(ErrorName.invalidArgs, `No such interface “${name}”`);
    return found;
  }

  #children(path: string): readonly string[] {
    const prefix = path === '/' ? '/' : `${path}/`;
    const names = [...this.#objects.keys()]
      .filter((each) => each.startsWith(prefix) && each !== '/')
      .map((each) => each.slice(prefix.length).split('/', 1)[0] ?? '');
    return [...new Set(names)].toSorted();
  }
}

async function callMethod(found: BoundInterface, call: Call): Promise<Values> {
  const { member, signature, body } = call.message;
  const method = found.method(member);
  if (method === undefined) throw noMethod(member);
  const other = method.orIn !== undefined && signature === signatureOf(method.orIn) ? method.orIn : undefined;
  const types = other ?? method.in;
  checkSignature(call.message, signatureOf(types));
  await found.authorize({ kind: 'call', member }, call);
  const args = Object.fromEntries(Object.keys(types).map((name, i) => [name, body[i] as DbusValue]));
  const result = (await method.handle(args, call)) as Readonly<Record<string, DbusValue>> | undefined;
  return { signature: signatureOf(method.out), body: inOrder(method.out, result ?? {}) };
}

async function getProperty(found: BoundInterface, name: string, call: Call): Promise<Variant> {
  const property = found.property(name);
  if (property === undefined) throw noProperty(name);
  await found.authorize({ kind: 'get', member: name }, call);
  return { signature: property.type, value: property.get() };
}

async function getProperties(found: BoundInterface, call: Call): Promise<ReadonlyMap<string, Variant>> {
  const values = new Map<string, Variant>();
  for (const name of found.propertyNames()) {
    try {
      values.set(name, await getProperty(found, name, call));
    } catch (error) {
      if (!(error instanceof DbusError)) throw error;
    }
  }
  return values;
}

async function setProperty(
  found: BoundInterface,
  { name, value }: { readonly name: string; readonly value: Variant },
  call: Call,
): Promise<void> {
  const property = found.property(name);
  if (property === undefined) throw noProperty(name);
  if (property.set === undefined) throw new DbusError(ErrorName.invalidArgs, `Property “${name}” is not writable`);
  if (!property.setTypes.includes(value.signature)) {
    const text = `Error setting property “${name}”: Expected type “${property.type}” but got “${value.signature}”`;
    throw new DbusError(ErrorName.invalidArgs, text);
  }
  await found.authorize({ kind: 'set', member: name }, call);
  await property.set(value.value, call);
}

function checkSignature({ signature }: MethodCall, wanted: string): void {
  if (signature === wanted) return;
  const text = `Type of message, “(${signature})”, does not match expected type “(${wanted})”`;
  throw new DbusError(ErrorName.invalidArgs, text);
}

/** A name without a value is written as undefined, which the codec refuses. */
function inOrder(types: Arguments, values: Readonly<Record<string, DbusValue>>): DbusValue[] {
  return Object.keys(types).map((name) => values[name] as DbusValue);
}

function unreadable(error: WireError): DbusError {
  return new DbusError(error.fault === 'too-large' ? ErrorName.limitsExceeded : ErrorName.invalidArgs, error.message);
}

function noObject(path: string): DbusError {
  return new DbusError(ErrorName.unknownMethod, `Object does not exist at path “${path}”`);
}

function noMethod(member: string): DbusError {
  return new DbusError(ErrorName.unknownMethod, `No such method “${member}”`);
}

function noProperty(name: string): DbusError {
  return new DbusError(ErrorName.invalidArgs, `No such property “${name}”`);
}
