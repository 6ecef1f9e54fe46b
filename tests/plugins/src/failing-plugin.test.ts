import { plugin, testRefusals } from './failing.js';

testRefusals(plugin);
