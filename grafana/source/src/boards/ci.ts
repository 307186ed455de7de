// Builds and tests.
import { filter, type Board } from '../kit/board';
import { chart, figure, ranking, rows, spread } from '../kit/panels';
import { all, chosen, each, max, of, quantile, ratio, sum } from '../kit/promql';
import { LEAST, MOST, NONE, FEW } from '../kit/theme';
import { BUILD, failures, outcomes, PROJECT, RARE, RESULTS, successes } from './common';

const TESTS = 'a `ci_tests_completed` event has come';
const TIMED = 'a build has ended that says how long it took, or whose start had come';
const BRANCH = { ...PROJECT, branch: chosen('branch') };

export const ci: Board = {
  name: 'ci',
  title: 'Observatory / CI',
  description: 'Builds, workflows and tests: how many, how they end, how long they take, which projects fail.',
  range: '24h',
  deployments: true,
  filters: [
    filter('project', 'Project', 'ci_builds_total', 'Projects that were built.'),
    filter('branch', 'Branch', 'ci_builds_total', 'main, release or other. Durations, tests and what runs are not told apart by branch.'),
  ],
  rows: [
    ['',
      figure({
        title: 'Builds', description: 'Builds and workflows that ended in the time shown.', empty: BUILD,
        width: 4, unit: 'short', decimals: 0, query: [sum(all(of('ci_builds_total', BRANCH))), 'builds'],
      }),
      figure({
        title: 'Succeed', description: 'Of the builds that succeeded or failed, those that succeeded. Cancelled ones do not count.', empty: BUILD,
        width: 4, unit: 'percentunit', decimals: 1, steps: MOST, query: [successes('ci_builds_total', BRANCH), 'success'],
      }),
      figure({
        title: 'Half take less than', description: 'The median duration of builds that ended in the time shown, of all branches.', empty: TIMED,
        width: 4, unit: 's', decimals: 0, query: [quantile(0.5, { metric: 'ci_build_duration_seconds', matchers: PROJECT, over: all }), 'p50'],
      }),
      figure({
        title: '19 of 20 take less than', description: 'The 95th percentile of the durations of builds that ended in the time shown, of all branches.', empty: TIMED,
        width: 4, unit: 's', decimals: 0, query: [quantile(0.95, { metric: 'ci_build_duration_seconds', matchers: PROJECT, over: all }), 'p95'],
      }),
      figure({
        title: 'Running', description: 'Builds that have started and not ended.', empty: 'a `ci_build_started` event with a `build_id` has come',
        width: 4, unit: 'short', decimals: 0, trend: true, query: [sum(of('ci_build_in_flight', PROJECT)), 'running'],
      }),
      figure({
        title: 'Stuck', description: 'Builds that have been running for more than two hours.', empty: 'a `ci_build_started` event with a `build_id` has come',
        width: 4, unit: 'short', decimals: 0, steps: NONE, trend: true, query: [sum(of('ci_build_stuck', PROJECT)), 'stuck'],
      }),
    ],
    ['Builds',
      chart({
        title: 'Builds by result', description: 'Builds that ended, by how.', empty: BUILD,
        width: 12, unit: 'short', bars: true, outcomes: RESULTS, interval: RARE, queries: [[outcomes('ci_builds_total', BRANCH), '{{result}}']],
      }),
      chart({
        title: 'Succeed, by project', description: 'Of the builds within an hour, those that succeeded. A gap: there was none.', empty: BUILD,
        width: 12, unit: 'percentunit', max: 1, interval: '15m',
        queries: [[successes('ci_builds_total', BRANCH, (it) => `increase(${it}[1h])`, 'project'), '{{project}}']],
      }),
      ranking({
        title: 'Fail most', description: 'The ten projects with most failed builds in the time shown.', empty: BUILD,
        width: 8, unit: 'short', decimals: 0, steps: FEW, query: [`topk(10, ${sum(all(of('ci_builds_total', { ...BRANCH, result: 'failure' })), 'project')})`, '{{project}}'],
      }),
      rows({
        title: 'Branches', description: 'Per project and branch: builds in the time shown, how many failed, and the last good one.', empty: BUILD,
        width: 16, unit: 'short', order: 'Fail',
        labels: [['project', { name: 'Project' }], ['branch', { name: 'Branch' }]],
        queries: [
          [sum(all(of('ci_builds_total', BRANCH)), 'project', 'branch'), { name: 'Builds', decimals: 0 }],
          [failures('ci_builds_total', BRANCH, all, 'project', 'branch'), { name: 'Fail', unit: 'percentunit', decimals: 1, steps: LEAST }],
          [`${max(of('ci_last_success_timestamp_seconds', BRANCH), 'project', 'branch')} * 1000`, { name: 'Last good build', unit: 'dateTimeFromNow' }],
        ],
      }),
    ],
    ['Durations',
      chart({
        title: 'Median duration, by project', description: 'Half of the builds within an hour took less.', empty: TIMED,
        width: 8, unit: 's', interval: '15m', queries: [[quantile(0.5, { metric: 'ci_build_duration_seconds', matchers: PROJECT, over: (it) => `increase(${it}[1h])`, by: ['project'] }), '{{project}}']],
      }),
      chart({
        title: 'Slow builds, by project', description: '19 of 20 builds within an hour took less.', empty: TIMED,
        width: 8, unit: 's', interval: '15m', queries: [[quantile(0.95, { metric: 'ci_build_duration_seconds', matchers: PROJECT, over: (it) => `increase(${it}[1h])`, by: ['project'] }), '{{project}}']],
      }),
      spread({
        title: 'How long builds take', description: 'The durations of builds that ended: the darker, the more.', empty: TIMED,
        width: 8, unit: 's', interval: '15m', query: `${sum(each(of('ci_build_duration_seconds_bucket', PROJECT)), 'le')} or ${sum(each(of('ci_build_duration_seconds', PROJECT)))}`,
      }),
      chart({
        title: 'Builds that run', description: 'Builds that have started and not ended.', empty: 'a `ci_build_started` event with a `build_id` has come',
        width: 12, unit: 'short', queries: [[sum(of('ci_build_in_flight', PROJECT), 'project'), '{{project}}']],
      }),
      chart({
        title: 'Slow workflows', description: '19 of 20 runs of a workflow within an hour took less. A workflow is told by its project, name and pull request.', empty: 'a `ci_workflow_completed` event with a `workflow` has come',
        width: 12, unit: 's', interval: '15m', queries: [[quantile(0.95, { metric: 'ci_workflow_duration_seconds', matchers: PROJECT, over: (it) => `increase(${it}[1h])`, by: ['project', 'workflow'] }), '{{project}} {{workflow}}']],
      }),
    ],
    ['Tests',
      chart({
        title: 'Tests by outcome', description: 'Test cases that ran, by how they ended.', empty: TESTS,
        width: 8, unit: 'short', bars: true, outcomes: ['passed', 'failed', 'skipped'], interval: RARE, queries: [[sum(each(of('ci_tests_total', PROJECT)), 'outcome'), '{{outcome}}']],
      }),
      chart({
        title: 'Test runs with a failure', description: 'Of the test runs within an hour, those in which a test failed.', empty: TESTS,
        width: 8, unit: 'percentunit', max: 1, interval: '15m',
        queries: [[ratio(sum(`increase(${of('ci_test_runs_total', { ...PROJECT, result: 'failure' })}[1h])`, 'project'), sum(`increase(${of('ci_test_runs_total', PROJECT)}[1h])`, 'project')), '{{project}}']],
      }),
      chart({
        title: 'Slow test runs', description: '19 of 20 test runs within an hour took less.', empty: 'a `ci_tests_completed` event with a duration has come',
        width: 8, unit: 's', interval: '15m', queries: [[quantile(0.95, { metric: 'ci_tests_duration_seconds', matchers: PROJECT, over: (it) => `increase(${it}[1h])`, by: ['project'] }), '{{project}}']],
      }),
    ],
  ],
};
