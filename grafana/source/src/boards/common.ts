// Questions that more than one board asks, and why they may have no answer.
import { all, chosen, each, of, ratio, sum, type Matchers } from '../kit/promql';
import { COLOR, words } from '../kit/theme';

export const BUILD = 'a `ci_build_completed` or `ci_workflow_completed` event has come';
export const DEPLOYMENT = 'a `deployment_completed` event has come';
export const PRODUCTION = 'a deployment to an environment that begins with `prod` has ended';
export const AGENT = 'an agent has sent an event';
export const GATE = 'a `quality_gate_passed` or `quality_gate_failed` event has come';

/** Environments whose deployments the DORA metrics are about. */
export const PROD = ['=~', 'prod.*'] as const;
/** How something ended, if it was not called off. */
const DECIDED = ['=~', 'success|failure'] as const;

/** What part of what was decided ended well. */
export function successes(metric: string, matchers: Matchers = {}, over: (selector: string) => string = all, ...by: string[]): string {
  return ratio(sum(over(of(metric, { ...matchers, result: 'success' })), ...by), sum(over(of(metric, { ...matchers, result: DECIDED })), ...by));
}

/** What part of what was decided failed. */
export function failures(metric: string, matchers: Matchers = {}, over: (selector: string) => string = all, ...by: string[]): string {
  return ratio(sum(over(of(metric, { ...matchers, result: 'failure' })), ...by), sum(over(of(metric, { ...matchers, result: DECIDED })), ...by));
}

/** How many per point of a chart, by how they ended. */
export function outcomes(metric: string, matchers: Matchers = {}): string {
  return sum(each(of(metric, matchers)), 'result');
}

export const PROJECT = { project: chosen('project') } as const;
export const RESULTS = ['success', 'failure', 'cancelled', 'other'] as const;
export const RESULT_WORDS = [words({
  success: ['success', COLOR.good], failure: ['failure', COLOR.bad], cancelled: ['cancelled', COLOR.muted], other: ['other', COLOR.other],
})];
/** Bars of things that are rare: one for five minutes at least. */
export const RARE = '5m';
