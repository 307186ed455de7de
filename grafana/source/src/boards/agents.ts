// Agents: who is there, what they do, what fails.
import { filter, type Board } from '../kit/board';
import { chart, figure, ranking, rows, spread } from '../kit/panels';
import { all, buckets, chosen, count, each, max, of, quantile, rate, ratio, sum } from '../kit/promql';
import { COLOR, FEW, LEAST, NONE, UP, words } from '../kit/theme';
import { AGENT, RARE } from './common';

const WHO = { agent: chosen('agent') };
const REQUEST = 'an agent has answered a request';
const ANSWERED = { metric: 'agent_request_duration_seconds', matchers: WHO };
const FAILED = { metric: 'agent_request_duration_seconds', matchers: { ...WHO, result: 'failure' } };

export const agents: Board = {
  name: 'agents',
  title: 'Observatory / Agents',
  description: 'Agents: who is up and who is silent, requests and how they end, errors, tokens, and who works with whom.',
  range: '6h',
  deployments: true,
  filters: [filter('agent', 'Agent', 'agent_last_seen_timestamp_seconds', 'Agents that were heard of within a week.')],
  rows: [
    ['',
      figure({
        title: 'Heard of', description: 'Agents that were heard of within a week.', empty: AGENT,
        width: 4, unit: 'short', decimals: 0, trend: true, query: [`count(${of('agent_last_seen_timestamp_seconds', WHO)})`, 'agents'],
      }),
      figure({
        title: 'Up', description: 'Agents that registered and have not reported a fatal error since.', empty: 'an agent has registered',
        width: 4, unit: 'short', decimals: 0, steps: UP, trend: true, query: [sum(of('agent_up', WHO)), 'up'],
      }),
      figure({
        title: 'Silent', description: 'Agents that have sent nothing for 15 minutes.', empty: AGENT,
        width: 4, unit: 'short', decimals: 0, steps: FEW, trend: true, query: [sum(`time() - ${of('agent_last_seen_timestamp_seconds', WHO)} > bool 900`), 'silent'],
      }),
      figure({
        title: 'Requests that fail', description: 'Of the requests that were answered in the time shown, those that failed.', empty: REQUEST,
        width: 4, unit: 'percentunit', decimals: 1, steps: LEAST, query: [ratio(count({ ...FAILED, over: all }), count({ ...ANSWERED, over: all })), 'failed'],
      }),
      figure({
        title: '19 of 20 take less than', description: 'The 95th percentile of the time that requests took, in the time shown.', empty: REQUEST,
        width: 4, unit: 's', decimals: 1, query: [quantile(0.95, { ...ANSWERED, over: all }), 'p95'],
      }),
      figure({
        title: 'Stuck', description: 'Requests that have been open for more than ten minutes.', empty: 'an `agent_request_started` event has come',
        width: 4, unit: 'short', decimals: 0, steps: NONE, trend: true, query: [sum(of('agent_request_stuck', WHO)), 'stuck'],
      }),
    ],
    ['Requests',
      chart({
        title: 'Requests, by agent', description: 'Requests per second that were answered.', empty: REQUEST,
        width: 8, unit: 'reqps', queries: [[count({ ...ANSWERED, over: rate, by: ['agent'] }), '{{agent}}']],
      }),
      chart({
        title: 'Requests that fail, by agent', description: 'Of the requests that were answered, those that failed.', empty: REQUEST,
        width: 8, unit: 'percentunit', max: 1, interval: RARE, queries: [[ratio(count({ ...FAILED, over: each, by: ['agent'] }), count({ ...ANSWERED, over: each, by: ['agent'] })), '{{agent}}']],
      }),
      chart({
        title: 'Slow requests, by agent', description: '19 of 20 requests took less.', empty: REQUEST,
        width: 8, unit: 's', interval: RARE, exemplars: true, queries: [[quantile(0.95, { ...ANSWERED, over: rate, by: ['agent'] }), '{{agent}}']],
      }),
      spread({
        title: 'How long requests take', description: 'The time that requests took: the darker, the more.', empty: REQUEST,
        width: 12, unit: 's', interval: RARE, query: buckets({ ...ANSWERED, over: each }),
      }),
      chart({
        title: 'Requests in work', description: 'Requests that have started and not ended.', empty: 'an `agent_request_started` event has come',
        width: 12, unit: 'short', queries: [[sum(of('agent_request_in_flight', WHO), 'agent'), '{{agent}}']],
      }),
    ],
    ['Errors and tokens',
      chart({
        title: 'Errors by kind', description: 'What agents reported as errors.', empty: 'an `agent_error` event has come',
        width: 8, unit: 'short', bars: true, interval: RARE, queries: [[sum(each(of('agent_errors_total', WHO)), 'kind'), '{{kind}}']],
      }),
      ranking({
        title: 'Err most', description: 'Errors in the time shown, by agent and severity.', empty: 'an `agent_error` event has come',
        width: 8, unit: 'short', decimals: 0, steps: FEW, query: [`topk(10, ${sum(all(of('agent_errors_total', WHO)), 'agent', 'severity')})`, '{{agent}} {{severity}}'],
      }),
      chart({
        title: 'Tokens', description: 'Tokens per second that models read (input) and wrote (output) for the agents.', empty: 'a request has ended that says how many tokens it took',
        width: 8, unit: 'cps', queries: [[sum(rate(of('agent_tokens_total', WHO)), 'direction'), '{{direction}}']],
      }),
    ],
    ['Who, and with whom',
      rows({
        title: 'Agents', description: 'Per agent: what it is, whether it is up, and when it was last heard of.', empty: 'an agent has registered',
        width: 14, height: 10, unit: 'short', order: 'Last seen',
        labels: [['agent', { name: 'Agent' }], ['type', { name: 'Type' }], ['version', { name: 'Version' }]],
        queries: [
          [`${max(of('agent_info', WHO), 'agent', 'type', 'version')} * on (agent) group_left () ${max(of('agent_up', WHO), 'agent')}`, { name: 'State', mappings: [words({ 0: ['down', COLOR.bad], 1: ['up', COLOR.good] })], steps: UP }],
          [`${max(of('agent_info', WHO), 'agent', 'type', 'version')} * on (agent) group_left () ${max(of('agent_last_seen_timestamp_seconds', WHO), 'agent')} * 1000`, { name: 'Last seen', unit: 'dateTimeFromNow' }],
        ],
      }),
      rows({
        title: 'Who works with whom', description: 'How often one agent turned to another in the time shown, the twenty most frequent.', empty: 'an `agent_collaboration` event has come',
        width: 10, height: 10, unit: 'short', order: 'Times',
        labels: [['from', { name: 'From' }], ['to', { name: 'To' }]],
        queries: [[`topk(20, ${sum(all(of('agent_collaborations_total')), 'from', 'to')})`, { name: 'Times', decimals: 0 }]],
      }),
    ],
  ],
};
