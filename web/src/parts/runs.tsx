/** Builds and deployments in rows. */

import { duration, elapsed } from '../lib/time';
import { quoted } from '../lib/selector';
import { now } from '../state/clock';
import { hashOf } from '../state/route';
import { at, BUILD_ENDS, BUILD_STARTS, type Run } from '../state/runs';
import { Ago } from './basics';
import { Mark } from './mark';

/** Where its events are. */
export function eventsOf(run: Run): string {
  const types = run.kind === 'build' ? 'ci_*' : 'deployment_*';
  const field = run.kind === 'build' ? 'build_id' : 'deployment_id';
  const rest = run.number ? `{${field}=${quoted(run.number)}}` : '';
  return hashOf('events', { match: `${types}${rest}` });
}

export function Where({ run }: { run: Run }) {
  return (
    <span class="where">
      <b>{run.subject}</b>
      {run.kind === 'build' ? <span class="dim">{run.branch || 'no branch'}</span> : <span class="dim">{run.environment || 'no environment'}</span>}
      {run.kind === 'deployment' && run.version && <code>{run.version}</code>}
    </span>
  );
}

/** What runs, with the time since its start. */
export function RunningRow({ run }: { run: Run }) {
  return (
    <li>
      <a href={eventsOf(run)}>
        <Mark state="running" />
        <Where run={run} />
        <span class="number">{run.number && `#${run.number}`}</span>
        <span class="time">{elapsed(now.value - run.startedAt)}</span>
      </a>
    </li>
  );
}

/** What has ended. */
export function EndedRow({ run }: { run: Run }) {
  return (
    <li>
      <a href={eventsOf(run)}>
        <Mark state={run.state} />
        <Where run={run} />
        <span class="number">{run.seconds === undefined ? '' : duration(run.seconds)}</span>
        <span class="time">
          <Ago at={at(run)} />
        </span>
      </a>
    </li>
  );
}

/** The last runs as columns: as high as they took long, the oldest first. */
export function Strip({ runs }: { runs: readonly Run[] }) {
  const longest = Math.max(1, ...runs.map((it) => it.seconds ?? 0));
  return (
    <div class="strip">
      {runs.map((it) => {
        const took = it.seconds === undefined ? '' : `, ${duration(it.seconds)}`;
        const label = `${it.subject} ${it.branch} ${it.number ? `#${it.number}` : ''}: ${it.state}${took}`;
        return (
          <a key={it.key} href={eventsOf(it)} class={it.state} title={label} aria-label={label}>
            <i style={{ height: `${20 + (80 * (it.seconds ?? 0)) / longest}%` }} />
          </a>
        );
      })}
    </div>
  );
}

export const buildTypes = [...BUILD_STARTS, ...BUILD_ENDS];
