export { openvpnMain } from './openvpn.js';
