/** Builds and deployments: what started, how it ended, and what still runs. */

import type { Event } from '../api/types';
import { parse } from '../lib/time';
import { project, result, seconds, service, text, type Result } from './fields';

export type Kind = 'build' | 'deployment';
export type RunState = 'running' | Result;

export interface Run {
  readonly key: string;
  readonly kind: Kind;
  /** The project that was built, or the service that was deployed. */
  readonly subject: string;
  readonly branch: string;
  readonly environment: string;
  readonly version: string;
  readonly number: string;
  readonly state: RunState;
  /** 0 if the start was not seen. */
  readonly startedAt: number;
  /** 0 while it runs. */
  readonly endedAt: number;
  readonly seconds: number | undefined;
  /** The event that said so last. */
  readonly sequence: number;
}

export const BUILD_STARTS = ['ci_build_started', 'ci_workflow_started'];
export const BUILD_ENDS = ['ci_build_completed', 'ci_workflow_completed'];
export const DEPLOYMENT_STARTS = ['deployment_started'];
export const DEPLOYMENT_ENDS = ['deployment_completed'];
export const RUN_TYPES = [...BUILD_STARTS, ...BUILD_ENDS, ...DEPLOYMENT_STARTS, ...DEPLOYMENT_ENDS];

/** What has not ended after so long never will: its end was not sent. */
const LOST_MS = 6 * 3600 * 1000;

/** The newest runs, at most `capacity` of them. */
export class Runs {
  readonly #runs = new Map<string, Run>();

  constructor(private readonly capacity = 4000) {}

  /** Takes an event in; false if it is about no run. */
  take(event: Event): boolean {
    const run = read(event);
    if (!run) return false;
    const before = this.#runs.get(run.key);
    this.#runs.delete(run.key);
    this.#runs.set(run.key, before ? joined(before, run) : run);
    if (this.#runs.size > this.capacity) {
      for (const oldest of this.#runs.keys()) {
        this.#runs.delete(oldest);
        break;
      }
    }
    return true;
  }

  clear(): void {
    this.#runs.clear();
  }

  /** The one that was heard of last comes first. */
  newestFirst(): Run[] {
    return [...this.#runs.values()].reverse();
  }
}

/** What runs at `now`, the longest first. */
export function running(runs: readonly Run[], now: number): Run[] {
  const live = runs.filter((it) => it.state === 'running' && now - it.startedAt < LOST_MS);
  return live.sort((a, b) => a.startedAt - b.startedAt);
}

function read(event: Event): Run | undefined {
  const type = event.event_type;
  const starts = BUILD_STARTS.includes(type) || DEPLOYMENT_STARTS.includes(type);
  const build = BUILD_STARTS.includes(type) || BUILD_ENDS.includes(type);
  if (!starts && !build && !DEPLOYMENT_ENDS.includes(type)) return undefined;
  const at = parse(event.timestamp);
  const kind: Kind = build ? 'build' : 'deployment';
  const subject = (build ? project(event) : service(event)) || 'unknown';
  const branch = text(event, 'branch');
  const environment = text(event, 'environment', 'env');
  const version = text(event, 'version', 'commit_sha', 'commit');
  const number = build ? text(event, 'build_id', 'run_id') : text(event, 'deployment_id');
  const named = number || (build ? branch : `${environment} ${version}`);
  return {
    key: JSON.stringify([kind, subject, named]),
    kind,
    subject,
    branch,
    environment,
    version,
    number,
    state: starts ? 'running' : result(text(event, 'status', 'conclusion', 'result')),
    startedAt: starts ? at : 0,
    endedAt: starts ? 0 : at,
    seconds: seconds(event),
    sequence: event.sequence,
  };
}

/** What two events say of one run. An end stays an end, unless the run begins once more. */
function joined(before: Run, it: Run): Run {
  if (it.state === 'running') {
    const again = it.startedAt > before.endedAt;
    return again ? it : { ...before, startedAt: it.startedAt, sequence: it.sequence };
  }
  const startedAt = before.startedAt;
  const took = startedAt > 0 ? (it.endedAt - startedAt) / 1000 : undefined;
  return {
    ...it,
    startedAt,
    branch: it.branch || before.branch,
    environment: it.environment || before.environment,
    version: it.version || before.version,
    seconds: it.seconds ?? took,
  };
}

/** When a run was last heard of. */
export function at(run: Run): number {
  return run.endedAt || run.startedAt;
}

/** How often a series of results, the oldest first, turns from success to failure or back: 0 never, 1 each time. */
export function flakiness(states: readonly RunState[]): number {
  const ends = states.filter((it) => it === 'success' || it === 'failure');
  const turns = ends.filter((it, index) => index > 0 && it !== ends[index - 1]).length;
  return ends.length > 1 ? turns / (ends.length - 1) : 0;
}
