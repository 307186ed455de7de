/** Counts and figures of the server's summaries as lines over time. */

import type { SummaryGroup } from '../api/types';
import { groupBy } from './group';
import { parse } from './time';

/** The starts of all intervals between two times, aligned as the server aligns them. */
export function intervals(since: number, until: number, stepMs: number): number[] {
  const res: number[] = [];
  for (let at = Math.floor(since / stepMs) * stepMs; at <= until; at += stepMs) res.push(at);
  return res;
}

/** What `value` says of the groups of each interval; `none` where there is no group. */
export function line<N>(
  times: readonly number[],
  groups: readonly SummaryGroup[],
  value: (groups: readonly SummaryGroup[]) => number,
  none: N,
): (number | N)[] {
  const byStart = groupBy(groups, (it) => parse(it.start));
  return times.map((it) => {
    const found = byStart.get(it);
    return found ? value(found) : none;
  });
}

export const total = (groups: readonly SummaryGroup[]) => groups.reduce((sum, it) => sum + it.count, 0);

/** A length of time as the server reads it. */
export function span(ms: number): string {
  return `${Math.round(ms / 1000)}s`;
}
