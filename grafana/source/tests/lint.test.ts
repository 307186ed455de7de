// The boards as they are in grafana/dashboards keep the rules; and each rule can be broken.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { house } from '../src/lint/house';
import type { Dashboard, Exclusions } from '../src/lint/model';
import { RULES, excused, lint } from '../src/lint/rules';

const DIRECTORY = join(__dirname, '../../../dashboards');

function shipped(): Dashboard[] {
  const names = readdirSync(DIRECTORY).filter((it) => it.endsWith('.json')).sort();
  return names.map((it) => JSON.parse(readFileSync(join(DIRECTORY, it), 'utf8')) as Dashboard);
}

test('the eight boards keep every rule', () => {
  const boards = shipped();
  assert.equal(boards.length, 8);
  const exclusions = JSON.parse(readFileSync(join(DIRECTORY, '.lint'), 'utf8')) as Exclusions;
  assert.deepEqual(excused(boards.flatMap(lint), exclusions), { findings: [], idle: [] });
  assert.deepEqual(house(boards), []);
});

/** A board with one good panel. */
function good() {
  const datasource = { type: 'prometheus', uid: '${datasource}' };
  const filter = (name: string, label: string) => (
    { type: 'query', name, label, query: `label_values(up, ${name})`, datasource, multi: true, allValue: '.+', refresh: 2 });
  return {
    title: 'Test', uid: 'test', id: null as number | null, editable: false, schemaVersion: 42, description: 'For tests.', tags: ['observatory'],
    links: [{ type: 'dashboards', tags: ['observatory'] }] as { type: string; tags?: string[]; url?: string }[],
    templating: { list: [{ type: 'datasource', name: 'datasource', label: 'Data source', query: 'prometheus' } as Record<string, unknown>, filter('job', 'Job'), filter('instance', 'Instance')] },
    panels: [{
      id: 1, type: 'timeseries', title: 'Panel', description: 'What it says.', datasource, gridPos: { x: 0, y: 0, w: 24, h: 8 },
      fieldConfig: { defaults: { unit: 's' }, overrides: [] as { properties: { id: string; value: unknown }[] }[] },
      targets: [{ datasource, expr: 'rate(a_total{job=~"$job", instance=~"$instance"}[$__rate_interval])' }],
    }],
  };
}

type Good = ReturnType<typeof good>;
const all = 'job=~"$job", instance=~"$instance"';
const variable = (board: Good, name: string) => board.templating.list.find((it) => it['name'] === name)!;
const ask = (expr: string) => (board: Good) => { board.panels[0]!.targets[0]!.expr = expr; };

/** Ways to break each rule: exactly that rule then has something to say. */
const BROKEN: readonly (readonly [rule: string, (board: Good) => void])[] = [
  ['template-datasource-rule', (it) => { it.templating.list.shift(); }],
  ['template-datasource-rule', (it) => { variable(it, 'datasource')['label'] = 'Source'; }],
  ['template-datasource-rule', (it) => { variable(it, 'datasource')['name'] = 'ds'; }],
  ['template-job-rule', (it) => { variable(it, 'job')['multi'] = false; }],
  ['template-job-rule', (it) => { variable(it, 'job')['label'] = 'Jobs'; }],
  ['template-job-rule', (it) => { variable(it, 'job')['datasource'] = { uid: 'prometheus' }; }],
  ['template-instance-rule', (it) => { variable(it, 'instance')['allValue'] = '.*'; }],
  ['template-label-promql-rule', (it) => { variable(it, 'job')['query'] = 'label_values(up{, job)'; }],
  ['template-label-promql-rule', (it) => { variable(it, 'job')['query'] = 'values(up, job)'; }],
  ['template-label-promql-rule', (it) => { variable(it, 'job')['query'] = 'label_values(up{x="$gone"}, job)'; }],
  ['template-on-time-change-reload-rule', (it) => { variable(it, 'instance')['refresh'] = 1; }],
  ['panel-datasource-rule', (it) => { it.panels[0]!.datasource = { type: 'prometheus', uid: 'P1234' }; }],
  ['panel-datasource-rule', (it) => { it.panels[0]!.targets[0]!.datasource = { type: 'prometheus', uid: '${DS_PROMETHEUS}' }; }],
  ['panel-title-description-rule', (it) => { it.panels[0]!.title = ' '; }],
  ['panel-title-description-rule', (it) => { it.panels[0]!.description = ''; }],
  ['panel-units-rule', (it) => { it.panels[0]!.fieldConfig.defaults.unit = 'seconds'; }],
  ['panel-units-rule', (it) => { it.panels[0]!.fieldConfig.overrides.push({ properties: [{ id: 'unit', value: 'furlong' }] }); }],
  ['panel-no-targets-rule', (it) => { it.panels[0]!.targets = []; }],
  ['target-promql-rule', ask('sum by (x (up)')],
  ['target-promql-rule', ask('')],
  ['target-promql-rule', ask(`sum(up{${all}, a="$gone"})`)],
  ['target-rate-interval-rule', ask(`rate(a_total{${all}}[5m])`)],
  ['target-rate-interval-rule', ask(`sum(irate(a{${all}}[$__range]))`)],
  ['target-job-rule', ask('max(up{instance=~"$instance"})')],
  ['target-job-rule', ask(`up{${all}} or up{job="$job", instance=~"$instance"}`)],
  ['target-instance-rule', ask('max(up{job=~"$job"})')],
  ['target-counter-agg-rule', ask(`sum(a_total{${all}})`)],
  ['target-counter-agg-rule', ask(`delta(a_total{${all}}[$__range])`)],
  ['uneditable-dashboard', (it) => { it.editable = true; }],
];

test('a good board is good', () => {
  assert.deepEqual(lint(good() as Dashboard), []);
  for (const expr of [`increase(a_total{${all}}[$__range])`, `avg_over_time(a{${all}}[1h])`, 'vector(1)', `\${__range_s} * up{${all}}`]) {
    const board = good();
    ask(expr)(board);
    assert.deepEqual(lint(board as Dashboard), [], expr);
  }
});

for (const { name } of RULES) {
  test(`${name} can be broken`, () => {
    const ways = BROKEN.filter(([rule]) => rule === name);
    assert.ok(ways.length > 0);
    for (const [, breaks] of ways) {
      const board = good();
      breaks(board);
      const rules = new Set(lint(board as Dashboard).map((it) => it.rule));
      assert.deepEqual([...rules], [name], breaks.toString());
    }
  });
}

test('there are fifteen rules', () => {
  assert.equal(new Set(RULES.map((it) => it.name)).size, 15);
});

test('an excuse is for what it names, gives its reason, and is needed', () => {
  const board = good();
  ask('max(up{job=~"$job"})')(board);
  const findings = lint(board as Dashboard);
  const excuse = (entry: object) => excused(findings, { exclusions: { 'target-instance-rule': { entries: [entry] } } });
  const reason = 'There is one instance, and it has no name.';
  assert.deepEqual(excuse({ dashboard: 'Test', panel: 'Panel', reason }), { findings: [], idle: [] });
  assert.equal(excuse({ dashboard: 'Test', panel: 'Panel' }).idle.length, 1);
  const other = excuse({ dashboard: 'Test', panel: 'Other', reason });
  assert.deepEqual([other.findings.length, other.idle.length], [1, 1]);
});

/** What the house is particular about. */
const UNTIDY: readonly (readonly [message: RegExp, (board: Good) => void])[] = [
  [/id of some Grafana/, (it) => { it.id = 7; }],
  [/does not fit/, (it) => { it.uid = 'a'.repeat(41); }],
  [/schema is 16/, (it) => { it.schemaVersion = 16; }],
  [/no tag/, (it) => { it.tags = []; }],
  [/lead to the others/, (it) => { it.links = []; }],
  [/exported for sharing/, (it) => { it.description = '${DS_PROMETHEUS}'; }],
  [/nobody uses the variable x/, (it) => { it.templating.list.push({ type: 'query', name: 'x' }); }],
  [/two panels have the id 1/, (it) => { it.panels.push({ ...it.panels[0]!, title: 'Other', gridPos: { x: 0, y: 8, w: 24, h: 8 } }); }],
  [/titled Panel/, (it) => { it.panels.push({ ...it.panels[0]!, id: 2, gridPos: { x: 0, y: 8, w: 24, h: 8 } }); }],
  [/no core panel/, (it) => { it.panels[0]!.type = 'marcusolsson-gantt-panel'; }],
  [/leads nowhere/, (it) => { it.links.push({ type: 'link', url: '/d/gone' }); }],
  [/a gap 0 from/, (it) => { it.panels[0]!.gridPos.w = 23; }],
  [/lies on/, (it) => { it.panels.push({ ...it.panels[0]!, id: 2, title: 'Other', gridPos: { x: 12, y: 7, w: 12, h: 8 } }); }],
];

test('the house notices what is untidy', () => {
  assert.deepEqual(house([good() as Dashboard]), []);
  for (const [message, breaks] of UNTIDY) {
    const board = good();
    breaks(board);
    assert.match(house([board as Dashboard]).join('\n'), message);
  }
  assert.match(house([good(), good()] as Dashboard[]).join('\n'), /two boards have the uid test/);
});
