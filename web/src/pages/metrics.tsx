/** Metrics: search a series of the server's page, and watch it. */

import { useCallback, useMemo } from 'preact/hooks';
import type { Sample } from '../api/exposition';
import { csv, download } from '../lib/csv';
import { count, value } from '../lib/number';
import { Card, Choice, Head, Trouble } from '../parts/basics';
import { Chart } from '../parts/chart';
import { param, route, setParams } from '../state/route';
import { rates, useScrapes } from '../state/scrape';

const LISTED = 200;
const COLOURS = ['accent', 'good', 'violet', 'warn', 'bad', 'dim'];

export function MetricsPage() {
  const chosen = chosenSeries();
  const query = param('q');
  const rate = param('as') === 'rate';
  // All are kept, so that one that is chosen later has a past: but only of what the search is about.
  const watched = useCallback((series: string) => chosen.includes(series), [chosen.join('\n')]);
  const { page, error, times, values } = useScrapes(watched);
  const found = useMemo(() => search(page?.samples ?? [], query), [page, query]);
  const lines = chosen.map((it, index) => {
    const own = values.get(it) ?? [];
    return { label: it, colour: COLOURS[index] ?? 'dim', values: rate ? rates(times, own) : own };
  });
  const choose = (series: string, on: boolean) => {
    const next = on ? [...chosen, series].slice(-COLOURS.length) : chosen.filter((it) => it !== series);
    setParams({ series: next.length > 0 ? JSON.stringify(next) : undefined });
  };
  const save = () => {
    const rows = times.map((at, index) => [new Date(at).toISOString(), ...lines.map((it) => it.values[index] ?? '')]);
    download('metrics.csv', csv([['time', ...chosen], ...rows]));
  };
  return (
    <>
      <Head title="Metrics">
        <Choice
          label="Values"
          options={[
            ['', 'value'],
            ['rate', 'per second'],
          ]}
          value={rate ? 'rate' : ''}
          onChange={(it) => setParams({ as: it })}
        />
        <button type="button" class="small" disabled={chosen.length === 0} onClick={save}>
          Save as CSV
        </button>
      </Head>
      <Trouble message={error} />
      <Card title={rate ? 'Live, per second' : 'Live'} aside={<span class="dim">every 5 s, for as long as this page is open</span>}>
        {chosen.length > 0 ? (
          <Chart label="The series that are chosen" times={times} series={lines} height={260} />
        ) : (
          <p class="empty">Choose up to {COLOURS.length} series below.</p>
        )}
      </Card>
      <Card title="Series" aside={<span class="dim">{page ? `${count(found.length)} of ${count(page.samples.length)}` : ''}</span>}>
        <div class="picker">
          <input
            type="search"
            aria-label="Words that the series has"
            placeholder='words, such as: builds project="web"'
            spellcheck={false}
            value={query}
            onInput={(it) => setParams({ q: it.currentTarget.value })}
          />
          <ul class="series" tabIndex={0} aria-label="Series found">
            {found.slice(0, LISTED).map((it) => (
              <li key={it.series}>
                <label title={page?.help.get(it.name) ?? ''}>
                  <input type="checkbox" checked={chosen.includes(it.series)} onChange={(box) => choose(it.series, box.currentTarget.checked)} />
                  <code>{it.series}</code>
                  <span>{value(it.value)}</span>
                </label>
              </li>
            ))}
            {page && found.length === 0 && <li class="dim">No series has these words.</li>}
            {found.length > LISTED && <li class="dim">{count(found.length - LISTED)} more: add a word.</li>}
          </ul>
        </div>
      </Card>
    </>
  );
}

/** The series in the address. */
function chosenSeries(): string[] {
  try {
    const it: unknown = JSON.parse(route.value.params.get('series') ?? '[]');
    return Array.isArray(it) ? it.filter((name) => typeof name === 'string').slice(0, COLOURS.length) : [];
  } catch {
    return [];
  }
}

/** The series that have all words of `query`. Buckets come last: people look for them last. */
export function search(samples: readonly Sample[], query: string): readonly Sample[] {
  const words = query.toLowerCase().split(/\s+/).filter((it) => it !== '');
  const has = (it: Sample) => words.every((word) => it.series.toLowerCase().includes(word));
  const found = samples.filter(has);
  const bucket = (it: Sample) => it.name.endsWith('_bucket');
  return [...found.filter((it) => !bucket(it)), ...found.filter(bucket)];
}
