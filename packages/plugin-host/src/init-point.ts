/** When a plugin is opened, by OpenVPN's numbers. */
import type { InitPoint } from '@seikan/plugin-sdk';
import type { InitNumber } from './member.js';

export const initNumbers: Readonly<Record<InitPoint, InitNumber>> = {
  'pre-config-parse': 1,
  'pre-daemon': 2,
  'post-daemon': 3,
  'post-uid-change': 4,
};
