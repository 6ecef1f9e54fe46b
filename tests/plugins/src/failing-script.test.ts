import { script, testRefusals, testRefusedAddress } from './failing.js';

testRefusals(script);
testRefusedAddress();
