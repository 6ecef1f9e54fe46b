/**
 * A process with DNS settings, for tests of several at once:
 * node dns-client.js PATH STATE-FOLDER DEVICE SERVER TIMES [die]: applies and reverts that often, then applies and dies.
 */
import { ResolvConfFile } from '#src/dns/resolv-conf-file.js';

const [path = '', stateFolder = '', device = '', server = '', times = '1', end] = process.argv.slice(2);
const file = new ResolvConfFile({ path, stateFolder });
const settings = { servers: [{ address: server }], searchDomains: [`${device}.example`], scope: 'global' } as const;
for (let time = 0; time < Number(times); time++) {
  await file.apply(device, settings);
  await file.revert(device);
}
if (end === 'die') {
  await file.apply(device, settings);
  process.kill(process.pid, 'SIGKILL');
}
