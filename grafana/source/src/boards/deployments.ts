// Deployments, and what of the DORA metrics they carry.
import { filter, type Board } from '../kit/board';
import { chart, figure, rows, spread } from '../kit/panels';
import { all, chosen, each, max, of, quantile, sum } from '../kit/promql';
import { COLOR, NONE, type Steps } from '../kit/theme';
import { DEPLOYMENT, failures, outcomes, PRODUCTION, RARE, RESULT_WORDS, RESULTS, successes } from './common';

const SERVICE = { service: chosen('service') };
const WHERE = { ...SERVICE, environment: chosen('environment') };
const PROD = { ...SERVICE, environment: ['=~', 'prod.*'] } as const;
const COMMIT = 'a successful deployment to production has ended that says when its commit was made (`commit_time`)';
const RESTORED = 'a deployment has failed and the next one of the same service and environment has succeeded';
const DAY = 86400;
// What the yearly reports on DevOps call good, and what not.
const LEAD: Steps = [COLOR.good, [DAY, COLOR.warn], [7 * DAY, COLOR.bad]];
const RESTORE: Steps = [COLOR.good, [3600, COLOR.warn], [DAY, COLOR.bad]];
const FAILED: Steps = [COLOR.good, [0.15, COLOR.warn], [0.3, COLOR.bad]];
const day = (selector: string) => `increase(${selector}[1d])`;

export const deployments: Board = {
  name: 'deployments',
  title: 'Observatory / Deployments',
  description: 'What is deployed where, and four of the five DORA metrics. The fifth, rework, is not there: no event says that a deployment only repairs another.',
  range: '7d',
  deployments: true,
  filters: [
    filter('service', 'Service', 'deployments_total', 'Services that were deployed.'),
    filter('environment', 'Environment', 'deployments_total', 'Where to. The four DORA figures are about environments that begin with `prod`, whatever is chosen.'),
  ],
  rows: [
    ['DORA, production',
      figure({
        title: 'Deployment frequency', description: 'Successful deployments to production per day, in the mean of the time shown.', empty: PRODUCTION,
        width: 4, unit: 'short', decimals: 1, query: [`${sum(all(of('deployments_total', { ...PROD, result: 'success' })))} * ${DAY} / $__range_s`, 'per day'],
      }),
      figure({
        title: 'Lead time for changes', description: 'The median time from a commit to its successful deployment to production, of the deployments in the time shown.', empty: COMMIT,
        width: 4, unit: 's', decimals: 1, steps: LEAD, query: [quantile(0.5, { metric: 'deployment_lead_time_seconds', matchers: SERVICE, over: all }), 'p50'],
      }),
      figure({
        title: 'Change failure rate', description: 'Of the deployments to production that succeeded or failed in the time shown, those that failed.', empty: PRODUCTION,
        width: 4, unit: 'percentunit', decimals: 1, steps: FAILED, query: [failures('deployments_total', PROD), 'failed'],
      }),
      figure({
        title: 'Time to restore', description: 'The median time from a failed deployment to production to the next successful one of the same service, of what was restored in the time shown.', empty: RESTORED,
        width: 4, unit: 's', decimals: 1, steps: RESTORE, query: [quantile(0.5, { metric: 'deployment_restore_duration_seconds', matchers: PROD, over: all }), 'p50'],
      }),
      figure({
        title: 'Broken now', description: 'Services in an environment whose last decided deployment failed.', empty: 'a deployment has failed',
        width: 4, unit: 'short', decimals: 0, steps: NONE, trend: true, query: [sum(of('deployment_restore_in_flight', WHERE)), 'broken'],
      }),
      figure({
        title: 'Running', description: 'Deployments that have started and not ended.', empty: 'a `deployment_started` event has come',
        width: 4, unit: 'short', decimals: 0, trend: true, query: [sum(of('deployment_in_flight', WHERE)), 'running'],
      }),
    ],
    ['What is where',
      rows({
        title: 'Deployed last', description: 'Per service and environment: the version of the last deployment, how it ended, and when.', empty: DEPLOYMENT,
        width: 14, height: 10, unit: 'short', order: 'When',
        labels: [['service', { name: 'Service' }], ['environment', { name: 'Environment' }], ['version', { name: 'Version' }], ['result', { name: 'Result', mappings: RESULT_WORDS }]],
        queries: [[`${max(of('deployment_last_completed_timestamp_seconds', WHERE), 'service', 'environment', 'version', 'result')} * 1000`, { name: 'When', unit: 'dateTimeFromNow' }]],
      }),
      rows({
        title: 'Services', description: 'Per service and environment: deployments in the time shown, how many succeeded, and the last that did.', empty: DEPLOYMENT,
        width: 10, height: 10, unit: 'short', order: 'Deployments',
        labels: [['service', { name: 'Service' }], ['environment', { name: 'Environment' }]],
        queries: [
          [sum(all(of('deployments_total', WHERE)), 'service', 'environment'), { name: 'Deployments', decimals: 0 }],
          [successes('deployments_total', WHERE, all, 'service', 'environment'), { name: 'Succeed', unit: 'percentunit', decimals: 0 }],
          [`${max(of('deployment_last_success_timestamp_seconds', WHERE), 'service', 'environment')} * 1000`, { name: 'Last good', unit: 'dateTimeFromNow' }],
        ],
      }),
    ],
    ['How they go',
      chart({
        title: 'Deployments by result', description: 'Deployments that ended, by how.', empty: DEPLOYMENT,
        width: 12, unit: 'short', bars: true, outcomes: RESULTS, interval: RARE, queries: [[outcomes('deployments_total', WHERE), '{{result}}']],
      }),
      chart({
        title: 'Change failure rate, by service', description: 'Of the deployments to production within a day, those that failed.', empty: PRODUCTION,
        width: 12, unit: 'percentunit', max: 1, interval: '1h', queries: [[failures('deployments_total', PROD, day, 'service'), '{{service}}']],
      }),
      chart({
        title: 'Slow deployments', description: '19 of 20 deployments within a day took less, from start to end.', empty: 'a deployment has ended that says how long it took, or whose start had come',
        width: 12, unit: 's', interval: '1h', queries: [[quantile(0.95, { metric: 'deployment_duration_seconds', matchers: WHERE, over: day, by: ['service'] }), '{{service}}']],
      }),
      chart({
        title: 'Broken, by service', description: 'Environments of a service whose last decided deployment failed.', empty: 'a deployment has failed',
        width: 12, unit: 'short', queries: [[sum(of('deployment_restore_in_flight', WHERE), 'service'), '{{service}}']],
      }),
    ],
    ['Lead time and restoring',
      chart({
        title: 'Lead time, by service', description: 'The median time from a commit to production, of the deployments within a day.', empty: COMMIT,
        width: 8, unit: 's', interval: '1h', queries: [[quantile(0.5, { metric: 'deployment_lead_time_seconds', matchers: SERVICE, over: day, by: ['service'] }), '{{service}}']],
      }),
      spread({
        title: 'How long changes wait', description: 'The lead times of deployments to production: the darker, the more.', empty: COMMIT,
        width: 8, unit: 's', interval: '1h', query: `${sum(each(of('deployment_lead_time_seconds_bucket', SERVICE)), 'le')} or ${sum(each(of('deployment_lead_time_seconds', SERVICE)))}`,
      }),
      chart({
        title: 'Time to restore, by service', description: 'The median time from a failed deployment to the next successful one of the same service and environment, of those within a day.', empty: RESTORED,
        width: 8, unit: 's', interval: '1h', queries: [[quantile(0.5, { metric: 'deployment_restore_duration_seconds', matchers: WHERE, over: day, by: ['service'] }), '{{service}}']],
      }),
    ],
  ],
};
