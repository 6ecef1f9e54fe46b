import { seikanMain } from '../seikan.js';

process.exitCode = await seikanMain(process.argv.slice(2));
