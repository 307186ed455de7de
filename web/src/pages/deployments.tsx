/** Deployments: which version is where, and how it got there. */

import { get } from '../api/http';
import type { Summary } from '../api/types';
import { groupBy } from '../lib/group';
import { count, percent } from '../lib/number';
import { Ago, Card, Figure, Select, Trouble } from '../parts/basics';
import { Mark } from '../parts/mark';
import { Page } from '../parts/page';
import { EndedRow, eventsOf, RunningRow, Strip } from '../parts/runs';
import { now } from '../state/clock';
import { allRuns, ready, trouble } from '../state/feed';
import { result } from '../state/fields';
import { useAnswer } from '../state/query';
import { param, setParams } from '../state/route';
import { at, DEPLOYMENT_ENDS, running, type Run } from '../state/runs';

const WEEK = 7 * 86_400_000;
const LISTED = 30;
const STRIP = 60;
/** What people want to see first. */
const FIRST = [/^prod/i, /^stag/i, /^test/i, /^dev/i];

export function DeploymentsPage() {
  const service = param('service');
  const all = allRuns.value.filter((it) => it.kind === 'deployment');
  const shown = service ? all.filter((it) => it.subject === service) : all;
  const services = [...new Set(all.map((it) => it.subject))].sort();
  return (
    <Page
      title="Deployments"
      tools={
        <>
          <Select label="Service" all="all" options={services} value={service} onChange={(it) => setParams({ service: it })} />
        </>
      }
      error={trouble.value}
      empty={ready.value && all.length === 0}
      none={{
        of: 'Deployments',
        title: 'Nothing was deployed yet. A deployment is two events, or one at its end:',
        event: '{"event_type":"deployment_completed","source":"cd","data":{"service":"web","environment":"production","version":"2.4.1","status":"success"}}',
      }}
    >
      <Week />
      <Matrix runs={shown} />
      <Recent runs={shown} />
    </Page>
  );
}

function Week() {
  const { data, error } = useAnswer('deployments of a week', (signal) => {
    const since = new Date(Date.now() - WEEK).toISOString();
    const params = { type: DEPLOYMENT_ENDS, since, by: ['environment', 'status'] };
    return get<Summary>('api/v1/events/summary', params, signal);
  });
  const environments = groupBy(data?.groups ?? [], (it) => String(it.group.environment ?? 'no environment'));
  return (
    <>
      <Trouble message={error} />
      <dl class="figures">
        {[...environments].sort(([a], [b]) => rank(a) - rank(b)).map(([name, groups]) => {
          const of = (wanted: string) => groups.filter((it) => result(String(it.group.status)) === wanted).reduce((sum, it) => sum + it.count, 0);
          const [good, failed] = [of('success'), of('failure')];
          const all = groups.reduce((sum, it) => sum + it.count, 0);
          return <Figure key={name} label={`${name}, 7 days`} value={count(all)} note={`${percent(good, good + failed)} succeeded`} />;
        })}
        {environments.size === 0 && <Figure label="Deployments, 7 days" value={data ? '0' : '–'} />}
      </dl>
    </>
  );
}

/** What is where: the last deployment of each service that succeeded, and what has happened since. */
function Matrix({ runs }: { runs: readonly Run[] }) {
  const environments = [...new Set(runs.map((it) => it.environment))].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const services = [...groupBy(runs, (it) => it.subject)].sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    <Card title="Versions">
      <div class="scroll">
        <table class="matrix">
          <thead>
            <tr>
              <th>Service</th>
              {environments.map((it) => (
                <th key={it}>{it || 'no environment'}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {services.map(([name, own]) => (
              <tr key={name}>
                <td>
                  <b>{name}</b>
                </td>
                {environments.map((it) => (
                  <Cell key={it} runs={own.filter((run) => run.environment === it)} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Cell({ runs }: { runs: readonly Run[] }) {
  const live = runs.find((it) => it.state === 'success');
  const last = runs[0];
  if (!last) return <td class="dim">–</td>;
  return (
    <td>
      {live ? (
        <a href={eventsOf(live)} class="version">
          {live.version || '?'}
        </a>
      ) : (
        <span class="dim">none yet</span>
      )}{' '}
      {live && (
        <span class="dim">
          <Ago at={at(live)} />
        </span>
      )}
      {last !== live && (
        <a href={eventsOf(last)} class="since">
          <Mark state={last.state} />
          {last.version}
        </a>
      )}
    </td>
  );
}

function Recent({ runs }: { runs: readonly Run[] }) {
  const live = running(runs, now.value);
  const ended = runs.filter((it) => it.state !== 'running');
  return (
    <>
      <Card title="Last deployments" aside={<span class="dim aside">as high as they took long, the newest on the right</span>}>
        <Strip runs={ended.slice(0, STRIP).reverse()} />
      </Card>
      <Card title="Newest">
        <ul class="rows">
          {live.map((it) => (
            <RunningRow key={it.key} run={it} />
          ))}
          {ended.slice(0, LISTED).map((it) => (
            <EndedRow key={it.key} run={it} />
          ))}
        </ul>
      </Card>
    </>
  );
}

function rank(environment: string): number {
  const found = FIRST.findIndex((it) => it.test(environment));
  return found < 0 ? FIRST.length : found;
}
