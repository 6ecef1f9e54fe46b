import { dataChannelCompliance, inNetworkNamespace, workerHarness } from '@seikan/testkit';

inNetworkNamespace(import.meta.filename, () => dataChannelCompliance('worker', workerHarness()));
