export { fakeCertificate, ScriptedTls, type ScriptedTlsOptions } from './scripted-tls.js';
export { SeededRandom } from './seeded-random.js';
