// What batch jobs push: whose group is old, whose push was refused.
import type { Board, Exclusion } from '../kit/board';
import { chart, figure, rows } from '../kit/panels';
import { each, max, of, pushed, rate, sum } from '../kit/promql';
import { COLOR, FEW, NONE, words, type Steps } from '../kit/theme';

const PUSH = 'something was pushed';
const HOUR = 3600;
const OLD: Steps = [COLOR.good, [2 * HOUR, COLOR.warn], [26 * HOUR, COLOR.bad]];
const OURS = 'The job and the instance of a pushed series are those of whoever pushed it, and it may have no instance.';

/** Both rules that want the labels of the server, for the panels about what was pushed. */
function exclusions(...panels: string[]): Exclusion[] {
  return panels.flatMap((panel) => ['target-job-rule', 'target-instance-rule'].map((rule) => ({ rule, panel, reason: OURS })));
}

export const pushedJobs: Board = {
  name: 'pushed-jobs',
  title: 'Observatory / Pushed jobs',
  description: 'What batch jobs push, as to a Pushgateway: which jobs have not pushed for long, whose pushes were refused, how many series they keep.',
  range: '24h',
  deployments: false,
  filters: [{
    name: 'pushed_job', label: 'Pushed job', query: 'label_values(push_time_seconds, job)',
    description: 'The jobs that push. If this is empty although something was pushed, Prometheus scrapes without honor_labels.',
  }],
  exclusions: exclusions('Longest since a push', 'Groups', 'Since the last push'),
  rows: [
    ['',
      figure({
        title: 'Groups kept', description: 'Groups of pushed metrics, each pushed by one job.',
        width: 4, unit: 'short', decimals: 0, trend: true, query: [sum(of('observatory_push_groups')), 'groups'],
      }),
      figure({
        title: 'Series', description: 'Series of all groups. A histogram or summary is one.',
        width: 4, unit: 'short', decimals: 0, trend: true, query: [sum(of('observatory_push_series')), 'series'],
      }),
      figure({
        title: 'Groups refused', description: 'Groups whose last push was rejected.',
        width: 4, unit: 'short', decimals: 0, steps: NONE, trend: true, query: [sum(of('observatory_push_failed_groups')), 'refused'],
      }),
      figure({
        title: 'Longest since a push', description: 'The age of the group that was not pushed to for longest: a job that should have run, or one that is no more.', empty: PUSH,
        width: 4, unit: 's', decimals: 0, steps: OLD, trend: true, query: [max(`time() - ${pushed('push_time_seconds')}`), 'age'],
      }),
      figure({
        title: 'Expired', description: 'Groups whose metrics went in the time shown because no push came within their TTL.',
        width: 4, unit: 'short', decimals: 0, query: [sum(`increase(${of('observatory_push_groups_expired_total')}[$__range])`), 'expired'],
      }),
      figure({
        title: 'Series left out', description: 'Pushed series that the last scrape left out so that the page stays valid: somebody sees less than they pushed.',
        width: 4, unit: 'short', decimals: 0, steps: NONE, trend: true, query: [sum(of('observatory_scrape_dropped_series')), 'left out'],
      }),
    ],
    ['Jobs',
      rows({
        title: 'Groups', description: 'Per group: when a push was last taken, and last rejected.', empty: PUSH,
        width: 14, height: 10, unit: 'short', order: 'Last push', ascending: true,
        labels: [['job', { name: 'Job' }], ['instance', { name: 'Instance' }]],
        queries: [
          [`${max(pushed('push_time_seconds'), 'job', 'instance')} * 1000`, { name: 'Last push', unit: 'dateTimeFromNow' }],
          [`${max(pushed('push_failure_time_seconds'), 'job', 'instance')} * 1000`, { name: 'Last refused', unit: 'dateTimeFromNow', mappings: [words({ 0: ['never', COLOR.muted] })] }],
        ],
      }),
      chart({
        title: 'Since the last push', description: 'The age of the oldest group of each job. A saw is a job that runs; a line that goes up is one that does not.', empty: PUSH,
        width: 10, height: 10, unit: 's', queries: [[max(`time() - ${pushed('push_time_seconds')}`, 'job'), '{{job}}']],
      }),
    ],
    ['Pushes',
      chart({
        title: 'Pushes by result', description: 'Pushes and deletions: stored, repeated (a retry that changed nothing), rejected, deleted.',
        width: 8, unit: 'short', bars: true, interval: '5m', outcomes: ['stored', 'repeated', 'rejected', 'deleted'], queries: [[sum(each(of('observatory_push_requests_total')), 'result'), '{{result}}']],
      }),
      chart({
        title: 'How long pushes take', description: 'Half, and nine of ten of the last 1024 pushes, took less.', empty: PUSH,
        width: 8, unit: 's', queries: [
          [max(of('pushgateway_http_push_duration_seconds', { quantile: '0.5' }), 'method'), '{{method}} half'],
          [max(of('pushgateway_http_push_duration_seconds', { quantile: '0.9' }), 'method'), '{{method}} 9 of 10'],
        ],
      }),
      chart({
        title: 'How large pushes are', description: 'Half, and nine of ten of the last 1024 pushes, were smaller.', empty: PUSH,
        width: 8, unit: 'bytes', queries: [
          [max(of('pushgateway_http_push_size_bytes', { quantile: '0.5' }), 'method'), '{{method}} half'],
          [max(of('pushgateway_http_push_size_bytes', { quantile: '0.9' }), 'method'), '{{method}} 9 of 10'],
        ],
      }),
      chart({
        title: 'Requests by answer', description: 'Requests per second to the paths of the Pushgateway.',
        width: 8, unit: 'reqps', queries: [[sum(rate(of('pushgateway_http_requests_total')), 'handler', 'code'), '{{handler}} {{code}}']],
      }),
      chart({
        title: 'Over a limit', description: 'Pushes that were refused because their job would have had more groups, series or bytes than it may.',
        width: 8, unit: 'short', bars: true, interval: '5m', queries: [[sum(each(of('observatory_push_over_limit_total')), 'limit'), '{{limit}}']],
      }),
      chart({
        title: 'Left out of scrapes', description: 'Pushed series that the last scrape left out, by why.',
        width: 8, unit: 'short', queries: [[sum(of('observatory_scrape_dropped_series'), 'reason'), '{{reason}}']],
      }),
    ],
    ['Keys',
      chart({
        title: 'Idempotency keys', description: 'Keys of pushes that are remembered, so that a retry counts once.',
        width: 12, height: 6, unit: 'short', queries: [[sum(of('observatory_push_idempotency_keys')), 'keys']],
      }),
      chart({
        title: 'Groups and their series', description: 'How many groups and series are kept, and groups whose last push was rejected.',
        width: 12, height: 6, unit: 'short', steps: FEW, queries: [
          [sum(of('observatory_push_groups')), 'groups'],
          [sum(of('observatory_push_series')), 'series'],
          [sum(of('observatory_push_failed_groups')), 'refused'],
        ],
      }),
    ],
  ],
};
