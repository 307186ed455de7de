/** Quality: scores, coverage and gates of each project. */

import { get } from '../api/http';
import type { EventPage, Summary } from '../api/types';
import { groupBy } from '../lib/group';
import { intervals, line, span } from '../lib/series';
import { Ago, Card, Choice, Empty, Trouble } from '../parts/basics';
import { Chart, type Series } from '../parts/chart';
import { Mark } from '../parts/mark';
import { Page } from '../parts/page';
import { useAnswer } from '../state/query';
import { hashOf, param, setParams } from '../state/route';
import { readQuality } from '../state/quality';

const RANGES = { '6h': [6 * 3_600_000, 300_000], '7d': [7 * 86_400_000, 4 * 3_600_000], '90d': [90 * 86_400_000, 86_400_000] } as const;
type Range = keyof typeof RANGES;
const COLOURS = ['accent', 'good', 'violet', 'warn', 'bad', 'dim'];

export function QualityPage() {
  const range = (param('range') in RANGES ? param('range') : '6h') as Range;
  const { data: projects, error } = useAnswer('quality', async (signal) =>
    readQuality((await get<EventPage>('api/v1/events', { match: ['quality_*', 'coverage_updated'], limit: 2000 }, signal)).events),
  );
  return (
    <Page
      title="Quality"
      tools={
        <>
          <Choice label="Range" options={(['6h', '7d', '90d'] as const).map((it) => [it, it] as const)} value={range} onChange={(it) => setParams({ range: it })} />
        </>
      }
      error={error}
      empty={projects?.length === 0}
      none={{
        of: 'Projects',
        title: 'No score, coverage or gate is known yet. They are events, too:',
        event: '{"event_type":"quality_score_updated","source":"quality","data":{"project":"web","score":87.5}}',
      }}
    >
      <Card title="Projects">
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Project</th>
                <th class="n">Score</th>
                <th class="n">Coverage</th>
                <th>Gates</th>
                <th class="n">Updated</th>
              </tr>
            </thead>
            <tbody>
              {projects?.map((it) => (
                <tr key={it.name}>
                  <td>
                    <a href={hashOf('ci', { project: it.name })}>{it.name}</a>
                  </td>
                  <Measure value={it.score} before={it.scoreBefore} />
                  <Measure value={it.coverage} before={it.coverageBefore} unit=" %" />
                  <td>
                    <span class="gates">
                      {[...it.gates].map(([name, passed]) => (
                        <span key={name} class="nowrap">
                          <Mark state={passed ? 'success' : 'failure'} label={passed ? 'passed' : 'failed'} />
                          {name}
                        </span>
                      ))}
                    </span>
                  </td>
                  <td class="n nowrap">
                    <Ago at={it.at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
      <div class="grid">
        <Trend title="Score" types={['quality_score_updated']} value="score" range={range} />
        <Trend title="Coverage" types={['coverage_updated']} value="coverage" range={range} />
      </div>
      <Gates range={range} />
    </Page>
  );
}

/** A measure, and how it has changed. */
function Measure({ value, before, unit = '' }: { value: number | undefined; before: number | undefined; unit?: string }) {
  if (value === undefined) return <td class="n dim">–</td>;
  const change = before === undefined ? 0 : value - before;
  return (
    <td class="n nowrap">
      {change !== 0 && <span class={`change ${change > 0 ? 'up' : 'fall'}`}>{`${change > 0 ? '▲' : '▼'} ${Math.abs(change).toFixed(1)}`}</span>}
      {value.toFixed(1)}
      {unit}
    </td>
  );
}

function Trend({ title, types, value, range }: { title: string; types: readonly string[]; value: string; range: Range }) {
  const [length, step] = RANGES[range];
  const { data, error } = useAnswer(`${title} ${range}`, async (signal) => {
    const until = Date.now();
    const params = { type: types, since: new Date(until - length).toISOString(), interval: span(step), by: 'project', value };
    const { groups } = await get<Summary>('api/v1/events/summary', params, signal);
    const times = intervals(until - length, until, step);
    const projects = [...groupBy(groups, (it) => String(it.group.project ?? 'unknown'))].sort(([a], [b]) => (a < b ? -1 : 1));
    const series: Series[] = projects.slice(0, COLOURS.length).map(([label, own], index) => ({
      label,
      colour: COLOURS[index] ?? 'dim',
      values: line(times, own, (it) => it[0]?.value?.avg ?? NaN, null).map((it) => (Number.isFinite(it) ? it : null)),
    }));
    return { times, series };
  });
  return (
    <Card title={title}>
      <Trouble message={error} />
      <Chart label={`${title} of projects over time`} times={data?.times ?? []} series={data?.series ?? []} format={(it) => it.toFixed(0)} height={220} />
    </Card>
  );
}

function Gates({ range }: { range: Range }) {
  const [length] = RANGES[range];
  const { data, error } = useAnswer(`gates ${range}`, (signal) => {
    const since = new Date(Date.now() - length).toISOString();
    return get<Summary>('api/v1/events/summary', { type: ['quality_gate_passed', 'quality_gate_failed'], since, by: ['gate', 'type'] }, signal);
  });
  const gates = groupBy(data?.groups ?? [], (it) => String(it.group.gate ?? 'unknown'));
  return (
    <Card title={`Gates, ${range}`}>
      <Trouble message={error} />
      {gates.size === 0 && data && <Empty title="No gate was checked in this time." />}
      <ul class="bars">
        {[...gates].map(([name, groups]) => {
          const sum = (type: string) => groups.filter((it) => it.group.type === type).reduce((all, it) => all + it.count, 0);
          const [passed, failed] = [sum('quality_gate_passed'), sum('quality_gate_failed')];
          return (
            <li key={name}>
              <b>{name}</b>
              <span class="bar" role="img" aria-label={`${passed} passed, ${failed} failed`}>
                <i style={{ width: `${(100 * passed) / (passed + failed)}%` }} />
              </span>
              <span class="dim nowrap">{`${passed} passed, ${failed} failed`}</span>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}
