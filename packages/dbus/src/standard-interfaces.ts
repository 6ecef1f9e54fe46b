/** What every object offers besides its own: Properties, Introspectable and Peer, described as GDBus describes them. */
import { readFile } from 'node:fs/promises';

import { DbusError, ErrorName } from './dbus-error.js';
import type { BoundInterface } from './interface.js';

export const PROPERTIES = 'org.freedesktop.DBus.Properties';
export const INTROSPECTABLE = 'org.freedesktop.DBus.Introspectable';
export const PEER = 'org.freedesktop.DBus.Peer';

/** The arguments of each method. */
export const STANDARD_METHODS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  [PROPERTIES]: { Get: 'ss', GetAll: 's', Set: 'ssv' },
  [INTROSPECTABLE]: { Introspect: '' },
  [PEER]: { Ping: '', GetMachineId: '' },
};

const MACHINE_ID_FILES = ['/etc/machine-id', '/var/lib/dbus/machine-id'];

/** openvpn3's client takes descriptions of 218 characters and less for unfinished ones: the comment makes them longer. */
const HEAD = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
                      "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<!-- Seikan: objects and interfaces that this service offers -->
<node>
`;

const STANDARD = `  <interface name="${PROPERTIES}">
    <method name="Get">
      <arg type="s" name="interface_name" direction="in"/>
      <arg type="s" name="property_name" direction="in"/>
      <arg type="v" name="value" direction="out"/>
    </method>
    <method name="GetAll">
      <arg type="s" name="interface_name" direction="in"/>
      <arg type="a{sv}" name="properties" direction="out"/>
    </method>
    <method name="Set">
      <arg type="s" name="interface_name" direction="in"/>
      <arg type="s" name="property_name" direction="in"/>
      <arg type="v" name="value" direction="in"/>
    </method>
    <signal name="PropertiesChanged">
      <arg type="s" name="interface_name"/>
      <arg type="a{sv}" name="changed_properties"/>
      <arg type="as" name="invalidated_properties"/>
    </signal>
  </interface>
  <interface name="${INTROSPECTABLE}">
    <method name="Introspect">
      <arg type="s" name="xml_data" direction="out"/>
    </method>
  </interface>
  <interface name="${PEER}">
    <method name="Ping"/>
    <method name="GetMachineId">
      <arg type="s" name="machine_uuid" direction="out"/>
    </method>
  </interface>
`;

/** `interfaces`: of the object, undefined for a path that only leads to others. `children`: the next elements of those. */
export function introspect(interfaces: Iterable<BoundInterface> | undefined, children: readonly string[]): string {
  const own = interfaces === undefined ? '' : STANDARD + [...interfaces].map((each) => each.describe()).join('');
  const nodes = children.map((name) => `  <node name="${name}"/>\n`).join('');
  return `${HEAD}${own}${nodes}</node>\n`;
}

export async function machineId(): Promise<string> {
  for (const file of MACHINE_ID_FILES) {
    const text = await readFile(file, 'utf8').catch(() => '');
    const [id] = /^[0-9a-f]{32}/.exec(text) ?? [];
    if (id !== undefined) return id;
  }
  throw new DbusError(ErrorName.failed, 'this machine has no id');
}
