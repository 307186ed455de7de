/** The server's page of metrics, read every few seconds while somebody looks. */

import { useEffect, useState } from 'preact/hooks';
import { request } from '../api/http';
import { parseExposition, type Exposition } from '../api/exposition';

/** Another spelling of `/metrics`, which is there wherever the configuration puts that. */
const PATH = 'api/v1/metrics/prometheus';
const EVERY_MS = 5000;
/** An hour of it. */
const POINTS = 720;

export interface History {
  readonly page: Exposition | undefined;
  readonly error: string;
  readonly times: readonly number[];
  /** The values of the series that are watched, one for each time. */
  readonly values: ReadonlyMap<string, readonly (number | null)[]>;
}

/** Reads the page again and again, and keeps the values of the series that `watched` says yes to. */
export function useScrapes(watched: (series: string) => boolean): History {
  const [history, setHistory] = useState<History>({ page: undefined, error: '', times: [], values: new Map() });
  useEffect(() => {
    let ended = false;
    let timer: ReturnType<typeof setTimeout>;
    const scrape = async () => {
      try {
        const page = parseExposition(await (await request('GET', PATH)).text());
        if (!ended) setHistory((it) => extended(it, page, Date.now(), watched));
      } catch (error) {
        if (!ended) setHistory((it) => ({ ...it, error: error instanceof Error ? error.message : String(error) }));
      }
      if (!ended) timer = setTimeout(() => void scrape(), EVERY_MS);
    };
    void scrape();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [watched]);
  return history;
}

/** `history` with one more page. A series that was not there before has no values for the past. */
export function extended(history: History, page: Exposition, now: number, watched: (series: string) => boolean): History {
  const before = history.times.length;
  const values = new Map<string, (number | null)[]>();
  const found = new Map(page.samples.filter((it) => watched(it.series)).map((it) => [it.series, it.value] as const));
  for (const series of new Set([...history.values.keys(), ...found.keys()])) {
    if (!watched(series)) continue;
    const past = history.values.get(series) ?? new Array<null>(before).fill(null);
    const value = found.get(series);
    values.set(series, [...past, value !== undefined && Number.isFinite(value) ? value : null].slice(-POINTS));
  }
  return { page, error: '', times: [...history.times, now].slice(-POINTS), values };
}

/** Values that only grow as growth per second; a fall is a restart, and says nothing. */
export function rates(times: readonly number[], values: readonly (number | null)[]): (number | null)[] {
  return values.map((it, at) => {
    const [before, then] = [values[at - 1], times[at - 1]];
    if (it === null || before === null || before === undefined || then === undefined || it < before) return null;
    return (it - before) / (((times[at] ?? then) - then) / 1000);
  });
}
