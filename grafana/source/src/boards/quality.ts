// Quality: scores, coverage, gates, checks, health.
import { filter, type Board } from '../kit/board';
import { chart, figure, ranking, rows } from '../kit/panels';
import { all, each, max, of, quantile, ratio, sum } from '../kit/promql';
import { COLOR, FEW, MOST, type Steps } from '../kit/theme';
import { GATE, outcomes, PROJECT, RARE, RESULTS, successes } from './common';

const SCORE = 'a `quality_score_updated` event, or a `quality_check_completed` one with a score, has come';
const COVERAGE = 'a `coverage_updated` event has come';
const CHECK = 'a `quality_check_completed` event has come';
const HEALTH = 'a `health_check_completed` event has come';
const GOOD: Steps = [COLOR.bad, [0.6, COLOR.warn], [0.8, COLOR.good]];
const OVERALL = { ...PROJECT, metric: 'overall' };
const LINES = { ...PROJECT, kind: 'line' };

export const quality: Board = {
  name: 'quality',
  title: 'Observatory / Quality',
  description: 'Scores and coverage and how they drift, quality gates and checks, health checks.',
  range: '7d',
  deployments: true,
  filters: [filter('project', 'Project', 'quality_gates_total', 'Projects that quality gates decided about.')],
  rows: [
    ['',
      figure({
        title: 'Score', description: 'The mean of the last quality scores of the projects.', empty: SCORE,
        width: 4, unit: 'percentunit', decimals: 1, steps: GOOD, trend: true, query: [`avg(${of('quality_score_ratio', OVERALL)})`, 'score'],
      }),
      figure({
        title: 'Coverage', description: 'The mean of the last line coverages of the projects.', empty: COVERAGE,
        width: 4, unit: 'percentunit', decimals: 1, steps: GOOD, trend: true, query: [`avg(${of('coverage_ratio', LINES)})`, 'coverage'],
      }),
      figure({
        title: 'Gates that pass', description: 'Of the decisions of quality gates in the time shown, the positive ones.', empty: GATE,
        width: 4, unit: 'percentunit', decimals: 1, steps: MOST, query: [successes('quality_gates_total', PROJECT), 'passed'],
      }),
      figure({
        title: 'Gates failed', description: 'Decisions of quality gates in the time shown that were negative.', empty: GATE,
        width: 4, unit: 'short', decimals: 0, steps: FEW, query: [sum(all(of('quality_gates_total', { ...PROJECT, result: 'failure' }))), 'failed'],
      }),
      figure({
        title: 'Checks that succeed', description: 'Of the quality checks in the time shown, those that succeeded.', empty: CHECK,
        width: 4, unit: 'percentunit', decimals: 1, steps: MOST, query: [successes('quality_checks_total', PROJECT), 'success'],
      }),
      figure({
        title: 'Health checks that succeed', description: 'Of the health checks in the time shown, those that were answered with a status below 400.', empty: HEALTH,
        width: 4, unit: 'percentunit', decimals: 1, steps: MOST, query: [ratio(sum(all(of('health_checks_total', { status: ['=~', '[123]xx'] }))), sum(all(of('health_checks_total')))), 'success'],
      }),
    ],
    ['How it drifts',
      chart({
        title: 'Score, by project', description: 'The last quality score of each project.', empty: SCORE,
        width: 12, unit: 'percentunit', max: 1, queries: [[max(of('quality_score_ratio', OVERALL), 'project'), '{{project}}']],
      }),
      chart({
        title: 'Coverage, by project', description: 'The last line coverage of each project.', empty: COVERAGE,
        width: 12, unit: 'percentunit', max: 1, queries: [[max(of('coverage_ratio', LINES), 'project'), '{{project}}']],
      }),
      rows({
        title: 'Projects', description: 'Per project: score and coverage now, and by how much they changed in the time shown.', empty: SCORE,
        width: 14, unit: 'short', order: 'Score', ascending: true,
        labels: [['project', { name: 'Project' }]],
        queries: [
          [max(of('quality_score_ratio', OVERALL), 'project'), { name: 'Score', unit: 'percentunit', decimals: 1, steps: GOOD, bar: 1 }],
          [max(`delta(${of('quality_score_ratio', OVERALL)}[$__range])`, 'project'), { name: 'Score since', unit: 'percentunit', decimals: 1 }],
          [max(of('coverage_ratio', LINES), 'project'), { name: 'Coverage', unit: 'percentunit', decimals: 1, steps: GOOD, bar: 1 }],
          [max(`delta(${of('coverage_ratio', LINES)}[$__range])`, 'project'), { name: 'Coverage since', unit: 'percentunit', decimals: 1 }],
        ],
      }),
      ranking({
        title: 'Single gates that pass', description: 'Of the gates within quality checks in the time shown, those that passed, by project.', empty: 'a `quality_check_completed` event with `gates_passed` or `gates_failed` has come',
        width: 10, unit: 'percentunit', decimals: 1, max: 1, steps: MOST, query: [successes('quality_gate_checks_total', PROJECT, all, 'project'), '{{project}}'],
      }),
    ],
    ['Gates and checks',
      chart({
        title: 'Gates by result', description: 'Decisions of quality gates.', empty: GATE,
        width: 8, unit: 'short', bars: true, outcomes: RESULTS, interval: RARE, queries: [[outcomes('quality_gates_total', PROJECT), '{{result}}']],
      }),
      rows({
        title: 'Gates', description: 'Per project and gate: how many decisions of the time shown were negative.', empty: GATE,
        width: 8, unit: 'short', order: 'Failed',
        labels: [['project', { name: 'Project' }], ['gate', { name: 'Gate' }]],
        queries: [
          [sum(all(of('quality_gates_total', { ...PROJECT, result: 'failure' })), 'project', 'gate'), { name: 'Failed', decimals: 0, steps: FEW }],
          [sum(all(of('quality_gates_total', PROJECT)), 'project', 'gate'), { name: 'Decisions', decimals: 0 }],
        ],
      }),
      chart({
        title: 'Checks by result', description: 'Quality checks that ended.', empty: CHECK,
        width: 8, unit: 'short', bars: true, outcomes: RESULTS, interval: RARE, queries: [[outcomes('quality_checks_total', PROJECT), '{{result}}']],
      }),
    ],
    ['Health checks',
      chart({
        title: 'Health checks by status', description: 'Health checks, by the class of the status that was answered.', empty: HEALTH,
        width: 12, unit: 'short', bars: true, outcomes: ['2xx', '3xx', '4xx', '5xx'], interval: RARE, queries: [[sum(each(of('health_checks_total')), 'status'), '{{status}}']],
      }),
      chart({
        title: 'Slow answers, by endpoint', description: '19 of 20 health checks were answered in less.', empty: 'a `health_check_completed` event with a response time has come',
        width: 12, unit: 's', interval: RARE, queries: [[quantile(0.95, { metric: 'health_check_duration_seconds', over: each, by: ['endpoint'] }), '{{endpoint}}']],
      }),
    ],
  ],
};
