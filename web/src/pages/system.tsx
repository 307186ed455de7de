/** System: what the server itself is doing. */

import { address, get } from '../api/http';
import type { Exposition } from '../api/exposition';
import type { Health, Status } from '../api/types';
import { bytes, count } from '../lib/number';
import { dateAndTime, duration, elapsed, parse } from '../lib/time';
import { Card, Figure, Head, Trouble } from '../parts/basics';
import { Chart } from '../parts/chart';
import { Mark } from '../parts/mark';
import { now } from '../state/clock';
import { useAnswer } from '../state/query';
import { rates, useScrapes, type History } from '../state/scrape';

const POLL_MS = 5000;
const WATCHED = [
  'observatory_events_received_total',
  'process_resident_memory_bytes',
  'process_cpu_seconds_total',
  'observatory_store_size_bytes',
  'observatory_commit_duration_seconds_sum',
  'observatory_commit_duration_seconds_count',
];
const watched = (series: string) => WATCHED.includes(series.replace(/\{.*/, ''));

export function SystemPage() {
  const { data: health, error } = useAnswer('health', askHealth, POLL_MS);
  const { data: status } = useAnswer('status', (signal) => get<Status>('api/v1/status', {}, signal));
  const history = useScrapes(watched);
  const at = (name: string) => sum(history.page, name);
  return (
    <>
      <Head title="System">
        <ul class="components">
          {Object.entries(health?.components ?? {}).map(([name, it]) => (
            <li key={name} title={it.message ?? ''}>
              <Mark state={it.status === 'ok' ? 'success' : 'failure'} label="" /> {name} {it.status}
            </li>
          ))}
        </ul>
      </Head>
      <Trouble message={error || history.error} />
      <dl class="figures">
        <Figure label="Up for" value={status ? elapsed(now.value - parse(status.data.start_time)) : '–'} note={health ? `version ${health.version}` : ''} />
        <Figure label="Events stored" value={count(at('observatory_store_events'))} note={`${bytes(at('observatory_store_size_bytes'))} on disk`} />
        <Figure label="Memory" value={bytes(at('process_resident_memory_bytes'))} note={`${count(at('process_threads'))} threads`} />
        <Figure label="Queue" value={count(at('observatory_queue_requests'))} note={`${count(at('observatory_queue_refused_requests_total'))} refused`} />
        <Figure label="Streams open" value={count(at('observatory_stream_open'))} note={`${count(at('observatory_http_connections'))} connections`} />
        <Figure label="Series" value={count(at('observatory_series'))} note={`${count(at('observatory_push_series'))} pushed`} />
      </dl>
      <div class="grid">
        <Line title="Events received per second" history={history} name="observatory_events_received_total" rate format={count} />
        <Commits history={history} />
        <Line title="Memory" history={history} name="process_resident_memory_bytes" format={bytes} />
        <Line title="CPU, cores" history={history} name="process_cpu_seconds_total" rate format={(it) => it.toFixed(2)} />
      </div>
      <div class="grid">
        <Requests page={history.page} />
        <About status={status} />
      </div>
    </>
  );
}

/** How the parts are; the answer is one in trouble, too. */
async function askHealth(signal: AbortSignal): Promise<Health> {
  return (await (await fetch(address('health'), { signal })).json()) as Health;
}

/** All series of a name together. */
function sum(page: Exposition | undefined, name: string): number {
  const found = page?.samples.filter((it) => it.name === name) ?? [];
  return found.length > 0 ? found.reduce((all, it) => all + it.value, 0) : NaN;
}

/** The values of all series of a name together, at each time. */
function together(history: History, name: string): (number | null)[] {
  const own = [...history.values].filter(([series]) => series.replace(/\{.*/, '') === name).map(([, it]) => it);
  return history.times.map((_, at) => {
    const values = own.map((it) => it[at]).filter((it) => typeof it === 'number');
    return values.length > 0 ? values.reduce((a, b) => a + b, 0) : null;
  });
}

function Line(props: { title: string; history: History; name: string; rate?: boolean; format: (value: number) => string }) {
  const { title, history, name, rate, format } = props;
  const values = together(history, name);
  const series = [{ label: title, colour: 'accent', values: rate ? rates(history.times, values) : values }];
  return (
    <Card title={title}>
      <Chart label={title} times={history.times} series={series} format={format} height={140} />
    </Card>
  );
}

/** How long it took to make events durable, on average between two looks. */
function Commits({ history }: { history: History }) {
  const [seconds, commits] = ['sum', 'count'].map((it) => rates(history.times, together(history, `observatory_commit_duration_seconds_${it}`)));
  const values = (seconds ?? []).map((it, at) => (it !== null && commits?.[at] ? it / commits[at] : null));
  return (
    <Card title="Time of a commit">
      <Chart label="Time of a commit" times={history.times} series={[{ label: 'average', colour: 'accent', values }]} format={duration} height={140} />
    </Card>
  );
}

function Requests({ page }: { page: Exposition | undefined }) {
  const name = 'observatory_http_request_duration_seconds';
  const routes = new Map<string, { count: number; seconds: number; failed: number }>();
  for (const it of page?.samples ?? []) {
    if (it.name !== `${name}_count` && it.name !== `${name}_sum`) continue;
    const key = `${it.labels.method ?? ''} ${it.labels.route ?? ''}`;
    const row = routes.get(key) ?? { count: 0, seconds: 0, failed: 0 };
    if (it.name.endsWith('_sum')) row.seconds += it.value;
    else {
      row.count += it.value;
      if (Number(it.labels.code) >= 400) row.failed += it.value;
    }
    routes.set(key, row);
  }
  const rows = [...routes].filter(([, it]) => it.count > 0).sort(([, a], [, b]) => b.count - a.count);
  return (
    <Card title="Requests since the start">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Route</th>
              <th class="n">Requests</th>
              <th class="n">Refused</th>
              <th class="n">Average</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, 14).map(([route, it]) => (
              <tr key={route}>
                <td>{route}</td>
                <td class="n">{count(it.count)}</td>
                <td class="n">{count(it.failed)}</td>
                <td class="n">{duration(it.seconds / it.count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function About({ status }: { status: Status | undefined }) {
  const { version = '–', revision = '–', rustc = '–' } = status?.data.build_information ?? {};
  return (
    <Card title="Build and settings">
      <table class="flags">
        <tbody>
          <tr>
            <td>version</td>
            <td>{`${version} (${revision}, rustc ${rustc})`}</td>
          </tr>
          <tr>
            <td>started</td>
            <td>{status ? dateAndTime(parse(status.data.start_time)) : '–'}</td>
          </tr>
        </tbody>
      </table>
      <details>
        <summary>Settings</summary>
        <table class="flags">
          <tbody>
            {Object.entries(status?.data.flags ?? {}).map(([name, it]) => (
              <tr key={name}>
                <td>{name}</td>
                <td>{it}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </Card>
  );
}
