import { openvpnMain } from '../openvpn.js';

// Not awaited: this is bundled into a script that is no module.
openvpnMain(process.argv.slice(2)).then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    throw error;
  },
);
