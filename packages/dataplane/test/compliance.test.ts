import { dataChannelCompliance, inlineHarness } from '@seikan/testkit';

dataChannelCompliance('inline', inlineHarness);
