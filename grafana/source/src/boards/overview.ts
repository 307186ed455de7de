// Is all well, and if not, where?
import type { Board } from '../kit/board';
import { bands, chart, figure, rows } from '../kit/panels';
import { all, count, each, max, of, rate, sum } from '../kit/promql';
import { COLOR, FEW, LEAST, MOST, NONE, UP, words } from '../kit/theme';
import { AGENT, BUILD, DEPLOYMENT, GATE, outcomes, PROD, PRODUCTION, RARE, RESULT_WORDS, RESULTS, successes } from './common';

/** 1 as soon as something of it happened within a point of the chart. */
const trouble = (expr: string) => `${sum(each(expr))} > bool 0`;

export const overview: Board = {
  name: 'overview',
  title: 'Observatory / Overview',
  description: 'Is all well, and if not, where: builds, deployments, agents, quality gates, alerts, and Observatory itself.',
  range: '24h',
  deployments: true,
  rows: [
    ['',
      figure({
        title: 'Builds', description: 'CI builds and workflows that ended in the time shown.', empty: BUILD, more: 'ci',
        width: 4, unit: 'short', decimals: 0, query: [sum(all(of('ci_builds_total'))), 'builds'],
      }),
      figure({
        title: 'Builds that succeed', description: 'Of the builds that succeeded or failed in the time shown, those that succeeded. Cancelled ones do not count.', empty: BUILD, more: 'ci',
        width: 4, unit: 'percentunit', decimals: 1, steps: MOST, query: [successes('ci_builds_total'), 'success'],
      }),
      figure({
        title: 'Deployments to production', description: 'Deployments to an environment that begins with `prod` that ended in the time shown.', empty: PRODUCTION, more: 'deployments',
        width: 4, unit: 'short', decimals: 0, query: [sum(all(of('deployments_total', { environment: PROD }))), 'deployments'],
      }),
      figure({
        title: 'Agents up', description: 'Agents that registered and have not reported a fatal error since.', empty: 'an agent has registered', more: 'agents',
        width: 4, unit: 'short', decimals: 0, steps: UP, trend: true, query: [sum(of('agent_up')), 'up'],
      }),
      figure({
        title: 'Quality gates failed', description: 'Decisions of quality gates in the time shown that were negative.', empty: GATE, more: 'quality',
        width: 4, unit: 'short', decimals: 0, steps: FEW, query: [sum(all(of('quality_gates_total', { result: 'failure' }))), 'failed'],
      }),
      figure({
        title: 'Alerts that fire', description: 'Alerts of Observatory that fire now.', more: 'alerts',
        width: 4, unit: 'short', decimals: 0, steps: NONE, trend: true, query: [sum(of('observatory_alerts', { status: 'firing' })), 'firing'],
      }),
    ],
    ['Health',
      bands({
        title: 'Where there was trouble',
        description: 'A band is red where, within about ten minutes, a build of a main branch or a deployment to production failed, a gate said no, an agent was down, an alert fired, or Observatory could not write.',
        empty: 'events of the kind have come; the bands of alerts and of Observatory itself are there at once',
        width: 24, height: 9, unit: 'none', interval: '10m',
        mappings: [words({ 0: ['well', COLOR.good], 1: ['trouble', COLOR.bad] })],
        queries: [
          [trouble(of('ci_builds_total', { branch: 'main', result: 'failure' })), 'Builds of main'],
          [trouble(of('deployments_total', { environment: PROD, result: 'failure' })), 'Production'],
          [trouble(of('quality_gates_total', { result: 'failure' })), 'Quality gates'],
          [`${sum(`${of('agent_up')} == bool 0`)} > bool 0`, 'Agents'],
          [`${sum(of('observatory_alerts', { status: 'firing' }))} > bool 0`, 'Alerts'],
          [`min(${of('observatory_store_writable')}) == bool 0`, 'Observatory'],
        ],
      }),
    ],
    ['What happens',
      chart({
        title: 'Builds by result', description: 'CI builds that ended, by how.', empty: BUILD, more: 'ci',
        width: 8, unit: 'short', bars: true, outcomes: RESULTS, interval: RARE, queries: [[outcomes('ci_builds_total'), '{{result}}']],
      }),
      chart({
        title: 'Requests to agents', description: 'Requests that agents answered, by how.', empty: 'an agent has answered a request', more: 'agents',
        width: 8, unit: 'short', bars: true, outcomes: RESULTS, interval: RARE, queries: [[count({ metric: 'agent_request_duration_seconds', over: each, by: ['result'] }), '{{result}}']],
      }),
      chart({
        title: 'Events', description: 'Events per second that were accepted, and that came a second time and were not counted again.', more: 'internals',
        width: 8, unit: 'cps', queries: [
          [sum(rate(of('observatory_events_received_total'))), 'accepted'],
          [sum(rate(of('observatory_events_duplicate_total'))), 'duplicates'],
        ],
      }),
    ],
    ['Who',
      rows({
        title: 'Projects', description: 'Per project: builds in the time shown and how many of them succeeded, the last good build of the main branch, coverage and score.', empty: BUILD, more: 'ci',
        width: 14, height: 10, unit: 'short', order: 'Builds',
        labels: [['project', { name: 'Project' }]],
        queries: [
          [sum(all(of('ci_builds_total')), 'project'), { name: 'Builds', decimals: 0, width: 80 }],
          [successes('ci_builds_total', {}, all, 'project'), { name: 'Succeed', unit: 'percentunit', decimals: 0, steps: MOST, bar: 1 }],
          [`${max(of('ci_last_success_timestamp_seconds', { branch: 'main' }), 'project')} * 1000`, { name: 'Last good main', unit: 'dateTimeFromNow' }],
          [max(of('coverage_ratio', { kind: 'line' }), 'project'), { name: 'Coverage', unit: 'percentunit', decimals: 1, width: 90 }],
          [max(of('quality_score_ratio', { metric: 'overall' }), 'project'), { name: 'Score', unit: 'percentunit', decimals: 1, width: 80 }],
        ],
      }),
      rows({
        title: 'Deployed last', description: 'Per service and environment: the version of the last deployment, how it ended, and when.', empty: DEPLOYMENT, more: 'deployments',
        width: 10, height: 10, unit: 'short', order: 'When',
        labels: [['service', { name: 'Service' }], ['environment', { name: 'Environment' }], ['version', { name: 'Version' }], ['result', { name: 'Result', mappings: RESULT_WORDS }]],
        queries: [[`${max(of('deployment_last_completed_timestamp_seconds'), 'service', 'environment', 'version', 'result')} * 1000`, { name: 'When', unit: 'dateTimeFromNow' }]],
      }),
    ],
    ['Who fails',
      rows({
        title: 'Agents', description: 'Per agent: whether it is up, when it was last heard of, and how many of its requests in the time shown failed.', empty: AGENT, more: 'agents',
        width: 24, height: 8, unit: 'short', order: 'Fail',
        labels: [['agent', { name: 'Agent' }]],
        queries: [
          [max(of('agent_up'), 'agent'), { name: 'State', mappings: [words({ 0: ['down', COLOR.bad], 1: ['up', COLOR.good] })], steps: UP }],
          [`${max(of('agent_last_seen_timestamp_seconds'), 'agent')} * 1000`, { name: 'Last seen', unit: 'dateTimeFromNow' }],
          [count({ metric: 'agent_request_duration_seconds', over: all, by: ['agent'] }), { name: 'Requests', decimals: 0 }],
          [`${count({ metric: 'agent_request_duration_seconds', matchers: { result: 'failure' }, over: all, by: ['agent'] })} / (${count({ metric: 'agent_request_duration_seconds', over: all, by: ['agent'] })} > 0)`, { name: 'Fail', unit: 'percentunit', decimals: 1, steps: LEAST }],
        ],
      }),
    ],
  ],
};
