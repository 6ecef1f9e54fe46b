export { openvpnMain } from './openvpn.js';
export { seikanMain } from './seikan.js';
