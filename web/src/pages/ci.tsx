/** CI: how builds went, by project and branch. */

import { get, type Params } from '../api/http';
import type { EventPage, Summary, SummaryGroup } from '../api/types';
import { groupBy } from '../lib/group';
import { count, percent } from '../lib/number';
import { about } from '../lib/selector';
import { intervals, line, span, total } from '../lib/series';
import { duration } from '../lib/time';
import { Card, Choice, Empty, Figure, Select } from '../parts/basics';
import { Chart } from '../parts/chart';
import { Mark } from '../parts/mark';
import { Page } from '../parts/page';
import { EndedRow, Strip } from '../parts/runs';
import { allRuns, ready } from '../state/feed';
import { result } from '../state/fields';
import { useAnswer } from '../state/query';
import { hashOf, param, setParams } from '../state/route';
import { BUILD_ENDS, BUILD_STARTS, flakiness, Runs, type Run } from '../state/runs';

const RANGES = { '24h': [86_400_000, 3_600_000], '7d': [7 * 86_400_000, 4 * 3_600_000], '30d': [30 * 86_400_000, 86_400_000] } as const;
type Range = keyof typeof RANGES;

const STRIP = 60;
const LISTED = 8;
const HISTORY = 1000;

export function CiPage() {
  const [project, branch] = [param('project'), param('branch')];
  const range = (param('range') in RANGES ? param('range') : '24h') as Range;
  const [length, step] = RANGES[range];
  const key = JSON.stringify([project, branch, range]);
  const match = about(BUILD_ENDS, project, branch);
  const since = () => new Date(Date.now() - length).toISOString();

  const { data: builds, error } = useAnswer(`builds ${key}`, async (signal) => {
    const params = { match: about([...BUILD_ENDS, ...BUILD_STARTS], project, branch), limit: HISTORY, since: since() };
    return read(await get<EventPage>('api/v1/events', params, signal));
  });
  const { data: trend } = useAnswer(`trend ${key}`, async (signal) => {
    const all = { match, since: since() };
    const ask = (params: Params) => get<Summary>('api/v1/events/summary', { ...all, ...params }, signal);
    const [ends, times, whole] = await Promise.all([
      ask({ interval: span(step), by: 'status' }),
      ask({ interval: span(step), value: 'duration_seconds' }),
      ask({ value: 'duration_seconds' }),
    ]);
    return lines(ends.groups, times.groups, whole.groups, intervals(Date.now() - length, Date.now(), step));
  });
  const { data: slow } = useAnswer(`slow ${key}`, (signal) => {
    const params = { match, since: since(), by: ['project', 'branch'], value: 'duration_seconds' };
    return get<Summary>('api/v1/events/summary', params, signal);
  });

  const known = allRuns.value.filter((it) => it.kind === 'build');
  const ended = (builds ?? []).filter((it) => it.state !== 'running');
  const good = trend?.good ?? 0;
  const failed = trend?.failed ?? 0;
  return (
    <Page
      title="CI"
      tools={
        <>
          <Select label="Project" all="all" options={names(known.map((it) => it.subject))} value={project} onChange={(it) => setParams({ project: it, branch: '' })} />
          <Select
            label="Branch"
            all="all"
            options={names(known.filter((it) => !project || it.subject === project).map((it) => it.branch))}
            value={branch}
            onChange={(it) => setParams({ branch: it })}
          />
          <Choice label="Range" options={(['24h', '7d', '30d'] as const).map((it) => [it, it] as const)} value={range} onChange={(it) => setParams({ range: it })} />
        </>
      }
      error={error}
      empty={builds?.length === 0 && ready.value}
      none={{
        of: 'Builds',
        title: 'No build has ended in this time. A build is two events, or one at its end:',
        event: '{"event_type":"ci_build_completed","source":"ci","data":{"project":"web","branch":"main","build_id":1,"status":"success","duration_seconds":93}}',
      }}
    >
      <dl class="figures">
        <Figure label="Builds" value={trend ? count(trend.all) : '–'} note={`in ${range}`} />
        <Figure label="Success" value={percent(good, good + failed)} note={trend ? `${count(failed)} failed` : ''} />
        <Figure label="Median time" value={trend ? duration(trend.p50) : '–'} note={`95 %: ${trend ? duration(trend.p95) : '–'}`} />
      </dl>
      <Card title="Last builds" aside={<span class="dim aside">as high as they took long, the newest on the right</span>}>
        <Strip runs={(builds ?? []).slice(0, STRIP).reverse()} />
      </Card>
      <div class="grid">
        <Card title="Duration">
          <Chart
            label="Duration of builds: median and 95 %"
            times={trend?.times ?? []}
            series={[
              { label: 'median', colour: 'accent', values: trend?.medians ?? [] },
              { label: '95 %', colour: 'violet', values: trend?.slowest ?? [] },
            ]}
            format={duration}
          />
        </Card>
        <Card title="Failures">
          <Chart label="Share of builds that failed" times={trend?.times ?? []} series={[{ label: 'failed', colour: 'bad', values: trend?.failures ?? [] }]} format={(it) => `${Math.round(it)} %`} />
        </Card>
        <Slowest groups={slow?.groups} />
        <Flakiest builds={ended} />
        <Card title="Newest" class="wide">
          <ul class="rows">
            {ended.slice(0, LISTED).map((it) => (
              <EndedRow key={it.key} run={it} />
            ))}
          </ul>
        </Card>
      </div>
    </Page>
  );
}

function Slowest({ groups }: { groups: readonly SummaryGroup[] | undefined }) {
  const slowest = (groups ?? []).filter((it) => it.value?.count).sort((a, b) => (b.value?.p95 ?? 0) - (a.value?.p95 ?? 0));
  return (
    <Card title="Slowest">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Project</th>
              <th>Branch</th>
              <th class="n">Builds</th>
              <th class="n">Median</th>
              <th class="n">95 %</th>
            </tr>
          </thead>
          <tbody>
            {slowest.slice(0, LISTED).map((it) => (
              <tr key={JSON.stringify(it.group)}>
                <td>
                  <Link project={String(it.group.project ?? '')} branch={String(it.group.branch ?? '')} />
                </td>
                <td>{String(it.group.branch ?? '–')}</td>
                <td class="n">{count(it.count)}</td>
                <td class="n">{duration(it.value?.p50 ?? NaN)}</td>
                <td class="n">{duration(it.value?.p95 ?? NaN)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

/** Branches whose builds turn from good to bad and back. */
function Flakiest({ builds }: { builds: readonly Run[] }) {
  const branches = groupBy([...builds].reverse(), (it) => JSON.stringify([it.subject, it.branch]));
  const flaky = [...branches.values()]
    .map((runs) => ({ runs, turns: flakiness(runs.map((it) => it.state)) }))
    .filter(({ runs, turns }) => runs.length >= 4 && turns > 0)
    .sort((a, b) => b.turns - a.turns);
  return (
    <Card title="Flakiest">
      {flaky.length === 0 ? (
        <Empty title="No branch with four builds or more has turned from good to bad, or back." />
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Project</th>
                <th>Branch</th>
                <th class="n">Turns</th>
                <th>Last</th>
              </tr>
            </thead>
            <tbody>
              {flaky.slice(0, LISTED).map(({ runs, turns }) => (
                <tr key={runs[0]!.key}>
                  <td>
                    <Link project={runs[0]!.subject} branch={runs[0]!.branch} />
                  </td>
                  <td>{runs[0]!.branch}</td>
                  <td class="n">{percent(turns, 1)}</td>
                  <td class="marks">
                    {runs.slice(-8).map((it) => (
                      <Mark key={it.key} state={it.state} />
                    ))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function Link({ project, branch }: { project: string; branch: string }) {
  return <a href={hashOf('ci', { project, branch, range: param('range') })}>{project || '–'}</a>;
}

function read(page: EventPage): Run[] {
  const runs = new Runs(HISTORY);
  for (const it of [...page.events].reverse()) runs.take(it);
  return runs.newestFirst();
}

type Groups = readonly SummaryGroup[];

function lines(ends: Groups, figures: Groups, whole: Groups, times: readonly number[]) {
  const is = (wanted: string) => (it: SummaryGroup) => result(String(it.group.status ?? '')) === wanted;
  const share = (of: Groups) => (100 * total(of.filter(is('failure')))) / total(of);
  return {
    times,
    all: total(ends),
    good: total(ends.filter(is('success'))),
    failed: total(ends.filter(is('failure'))),
    medians: line(times, figures, (it) => it[0]?.value?.p50 ?? NaN, null).map(finite),
    slowest: line(times, figures, (it) => it[0]?.value?.p95 ?? NaN, null).map(finite),
    failures: line(times, ends, share, null),
    p50: whole[0]?.value?.p50 ?? NaN,
    p95: whole[0]?.value?.p95 ?? NaN,
  };
}

const finite = (it: number | null) => (it !== null && Number.isFinite(it) ? it : null);

function names(all: readonly string[]): string[] {
  return [...new Set(all)].filter((it) => it !== '').sort();
}
