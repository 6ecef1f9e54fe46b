import { openvpnMain } from '../openvpn.js';

process.exitCode = await openvpnMain(process.argv.slice(2));
