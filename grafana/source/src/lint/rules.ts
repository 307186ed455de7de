// The rules of Grafana's dashboard-linter 0.2.0 that are about Prometheus, under their names. The other two are about LogQL.
// What it only warns of counts here as well. The linter changed its mind about capitals in labels; both ways are right here.
import * as units from '@grafana/grafana-foundation-sdk/units';
import { panels, variables, type Dashboard, type Exclusions, type Panel, type Target, type Variable } from './model';
import { isRateInterval, parse, type Selector } from './promql';

/** Something that a rule has against a board. */
export interface Finding { readonly rule: string; readonly dashboard: string; readonly panel?: string; readonly message: string }

interface Rule {
  readonly name: string;
  readonly board?: (board: Dashboard) => string[];
  readonly panel?: (panel: Panel, board: Dashboard) => string[];
  readonly target?: (target: Target, board: Dashboard) => string[];
}

const UNITS: ReadonlySet<unknown> = new Set(Object.values(units));
const OWN_SOURCE = new Set(['$datasource', '${datasource}']);
const QUERY_FUNCTIONS = ['label_names', 'label_values', 'metrics', 'query_result'];
/** Panels that show what they ask for. */
const ASKING = new Set(['stat', 'timeseries', 'gauge', 'table', 'bargauge', 'heatmap', 'state-timeline']);
const ON_TIME_CHANGE = 2;

function filterVariable(name: string): (board: Dashboard) => string[] {
  return (board) => {
    const it = variables(board).find((variable) => variable.name === name);
    if (it === undefined) return [`there is no variable ${name}`];
    return [
      ...(OWN_SOURCE.has(it.datasource?.uid ?? '') ? [] : [`${name} does not ask $datasource`]),
      ...(it.type === 'query' ? [] : [`${name} is no query`]),
      ...(it.label?.toLowerCase() === name ? [] : [`${name} is labelled ${it.label}`]),
      ...(it.multi === true ? [] : [`of ${name} several cannot be chosen`]),
      ...(it.allValue === '.+' ? [] : [`all of ${name} is ${it.allValue} rather than .+`]),
    ];
  };
}

function selectors(target: Target, board: Dashboard): readonly Selector[] {
  const parsed = parse(target.expr ?? '', variables(board));
  // What cannot be read is a finding of target-promql-rule.
  return 'selectors' in parsed ? parsed.selectors : [];
}

function matcher(label: string): (target: Target, board: Dashboard) => string[] {
  return (target, board) => selectors(target, board)
    .filter(({ matchers }) => !matchers.some((it) => it.label === label && it.operator === '=~' && it.value === `$${label}`))
    .map((it) => `${it.text} has no ${label}=~"$${label}"`);
}

function labelPromql(it: Variable): string[] {
  const [, name, inner] = /^([a-z_]+)\((.+)\)$/.exec(typeof it.query === 'string' ? it.query : '') ?? [];
  if (name === undefined || inner === undefined || !QUERY_FUNCTIONS.includes(name)) return [`${it.name} asks ${String(it.query)}`];
  const expr = name === 'label_values' ? inner.replace(/,\s*\w+$/, '') : inner;
  return [expr];
}

export const RULES: readonly Rule[] = [
  {
    name: 'template-datasource-rule',
    board: (board) => {
      const all = variables(board).filter((it) => it.type === 'datasource');
      if (all.length === 0) return ['there is no variable for the data source'];
      return all.flatMap((it) => [
        ...(it.name === 'datasource' ? [] : [`it is named ${it.name} rather than datasource`]),
        ...(it.label?.toLowerCase() === 'data source' ? [] : [`it is labelled ${it.label} rather than Data source`]),
        ...(it.query === 'prometheus' ? [] : [`it is of ${String(it.query)} rather than prometheus`]),
      ]);
    },
  },
  { name: 'template-job-rule', board: filterVariable('job') },
  { name: 'template-instance-rule', board: filterVariable('instance') },
  {
    name: 'template-label-promql-rule',
    board: (board) => variables(board).filter((it) => it.type === 'query').flatMap((it) => {
      const [expr] = labelPromql(it);
      const parsed = parse(expr ?? '', variables(board));
      return 'error' in parsed ? [`${it.name}: ${parsed.error}`] : [];
    }),
  },
  {
    name: 'template-on-time-change-reload-rule',
    board: (board) => variables(board).filter((it) => it.type === 'query' && it.refresh !== ON_TIME_CHANGE)
      .map((it) => `${it.name} is not asked again when the time changes`),
  },
  {
    name: 'panel-datasource-rule',
    panel: (panel) => [panel.datasource, ...(panel.targets ?? []).map((it) => it.datasource)]
      .filter((it) => !OWN_SOURCE.has(it?.uid ?? '')).map((it) => `it asks ${it?.uid}`),
  },
  {
    name: 'panel-title-description-rule',
    panel: ({ title, description }) => [
      ...((title ?? '').trim() === '' ? ['it has no title'] : []),
      ...((description ?? '').trim() === '' ? ['it has no description'] : []),
    ],
  },
  {
    name: 'panel-units-rule',
    panel: ({ type, fieldConfig }) => {
      if (!ASKING.has(type)) return [];
      const overridden = (fieldConfig?.overrides ?? []).flatMap((it) => it.properties ?? []).filter((it) => it.id === 'unit');
      const all = [fieldConfig?.defaults?.unit, ...overridden.map((it) => it.value)];
      return all.filter((it) => !UNITS.has(it)).map((it) => `${String(it)} is no unit`);
    },
  },
  {
    name: 'panel-no-targets-rule',
    panel: ({ type, targets }) => (ASKING.has(type) && (targets ?? []).length === 0 ? ['it asks nothing'] : []),
  },
  {
    name: 'target-promql-rule',
    target: (target, board) => {
      const parsed = parse(target.expr ?? '', variables(board));
      return 'error' in parsed ? [`${target.expr}: ${parsed.error}`] : [];
    },
  },
  {
    name: 'target-rate-interval-rule',
    target: (target, board) => selectors(target, board)
      .filter((it) => it.range !== undefined && (it.called === 'rate' || it.called === 'irate') && !isRateInterval(it.range))
      .map((it) => `the ${it.called} of ${it.text} is not over $__rate_interval`),
  },
  { name: 'target-job-rule', target: matcher('job') },
  { name: 'target-instance-rule', target: matcher('instance') },
  {
    name: 'target-counter-agg-rule',
    target: (target, board) => selectors(target, board)
      .filter((it) => it.metric.endsWith('_total') && !(it.range !== undefined && ['rate', 'irate', 'increase'].includes(it.called ?? '')))
      .map((it) => `${it.text} is a counter, and not in rate, irate or increase`),
  },
  { name: 'uneditable-dashboard', board: (board) => (board.editable === false ? [] : ['it is editable']) },
];

/** What the rules have against `board`, exclusions or not. */
export function lint(board: Dashboard): Finding[] {
  return RULES.flatMap((rule) => {
    const finding = (panel?: Panel) => (message: string): Finding => (
      { rule: rule.name, dashboard: board.title, ...(panel?.title === undefined ? {} : { panel: panel.title }), message });
    return [
      ...(rule.board?.(board) ?? []).map(finding()),
      ...panels(board).flatMap((panel) => [
        ...(rule.panel?.(panel, board) ?? []).map(finding(panel)),
        ...(panel.targets ?? []).flatMap((it) => rule.target?.(it, board) ?? []).map(finding(panel)),
      ]),
    ];
  });
}

/** The findings that `.lint` does not excuse, and the excuses that excuse nothing or give no reason. */
export function excused(findings: readonly Finding[], { exclusions }: Exclusions): { findings: Finding[]; idle: string[] } {
  const entries = Object.entries(exclusions).flatMap(([rule, { entries }]) => entries.map((entry) => ({ rule, ...entry })));
  const covers = (entry: typeof entries[number], it: Finding) => entry.rule === it.rule && entry.dashboard === it.dashboard && entry.panel === it.panel;
  return {
    findings: findings.filter((it) => !entries.some((entry) => covers(entry, it))),
    idle: entries.filter((entry) => !findings.some((it) => covers(entry, it)) || (entry.reason ?? '').length < 20)
      .map(({ rule, dashboard, panel }) => `${rule}: ${dashboard}: ${panel}`),
  };
}
