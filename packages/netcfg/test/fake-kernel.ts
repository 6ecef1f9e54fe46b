/** What stands in for the kernel's offload in tests of the object `…/dco`. */
import type { KernelTunnel, OffloadFamily, OffloadReceiver } from '@seikan/dco';
import type { LinkMaker } from '@seikan/netcfg';
import { NetlinkError } from '@seikan/netconf';

const EEXIST = 17;
const ENOENT = 2;

/** Remembers what it was asked, and refuses what it is told to. */
export class FakeKernel implements LinkMaker {
  readonly asked: unknown[] = [];
  readonly taken = new Set<string>();
  readonly removed: string[] = [];
  family: OffloadFamily = 'ovpn-dco-v2';
  refuse = false;
  deaf = false;
  receiver: OffloadReceiver | undefined;

  available(): boolean {
    return true;
  }

  async make(name: string) {
    if (this.taken.has(name)) throw new NetlinkError(`make link ${name}`, EEXIST);
    this.taken.add(name);
    const remove = async (): Promise<void> => {
      this.taken.delete(name);
      this.removed.push(name);
    };
    return { name, tunnel: this.#tunnel(name), remove };
  }

  #tunnel(name: string): KernelTunnel {
    const ask = (verb: string) => (what: unknown) => {
      this.asked.push([verb, structuredClone(what)]);
      if (this.refuse) throw new NetlinkError(verb, ENOENT);
    };
    const traffic = { readBytes: 2 ** 32 + 1, writtenBytes: 2, readPackets: 3, writtenPackets: 4 };
    return {
      family: this.family,
      index: 7,
      name,
      newPeer: ask('newPeer'),
      setKeepalive: ask('setKeepalive'),
      deletePeer: ask('deletePeer'),
      newKey: ask('newKey'),
      swapKeys: ask('swapKeys'),
      deleteKey: ask('deleteKey'),
      readPeer: (peerId) =>
        peerId === 5
          ? {
              peerId,
              remote: { family: 4, address: '198.51.100.7', port: 1194 },
              vpn4: '10.8.0.2',
              vpn6: undefined,
              localPort: 50_000,
              keepaliveInterval: 10,
              keepaliveTimeout: 60,
              vpn: traffic,
              link: traffic,
            }
          : undefined,
      listen: (receiver) => {
        if (this.deaf) throw new Error('no descriptor left');
        this.receiver = receiver;
      },
      close: () => undefined,
    };
  }
}
