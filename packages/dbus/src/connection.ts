/**
 * A connection to a message bus: calls as promises, signals, and calls of others for an object tree to answer.
 *
 * Descriptors have one owner: those given to a call, signal or reply are closed when they are sent (give a duplicate to
 * keep one); those that come with a reply are the caller's if it said that it takes them, and are closed otherwise.
 */
import { type Descriptor, UnixSocket, Watch, WOULD_BLOCK } from '@seikan/native';

import { type BusAddress, parseAddresses, systemBusAddress } from './address.js';
import { ClientAuthentication } from './authentication.js';
import { DbusError, ErrorName } from './dbus-error.js';
import { encodeMessage, type Message, type MethodCall, type Parsed } from './message.js';
import { Signals } from './signals.js';
import { RECEIVED_DESCRIPTORS, Transport, type TransportLimits } from './transport.js';
import type { DbusValue, ValuesOf } from './value.js';
import type { WireError } from './wire-error.js';

export interface ConnectionOptions {
  /** A list of addresses; left out, the system bus. */
  readonly address?: string;
  readonly limits?: Partial<TransportLimits>;
  /** How long authentication and calls may take, in milliseconds. */
  readonly timeout?: number;
}

export interface CallOptions<S extends string = string, R extends string = string> {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: S;
  readonly body?: NoInfer<ValuesOf<S>>;
  readonly descriptors?: readonly Descriptor[];
  /** The signature that the answer must have; any when left out. */
  readonly returns?: R;
  /** The answer's descriptors are the caller's to close. */
  readonly takesDescriptors?: boolean;
  readonly noAutoStart?: boolean;
  readonly timeout?: number;
}

export interface Reply<R extends string = string> {
  readonly signature: string;
  readonly body: ValuesOf<R>;
  readonly descriptors: readonly Descriptor[];
}

export interface SignalOptions<S extends string = string> {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: S;
  readonly body?: NoInfer<ValuesOf<S>>;
  readonly descriptors?: readonly Descriptor[];
  /** For one connection only; everybody who subscribed when left out. */
  readonly destination?: string;
}

/** What answers a call: values, or an error. */
export type Answer =
  | { readonly signature: string; readonly body: readonly DbusValue[]; readonly descriptors: readonly Descriptor[] }
  | DbusError;

/** Gets every call of others. The descriptors are its to close. `bodyError`: the arguments cannot be read. */
export type CallHandler = (call: MethodCall, descriptors: Descriptor[], bodyError: WireError | undefined) => void;

interface Pending {
  readonly what: string;
  readonly options: CallOptions;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: DbusError) => void;
}

type Outgoing<M extends Message = Message> = M extends Message ? Omit<M, 'serial' | 'descriptorCount'> : never;

const BUS = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus' };
const DEFAULT_LIMITS: TransportLimits = { message: 0x100_0000, queue: 0x400_0000 };
const DEFAULT_TIMEOUT = 25_000;
/** Texts quote what callers sent, which may be as long as a message. */
const LONGEST_ERROR_TEXT = 4_096;

export class Connection {
  readonly #transport: Transport;
  readonly #limits: TransportLimits;
  readonly #timeout: number;
  readonly #passesDescriptors: boolean;
  readonly #pending = new Map<number, Pending>();
  readonly signals: Signals;
  /** Resolves when the connection is over: with an error, or undefined after `close` or when the bus ended it. */
  readonly closed: Promise<Error | undefined>;
  readonly #resolveClosed: (error: Error | undefined) => void;
  #over = false;
  #serial = 0;
  #uniqueName = '';
  #handler: CallHandler | undefined;

  private constructor(socket: UnixSocket, passesDescriptors: boolean, { limits, timeout }: ConnectionOptions) {
    let resolveClosed: (error: Error | undefined) => void = () => {};
    this.closed = new Promise((resolve) => {
      resolveClosed = resolve;
    });
    this.#resolveClosed = resolveClosed;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#timeout = timeout ?? DEFAULT_TIMEOUT;
    this.#passesDescriptors = passesDescriptors;
    this.#transport = new Transport(socket, this.#limits, {
      message: (parsed, descriptors) => this.#receive(parsed, descriptors),
      ended: (error) => this.#end(error),
    });
    this.signals = new Signals(this);
  }

  /** Connects to the first address that takes us. Throws an AggregateError with what was wrong with each. */
  static async open(options: ConnectionOptions = {}): Promise<Connection> {
    const text = options.address ?? systemBusAddress(process.env);
    const faults: unknown[] = [];
    for (const address of parseAddresses(text)) {
      try {
        return await Connection.#openOne(address, options);
      } catch (error) {
        faults.push(error);
      }
    }
    throw new AggregateError(
      faults,
      `no bus at ${text}: ${faults.map((fault) => (fault as Error).message).join('; ')}`,
    );
  }

  static async #openOne(address: BusAddress, options: ConnectionOptions): Promise<Connection> {
    const socket = UnixSocket.connect(address.socket, { mostDescriptors: RECEIVED_DESCRIPTORS });
    let connection: Connection | undefined;
    try {
      const { guid, descriptors } = await authenticate(socket, options.timeout ?? DEFAULT_TIMEOUT);
      if (address.guid !== undefined && address.guid !== guid) throw new Error(`another bus (${guid}) is there`);
      connection = new Connection(socket, descriptors, options);
      const { body } = await connection.callBus('Hello', '', [], 's');
      connection.#uniqueName = body[0];
      return connection;
    } catch (error) {
      connection?.close();
      if (connection === undefined) socket.close();
      throw error;
    }
  }

  /** The bus's name for this connection, `:1.42`. */
  get uniqueName(): string {
    return this.#uniqueName;
  }

  /** Bytes that the bus has not taken yet. Whoever emits much waits for `drained` now and then. */
  get queuedBytes(): number {
    return this.#transport.queuedBytes;
  }

  drained(): Promise<void> {
    return this.#transport.drained();
  }

  /** Rejects with a DbusError: the answer's, NoReply after the timeout, Disconnected. */
  call<S extends string = '', R extends string = string>(options: CallOptions<S, R>): Promise<Reply<R>> {
    const { destination, path, member, noAutoStart = false, timeout = this.#timeout } = options;
    const what = `${options.interface}.${member} of ${destination}`;
    return new Promise<Reply>((resolve, reject) => {
      const { signature, body } = options as unknown as CallOptions;
      const serial = this.#send(
        {
          type: 'method-call',
          destination,
          path,
          interface: options.interface,
          member,
          noReply: false,
          noAutoStart,
          signature: signature ?? '',
          body: body ?? [],
        },
        options.descriptors ?? [],
      );
      if (this.#over) {
        reject(new DbusError(ErrorName.disconnected, `${what}: the connection is closed`));
        return;
      }
      const timer = setTimeout(() => {
        this.#pending.delete(serial);
        reject(new DbusError(ErrorName.noReply, `${what}: no answer in ${timeout} ms`));
      }, timeout);
      this.#pending.set(serial, { what, options: options as unknown as CallOptions, timer, resolve, reject });
    }) as Promise<unknown> as Promise<Reply<R>>;
  }

  /** Calls a method of the bus itself. */
  callBus<S extends string, R extends string>(
    member: string,
    signature: S,
    body: NoInfer<ValuesOf<S>>,
    returns: R,
  ): Promise<Reply<R>> {
    return this.call<S, R>({ ...BUS, member, signature, body, returns });
  }

  /** Sends a call whose answer nobody wants. */
  callWithoutReply<S extends string>(options: Omit<CallOptions<S>, 'returns' | 'timeout' | 'takesDescriptors'>): void {
    const {
      destination,
      path,
      member,
      noAutoStart = false,
      signature,
      body,
      descriptors = [],
    } = options as unknown as CallOptions;
    this.#send(
      {
        type: 'method-call',
        destination,
        path,
        interface: options.interface,
        member,
        noReply: true,
        noAutoStart,
        signature: signature ?? '',
        body: body ?? [],
      },
      descriptors,
    );
  }

  emit<S extends string = ''>(options: SignalOptions<S>): void {
    const { path, member, destination, signature, body, descriptors = [] } = options as unknown as SignalOptions;
    const to = destination === undefined ? {} : { destination };
    this.#send(
      {
        type: 'signal',
        path,
        interface: options.interface,
        member,
        ...to,
        signature: signature ?? '',
        body: body ?? [],
      },
      descriptors,
    );
  }

  /** Answers a call that the handler got. Nothing is sent when the caller wants no answer. */
  reply(call: MethodCall, answer: Answer): void {
    const to = call.sender === undefined ? {} : { destination: call.sender };
    const common = { replySerial: call.serial, ...to };
    if (call.noReply) {
      if (!(answer instanceof DbusError)) closeAll(answer.descriptors);
    } else if (answer instanceof DbusError) {
      const text = answer.message.slice(0, LONGEST_ERROR_TEXT).replaceAll(/[\0\p{Surrogate}]/gu, '\ufffd');
      this.#send({ type: 'error', ...common, errorName: answer.errorName, signature: 's', body: [text] }, []);
    } else {
      const { signature, body, descriptors } = answer;
      this.#send({ type: 'method-return', ...common, signature, body }, descriptors);
    }
  }

  /** Who answers calls of others. Without a handler they are unknown methods. */
  handleCalls(handler: CallHandler): void {
    this.#handler = handler;
  }

  /** Calls under way are rejected; what waits to be written is lost (`drained` first). Idempotent. */
  close(): void {
    this.#transport.close();
    this.#end(undefined);
  }

  /** Throws WireError for values that do not fit, and for a descriptor that is not open; takes them over also then. */
  #send(message: Outgoing, descriptors: readonly Descriptor[]): number {
    const serial = this.#nextSerial();
    try {
      if (descriptors.length > 0 && !this.#passesDescriptors) throw new Error('this bus does not pass descriptors');
      const whole = { ...message, serial, descriptorCount: descriptors.length } as Message;
      const bytes = encodeMessage(whole, 'little', this.#limits.message);
      this.#transport.send(bytes, duplicates(descriptors));
    } finally {
      closeAll(descriptors);
    }
    return serial;
  }

  #nextSerial(): number {
    do this.#serial = (this.#serial + 1) >>> 0 || 1;
    while (this.#pending.has(this.#serial));
    return this.#serial;
  }

  #receive({ message, bodyError }: Parsed, descriptors: Descriptor[]): void {
    switch (message.type) {
      case 'method-call':
        if (this.#handler !== undefined) return this.#handler(message, descriptors, bodyError);
        closeAll(descriptors);
        return this.reply(message, new DbusError(ErrorName.unknownMethod, `No such method “${message.member}”`));
      case 'signal':
        closeAll(descriptors);
        if (bodyError === undefined) this.signals.handleSignal(message);
        return;
      case 'method-return':
      case 'error': {
        const pending = this.#pending.get(message.replySerial);
        // Only the bus itself, or who was called, can know the serial; the bus refuses answers nobody waits for.
        if (pending === undefined) return closeAll(descriptors);
        this.#pending.delete(message.replySerial);
        clearTimeout(pending.timer);
        this.#settle(pending, { message, bodyError }, descriptors);
      }
    }
  }

  #settle(
    { what, options, resolve, reject }: Pending,
    { message, bodyError }: { message: Message; bodyError: WireError | undefined },
    descriptors: Descriptor[],
  ): void {
    const kept = options.takesDescriptors === true && message.type === 'method-return' ? descriptors : [];
    if (kept.length === 0) closeAll(descriptors);
    const { signature, body } = message;
    if (message.type === 'error') {
      reject(new DbusError(message.errorName, typeof body[0] === 'string' ? body[0] : what));
    } else if (bodyError !== undefined || (options.returns !== undefined && options.returns !== signature)) {
      closeAll(kept);
      const why = bodyError?.message ?? `“${signature}” came, “${options.returns}” was wanted`;
      reject(new DbusError(ErrorName.failed, `${what}: bad answer: ${why}`));
    } else resolve({ signature, body, descriptors: kept });
  }

  #end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    for (const { what, timer, reject } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new DbusError(ErrorName.disconnected, `${what}: ${error?.message ?? 'the connection was closed'}`));
    }
    this.#pending.clear();
    this.#resolveClosed(error);
  }
}

/**
 * What waits in the queue is nobody else's: a descriptor that is closed, here or by its number, is found before its
 * message stands in the way of all that come after it.
 */
function duplicates(descriptors: readonly Descriptor[]): Descriptor[] {
  const copies: Descriptor[] = [];
  try {
    for (const descriptor of descriptors) copies.push(descriptor.duplicate());
  } catch (error) {
    closeAll(copies);
    throw error;
  }
  return copies;
}

function closeAll(descriptors: readonly Descriptor[]): void {
  for (const descriptor of descriptors) descriptor.close();
}

function authenticate(socket: UnixSocket, timeout: number): Promise<{ guid: string; descriptors: boolean }> {
  const conversation = new ClientAuthentication(process.geteuid?.() ?? 0);
  const chunk = new Uint8Array(4096);
  const speak = () => {
    const bytes = conversation.takeOutput();
    if (bytes.length > 0 && socket.send(bytes) !== bytes.length) throw new Error('the bus does not read');
  };
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      watch.close();
      settle();
    };
    const step = () => {
      const strays: Descriptor[] = [];
      const result = socket.receive(chunk, 0, chunk.length, strays);
      closeAll(strays);
      if (result === WOULD_BLOCK) return;
      if (result <= 0) throw new Error('the bus ended the connection during authentication');
      conversation.handleInput(chunk.subarray(0, result));
      const { state } = conversation;
      if (state.name === 'failed') throw new Error(state.why);
      speak();
      if (state.name === 'done') finish(() => resolve(state));
    };
    const watch = new Watch(socket.descriptor.fd, { readable: true }, () => {
      try {
        step();
      } catch (error) {
        finish(() => reject(error));
      }
    });
    const timer = setTimeout(() => finish(() => reject(new Error(`no authentication in ${timeout} ms`))), timeout);
    try {
      speak();
    } catch (error) {
      finish(() => reject(error));
    }
  });
}
