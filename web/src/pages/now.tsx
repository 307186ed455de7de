/** Now: what a wall shows. */

import { get } from '../api/http';
import type { Summary, SummaryGroup } from '../api/types';
import { count, percent } from '../lib/number';
import { intervals, line, span, total } from '../lib/series';
import { midnight } from '../lib/time';
import { AlertRows } from '../parts/alert';
import { Ago, Card, Choice, Empty, Figure, Head, Trouble } from '../parts/basics';
import { Chart } from '../parts/chart';
import { Mark } from '../parts/mark';
import { sending } from '../parts/page';
import { EndedRow, RunningRow } from '../parts/runs';
import { alerts, alertTrouble, firing } from '../state/alerts';
import { SILENT_MS, stateOf } from '../state/agents';
import { now } from '../state/clock';
import { allAgents, allRuns, ready, trouble } from '../state/feed';
import { result } from '../state/fields';
import { useAnswer } from '../state/query';
import { hashOf, param, setParams } from '../state/route';
import { BUILD_ENDS, DEPLOYMENT_ENDS, running } from '../state/runs';

const SHOWN = 8;

export function NowPage() {
  return (
    <>
      <Head title="Now" />
      <Trouble message={trouble.value} />
      <Today />
      <div class="grid">
        <Firing />
        <Running />
        <Failures />
        <Rate />
        <AgentsCard />
      </div>
    </>
  );
}

function Today() {
  const today = midnight(now.value);
  const since = new Date(today).toISOString();
  const { data: all, error } = useAnswer(`today ${since}`, (signal) => get<Summary>('api/v1/events/summary', { since, by: 'type' }, signal));
  const types = [...BUILD_ENDS, ...DEPLOYMENT_ENDS];
  const { data: ends } = useAnswer(`today's ends ${since}`, (signal) =>
    get<Summary>('api/v1/events/summary', { since, type: types, by: ['type', 'status'] }, signal),
  );
  const builds = tally(ends?.groups, BUILD_ENDS);
  const deployments = tally(ends?.groups, DEPLOYMENT_ENDS);
  const active = allAgents.value.filter((it) => it.lastSeen >= today).length;
  return (
    <>
      <Trouble message={error} />
      <dl class="figures">
        <Figure label="Events today" value={all ? count(all.events) : '–'} note={all ? `${count(all.groups.length)} types` : ''} />
        <Figure label="Builds" value={ends ? count(builds.all) : '–'} note={ends ? `${count(builds.failed)} failed` : ''} />
        <Figure
          label="Build success"
          value={percent(builds.good, builds.good + builds.failed)}
          tone={builds.failed > builds.good ? 'bad' : undefined}
          note="today"
        />
        <Figure label="Deployments" value={ends ? count(deployments.all) : '–'} note={ends ? `${count(deployments.failed)} failed` : ''} />
        <Figure label="Deployment success" value={percent(deployments.good, deployments.good + deployments.failed)} note="today" />
        <Figure label="Agents" value={ready.value ? count(active) : '–'} note="seen today" />
      </dl>
    </>
  );
}

function tally(groups: readonly SummaryGroup[] | undefined, types: readonly string[]) {
  const res = { all: 0, good: 0, failed: 0 };
  for (const it of groups ?? []) {
    if (!types.includes(String(it.group.type))) continue;
    const how = result(String(it.group.status ?? ''));
    res.all += it.count;
    if (how === 'success') res.good += it.count;
    if (how === 'failure') res.failed += it.count;
  }
  return res;
}

function Firing() {
  const all = firing.value;
  return (
    <Card title="Firing alerts" class={all.some((it) => it.status === 'active') ? 'wide loud' : 'wide'} aside={<a href={hashOf('alerts')}>{all.length > 0 ? `all ${count(all.length)}` : 'alerts'}</a>}>
      <Trouble message={alertTrouble.value} />
      {alerts.value && <AlertRows alerts={all} most={SHOWN} />}
    </Card>
  );
}

function Running() {
  const runs = running(allRuns.value, now.value);
  return (
    <Card title="Running" aside={<span class="dim">{runs.length > 0 ? count(runs.length) : ''}</span>}>
      {runs.length > 0 ? (
        <ul class="rows">
          {runs.slice(0, SHOWN).map((it) => (
            <RunningRow key={it.key} run={it} />
          ))}
          {runs.length > SHOWN && <li class="dim more">and {runs.length - SHOWN} more</li>}
        </ul>
      ) : (
        ready.value && (
          <Empty
            title="Nothing runs. A build that starts is here until it ends:"
            command={sending('{"event_type":"ci_build_started","source":"ci","data":{"project":"web","branch":"main","build_id":1}}')}
          />
        )
      )}
    </Card>
  );
}

function Failures() {
  const failed = allRuns.value.filter((it) => it.state === 'failure').slice(0, SHOWN);
  return (
    <Card title="Latest failures" aside={<a href={hashOf('events', { match: '*{status=~"(?i)fail.*|error.*"}' })}>all</a>}>
      {failed.length > 0 ? (
        <ul class="rows">
          {failed.map((it) => (
            <EndedRow key={it.key} run={it} />
          ))}
        </ul>
      ) : (
        ready.value && <Empty title="No build and no deployment has failed." />
      )}
    </Card>
  );
}

const RANGES = { '15m': [15 * 60_000, 10_000], '6h': [6 * 3_600_000, 240_000], '7d': [7 * 86_400_000, 7_200_000] } as const;
type Range = keyof typeof RANGES;
const NONE: { times: number[]; values: number[] } = { times: [], values: [] };

function Rate() {
  const [range, setRange] = [(param('range') || '15m') as Range, (it: Range) => setParams({ range: it })];
  const [length, step] = RANGES[range] ?? RANGES['15m'];
  const { data = NONE, error } = useAnswer(`rate ${length}`, async (signal) => {
    const until = Date.now();
    const params = { since: new Date(until - length).toISOString(), interval: span(step) };
    const { groups } = await get<Summary>('api/v1/events/summary', params, signal);
    const times = intervals(until - length, until, step);
    return { times, values: line(times, groups, (it) => total(it) / (step / 1000), 0) };
  });
  const choice = (
    <Choice label="Range" options={(['15m', '6h', '7d'] as const).map((it) => [it, it] as const)} value={range} onChange={setRange} />
  );
  return (
    <Card title="Events per second" aside={choice} class="wide">
      <Trouble message={error} />
      <Chart label="Events per second" times={data.times} series={[{ label: 'events/s', colour: 'accent', values: data.values }]} bars />
    </Card>
  );
}

function AgentsCard() {
  const states = allAgents.value.map((it) => [it, stateOf(it, now.value)] as const);
  const alive = states.filter(([, it]) => it === 'alive').length;
  const order = { down: 0, silent: 1, alive: 2 };
  states.sort(([, a], [, b]) => order[a] - order[b]);
  return (
    <Card title="Agents" class="wide" aside={states.length > 0 && <a href={hashOf('agents')}>{`${alive} alive, ${states.length - alive} not`}</a>}>
      {states.length > 0 ? (
        <ul class="chips">
          {states.slice(0, 60).map(([it, state]) => (
            <li key={it.id} class={state}>
              <Mark state={state} />
              <b>{it.id}</b>
              <span class="dim">{state === 'alive' && it.open > 0 ? `${it.open} at work` : <Ago at={it.lastSeen} />}</span>
            </li>
          ))}
        </ul>
      ) : (
        ready.value && (
          <Empty
            title={`No agents. One that has sent an event within ${SILENT_MS / 60_000} minutes is alive:`}
            command={sending('{"event_type":"agent_registered","source":"agents","data":{"agent_id":"coder-1","agent_type":"coder"}}')}
          />
        )
      )}
    </Card>
  );
}
