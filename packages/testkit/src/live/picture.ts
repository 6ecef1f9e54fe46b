/**
 * What a tunnel may not leave behind: a picture of a namespace's devices, addresses, routes and rules, taken before and
 * after and compared.
 */
import { execute, inNamespace } from './program.js';

export type Picture = readonly string[];

/** One line for each device, address, route and rule of the namespace. */
export async function pictureOf(namespace: string): Promise<Picture> {
  const show = async (kind: string, ...words: string[]): Promise<string[]> => {
    const text = await execute(inNamespace(namespace, ['ip', '-o', ...words]));
    return (
      text
        .split('\n')
        .filter((line) => line !== '')
        // counters, timers and interface numbers differ between two equal states
        .map(
          (line) =>
            `${kind} ${line.replaceAll(/^\d+: |\b(valid_lft|preferred_lft|expires|qlen|pref) \S+|@if\d+/g, '')}`,
        )
    );
  };
  const lines = await Promise.all([
    show('device', '-brief', 'link', 'show'),
    show('address', 'address', 'show'),
    show('route', '-4', 'route', 'show', 'table', 'all'),
    show('route', '-6', 'route', 'show', 'table', 'all'),
    show('rule', 'rule', 'show'),
  ]);
  return (
    lines
      .flat()
      // the kernel tells a link's carrier up to a second late
      .map((line) => line.replaceAll(/ (UP|DOWN|UNKNOWN|LOWERLAYERDOWN) |NO-CARRIER,|,LOWER_UP| linkdown/g, ' '))
      .map((line) => line.replaceAll(/[\s<>]+/g, ' ').trim())
      .toSorted()
  );
}

/** Throws when `after` has a line that `before` has not, or the other way round. */
export function comparePictures(name: string, before: Picture, after: Picture): void {
  const left = after.filter((line) => !before.includes(line));
  const taken = before.filter((line) => !after.includes(line));
  if (left.length > 0) throw new Error(`${name}: left behind: ${left.join('; ')}`);
  if (taken.length > 0) throw new Error(`${name}: took away: ${taken.join('; ')}`);
}
