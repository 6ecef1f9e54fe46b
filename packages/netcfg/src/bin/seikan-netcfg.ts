import { netcfgMain } from '../main.js';

process.exitCode = await netcfgMain(process.argv.slice(2), process.env);
