// A board: its variables, its links to the others, the marks of deployments, and its panels in rows.
import * as cog from '@grafana/grafana-foundation-sdk/cog';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import { DATASOURCE } from './panels';
import { COLOR } from './theme';

/** A filter at the top: the values of a label of a metric. */
export interface Filter {
  readonly name: string;
  readonly label: string;
  readonly description: string;
  /** As Grafana asks: `label_values(metric{...}, label)`. */
  readonly query: string;
}

/** A rule of the linter that does not hold for a panel, and why. The panel's title is absent if it is about the board. */
export interface Exclusion {
  readonly rule: string;
  readonly reason: string;
  readonly panel?: string;
}

/** One of the boards. */
export interface Board {
  /** Its file, and `observatory-` before it its uid. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** How far back it looks at first: `24h`. */
  readonly range: string;
  readonly filters?: readonly Filter[];
  /** Shows when something was deployed. */
  readonly deployments: boolean;
  readonly exclusions?: readonly Exclusion[];
  /** Panels from left to right; a line is full at 24 columns. The first row has no heading. */
  readonly rows: readonly (readonly [heading: string, ...panels: cog.Builder<dashboard.Panel>[]])[];
}

const TAG = 'observatory';
const WIDTH = 24;

/** The filter of a label that a metric of the rules has. */
export function filter(name: string, label: string, metric: string, description: string): Filter {
  return { name, label, description, query: `label_values(${metric}{job=~"$job", instance=~"$instance"}, ${name})` };
}

function variable({ name, label, description, query }: Filter): dashboard.QueryVariableBuilder {
  return new dashboard.QueryVariableBuilder(name)
    .label(label).description(description).datasource(DATASOURCE).query(query).definition(query)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.NaturalAsc)
    .multi(true).includeAll(true).allValue('.+')
    .current({ selected: true, text: ['All'], value: ['$__all'] });
}

/** Deployments from Prometheus alone: the value of the series is the time. */
const DEPLOYMENTS = new dashboard.AnnotationQueryBuilder()
  .name('Deployments')
  .datasource(DATASOURCE)
  .enable(true)
  .iconColor(COLOR.calm)
  .expr('deployment_last_completed_timestamp_seconds{job=~"$job", instance=~"$instance", environment=~"prod.*"} * 1000')
  .step('60s')
  .useValueForTime(true)
  .titleFormat('{{service}} {{version}} → {{environment}}')
  .textFormat('{{result}}')
  .tagKeys('service,result');

/** All boards, in a list at the top. */
const OTHERS = new dashboard.DashboardLinkBuilder('Observatory')
  .type(dashboard.DashboardLinkType.Dashboards).tags([TAG]).asDropdown(true).icon('external link').tooltip('The other boards')
  .keepTime(true).includeVars(true);

/** The JSON of `board`. */
export function build(board: Board): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder(board.title)
    .uid(`observatory-${board.name}`)
    .description(board.description)
    .tags([TAG])
    .readonly()
    .timezone('browser')
    .time({ from: `now-${board.range}`, to: 'now' })
    .refresh('30s')
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .variables([
      new dashboard.DatasourceVariableBuilder('datasource').label('Data source').description('The Prometheus that scrapes Observatory.').type('prometheus'),
      variable({ name: 'job', label: 'Job', description: 'The job of Prometheus under which Observatory is scraped.', query: 'label_values(observatory_build_info, job)' }),
      variable({ name: 'instance', label: 'Instance', description: 'Which of several Observatories.', query: 'label_values(observatory_build_info{job=~"$job"}, instance)' }),
      ...(board.filters ?? []).map(variable),
    ])
    .links([OTHERS]);
  if (board.deployments) builder.annotation(DEPLOYMENTS);
  let id = 0;
  let y = 0;
  for (const [heading, ...panels] of board.rows) {
    if (heading !== '') {
      builder.withRow(new dashboard.RowBuilder(heading).id(++id).gridPos({ x: 0, y, w: WIDTH, h: 1 }));
      y += 1;
    }
    let x = 0;
    let height = 0;
    for (const panel of panels.map((it) => it.build())) {
      const { w, h } = panel.gridPos ?? { w: 0, h: 0 };
      panel.id = ++id;
      panel.gridPos = { x, y, w, h };
      x += w;
      height = Math.max(height, h);
      if (x >= WIDTH) [x, y, height] = [0, y + height, 0];
      builder.withPanel({ build: () => panel });
    }
    y += height;
  }
  // Grafana gives the number; one in a file would be that of somebody else's board.
  return tidy({ id: null, ...builder.build() });
}

/** Without what the builders write unasked: the menu as the place of links and marks, and settings of another kind of variable. */
function tidy(made: dashboard.Dashboard): dashboard.Dashboard {
  for (const it of [...(made.links ?? []), ...(made.annotations.list ?? [])]) delete it.placement;
  for (const panel of made.panels ?? []) for (const it of panel.type === 'row' ? [] : (panel as dashboard.Panel).links ?? []) delete it.placement;
  for (const it of made.templating.list ?? []) {
    delete it.auto;
    delete it.auto_min;
    delete it.auto_count;
  }
  return made;
}
