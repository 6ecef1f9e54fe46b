/**
 * Generic netlink, synchronously: the kernel carries a request out while it takes it, and its whole answer waits in the
 * socket when `send` returns. So a request is a call: in order, its refusal thrown where it was made.
 *
 *   generic header  u8 command · u8 version · u16 0 · attributes
 *
 * Source: Linux include/uapi/linux/genetlink.h, net/netlink/genetlink.c.
 */
import { NETLINK_BUFFER, NetlinkSocket, resultName } from '@seikan/native';
import {
  type Attribute,
  attributeString,
  attributeU16,
  attributeU32,
  MessageFlag,
  MessageType,
  MessageWriter,
  NetlinkError,
  type NetlinkMessage,
  parseAcknowledgement,
  parseAttributes,
  parseMessages,
} from '@seikan/netconf';

const CONTROLLER = 16;
const ControllerCommand = { getFamily: 3 } as const;
const ControllerAttr = { familyId: 1, familyName: 2, groups: 7 } as const;
const GroupAttr = { name: 1, id: 2 } as const;
const GENERIC_HEADER_SIZE = 4;
/** Every message of ours fits, so that none is moved while it is written. */
const ROOM = 1_024;

export interface GenericFamily {
  readonly name: string;
  /** The message type of its messages. */
  readonly id: number;
  /** Multicast groups by name. */
  readonly groups: ReadonlyMap<string, number>;
}

export interface GenericMessage {
  readonly command: number;
  /** Borrowed from the message. */
  readonly attributes: readonly Attribute[];
}

/** A request of a family: acknowledged, or with `dump` answered by many messages. */
export function genericRequest(familyId: number, command: number, kind: 'do' | 'dump' = 'do'): MessageWriter {
  const flags = MessageFlag.request | (kind === 'do' ? MessageFlag.ack : MessageFlag.dump);
  return new MessageWriter(familyId, flags, ROOM).u8(command, 0).u16(0);
}

export function parseGeneric({ payload }: NetlinkMessage): GenericMessage {
  return { command: payload[0] ?? 0, attributes: parseAttributes(payload.subarray(GENERIC_HEADER_SIZE)) };
}

/** Where requests go: the kernel, or what a test puts in its place. */
export interface GenericRequests {
  /**
   * Sends a request and gives the messages that answer it. `what` names it in errors. Wipes what was written: it may be
   * a key. A refusal is a NetlinkError.
   */
  request(what: string, writer: MessageWriter): NetlinkMessage[];
}

export class GenericNetlink implements GenericRequests {
  readonly #socket = NetlinkSocket.open({ protocol: 'generic' });
  readonly #buffer = new Uint8Array(NETLINK_BUFFER);
  #sequence = 0;

  request(what: string, writer: MessageWriter): NetlinkMessage[] {
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const datagram = writer.finish(this.#sequence);
    try {
      this.#socket.send(datagram);
    } finally {
      datagram.fill(0);
    }
    const answers: NetlinkMessage[] = [];
    for (;;) {
      const length = this.#socket.receive(this.#buffer);
      if (length <= 0) throw new Error(`${what}: ${length === 0 ? 'no answer from the kernel' : resultName(length)}`);
      for (const message of parseMessages(this.#buffer.slice(0, length))) {
        if (message.sequence !== this.#sequence) continue;
        if (message.type !== MessageType.error && message.type !== MessageType.done) {
          answers.push(message);
          continue;
        }
        const { errno, text } = parseAcknowledgement(message);
        if (errno !== 0) throw new NetlinkError(what, errno, text);
        return answers;
      }
    }
  }

  /** Asks for a family, which makes the kernel load its module; undefined when there is none. */
  family(name: string): GenericFamily | undefined {
    try {
      const writer = genericRequest(CONTROLLER, ControllerCommand.getFamily);
      const [answer] = this.request(
        `find generic netlink family ${name}`,
        writer.attributeString(ControllerAttr.familyName, name),
      );
      return answer === undefined ? undefined : parseFamily(answer);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Idempotent. */
  close(): void {
    this.#socket.close();
  }
}

/** Reads the answer to CTRL_CMD_GETFAMILY. */
export function parseFamily(message: NetlinkMessage): GenericFamily {
  const groups = new Map<string, number>();
  let id = 0;
  let name = '';
  for (const attribute of parseGeneric(message).attributes) {
    if (attribute.type === ControllerAttr.familyId) id = attributeU16(attribute);
    else if (attribute.type === ControllerAttr.familyName) name = attributeString(attribute);
    else if (attribute.type === ControllerAttr.groups) {
      for (const entry of parseAttributes(attribute.value)) {
        const group = parseAttributes(entry.value);
        const named = group.find(({ type }) => type === GroupAttr.name);
        const numbered = group.find(({ type }) => type === GroupAttr.id);
        if (named !== undefined && numbered !== undefined) groups.set(attributeString(named), attributeU32(numbered));
      }
    }
  }
  return { name, id, groups };
}
