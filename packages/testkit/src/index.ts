export { type ComplianceException, dataChannelCompliance } from './compliance/data-channel.js';
export {
  type Harness,
  type HarnessFactory,
  type HarnessLink,
  type HarnessTun,
  ownedEvent,
} from './compliance/harness.js';
export { tlsCompliance } from './compliance/tls.js';
export { inlineHarness } from './inline-harness.js';
export { type Authority, createAuthority } from './live/authority.js';
export { harnessNamespaces, ipBatch, removeDeadNamespaces, removeNamespaces } from './live/namespaces.js';
export { comparePictures, type Picture, pictureOf } from './live/picture.js';
export { type Exit, execute, inNamespace, Program, type ProgramOptions } from './live/program.js';
export { Teardown } from './live/teardown.js';
export { type Counts, needRoot, runTestProgram } from './live/test-program.js';
export { type Addresses, bulk, type End, type PingAnswers, ping, pingAll } from './live/traffic.js';
export { MemoryLink, MemoryTun, type SentDatagram } from './memory-ends.js';
export { inNetworkNamespace } from './network-namespace.js';
export { ethernetFrame, type IpOptions, ipv4Packet, ipv6Packet, tcpSyn } from './packets.js';
export { type PrivateBus, startBus } from './private-bus.js';
export { type Datagram, Remotes } from './remotes.js';
export { hostState, ip, makeHost, makeTun } from './scratch-host.js';
export { fakeCertificate, ScriptedTls, type ScriptedTlsOptions } from './scripted-tls.js';
export { SeededRandom } from './seeded-random.js';
export { exchangeTls, openTlsPair, type TlsContexts, type TlsPair, takeTls } from './tls-pair.js';
export { VirtualClock } from './virtual-clock.js';
export { workerHarness } from './worker-harness.js';
