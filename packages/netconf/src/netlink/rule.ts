/**
 * Policy routing rules in rtnetlink.
 *
 *   fib_rule_hdr  u8 family · u8 destination length · u8 source length · u8 tos
 *                 u8 table · u8 0 · u8 0 · u8 action · u32 flags · attributes
 *
 * Source: Linux include/uapi/linux/fib_rules.h.
 */
import { type IpFamily, ipBytes, ipText, type Prefix } from '../ip.js';
import { AF_INET, AF_INET6, addressFamily } from './address.js';
import {
  type Attribute,
  attributeString,
  attributeU32,
  FieldReader,
  MessageFlag,
  MessageWriter,
  NetlinkFormatError,
  type NetlinkMessage,
  parseAttributes,
} from './message.js';

export const RuleMessage = { new: 32, delete: 33, get: 34 } as const;

const RULE_HEADER_SIZE = 12;
const ACTION_TO_TABLE = 1;
const FLAG_INVERT = 0x2;
const Attr = {
  destination: 1,
  source: 2,
  inLink: 3,
  priority: 6,
  mark: 10,
  suppressPrefix: 14,
  table: 15,
  markMask: 16,
  outLink: 17,
} as const;

export interface Rule {
  readonly family: IpFamily;
  /** FR_ACT_*: 1 looks into `table`. */
  readonly action: number;
  readonly table: number;
  readonly priority: number;
  readonly source?: Prefix;
  readonly destination?: Prefix;
  readonly inLink?: string;
  readonly outLink?: string;
  readonly mark?: number;
  readonly markMask?: number;
  /** Ignore what the table says when its route's prefix is at most this long. */
  readonly suppressPrefix?: number;
  readonly invert?: boolean;
  /** What this type has no field for, as it came. */
  readonly others: readonly Attribute[];
}

/** A rule that sends what the selectors match to a table. */
export function tableRule(rule: Omit<Rule, 'action' | 'others'>): Rule {
  return { ...rule, action: ACTION_TO_TABLE, others: [] };
}

/** Reads an RTM_NEWRULE or RTM_DELRULE; undefined for families other than IPv4 and IPv6. */
export function parseRule(message: NetlinkMessage): Rule | undefined {
  const fields = new FieldReader(message.payload);
  const family: IpFamily | undefined = fields.u8(0) === AF_INET ? 4 : fields.u8(0) === AF_INET6 ? 6 : undefined;
  if (family === undefined) return undefined;
  const others: Attribute[] = [];
  const rule: { -readonly [K in keyof Rule]: Rule[K] } = {
    family,
    action: fields.u8(7),
    table: fields.u8(4),
    priority: 0,
    ...((fields.u32(8) & FLAG_INVERT) !== 0 ? { invert: true } : {}),
    others,
  };
  for (const attribute of parseAttributes(message.payload.subarray(RULE_HEADER_SIZE))) {
    switch (attribute.type) {
      case Attr.destination:
        rule.destination = prefix(attribute, fields.u8(1));
        break;
      case Attr.source:
        rule.source = prefix(attribute, fields.u8(2));
        break;
      case Attr.inLink:
        rule.inLink = attributeString(attribute);
        break;
      case Attr.outLink:
        rule.outLink = attributeString(attribute);
        break;
      case Attr.priority:
        rule.priority = attributeU32(attribute);
        break;
      case Attr.mark:
        rule.mark = attributeU32(attribute);
        break;
      case Attr.markMask:
        rule.markMask = attributeU32(attribute);
        break;
      case Attr.table:
        rule.table = attributeU32(attribute);
        break;
      case Attr.suppressPrefix:
        // The kernel writes "none" as all ones into every rule of a dump.
        if (attributeU32(attribute) !== 0xffffffff) rule.suppressPrefix = attributeU32(attribute);
        break;
      default:
        others.push(attribute);
    }
  }
  return rule;
}

export function encodeRuleDump(family: IpFamily): MessageWriter {
  return new MessageWriter(RuleMessage.get, MessageFlag.request | MessageFlag.dump)
    .u8(addressFamily(family), 0, 0, 0, 0, 0, 0, 0)
    .u32(0);
}

/** EEXIST when an equal rule stands already. */
export function encodeRuleAdd(rule: Rule): MessageWriter {
  const { request, ack, create, exclusive } = MessageFlag;
  return encode(RuleMessage.new, request | ack | create | exclusive, rule);
}

/** ENOENT when no rule matches. */
export function encodeRuleDelete(rule: Rule): MessageWriter {
  return encode(RuleMessage.delete, MessageFlag.request | MessageFlag.ack, rule);
}

function encode(type: number, flags: number, rule: Rule): MessageWriter {
  const writer = new MessageWriter(type, flags)
    .u8(addressFamily(rule.family), rule.destination?.length ?? 0, rule.source?.length ?? 0, 0)
    .u8(rule.table < 256 ? rule.table : 0, 0, 0, rule.action)
    .u32(rule.invert === true ? FLAG_INVERT : 0);
  if (rule.source !== undefined) writer.attribute(Attr.source, ipBytes(rule.source.address));
  if (rule.destination !== undefined) writer.attribute(Attr.destination, ipBytes(rule.destination.address));
  if (rule.inLink !== undefined) writer.attributeString(Attr.inLink, rule.inLink);
  if (rule.outLink !== undefined) writer.attributeString(Attr.outLink, rule.outLink);
  if (rule.mark !== undefined) writer.attributeU32(Attr.mark, rule.mark);
  if (rule.markMask !== undefined) writer.attributeU32(Attr.markMask, rule.markMask);
  if (rule.suppressPrefix !== undefined) writer.attributeU32(Attr.suppressPrefix, rule.suppressPrefix);
  if (rule.table > 255) writer.attributeU32(Attr.table, rule.table);
  writer.attributeU32(Attr.priority, rule.priority);
  for (const { type: kind, value } of rule.others) writer.attribute(kind, value);
  return writer;
}

function prefix({ value }: Attribute, length: number): Prefix {
  const address = ipText(value);
  if (address === undefined) throw new NetlinkFormatError(`an address of ${value.length} bytes`);
  return { address, length };
}
