export { loadAddon } from './addon.js';
export { readCertificate } from './certificate.js';
export { createCrypto } from './node-crypto.js';
export {
  createTlsContext,
  type OpensslContext,
  type TlsOptions,
  TlsSetupError,
  type TlsSetupFault,
  type TlsVersion,
} from './tls.js';
