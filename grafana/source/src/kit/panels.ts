// The six kinds of panels that the boards have. All are core panels of Grafana.
import * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import * as cog from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as heatmap from '@grafana/grafana-foundation-sdk/heatmap';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import { COLOR, HEIGHT, NEUTRAL, OUTCOMES, thresholds, type Steps } from './theme';

/** The data source that was chosen at the top of the board. */
export const DATASOURCE: common.DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

/** What every panel says. */
export interface About {
  readonly title: string;
  /** What it answers, in a sentence. */
  readonly description: string;
  /** Why it may be empty: what has to happen first. Absent: there is data as soon as the server is scraped. */
  readonly empty?: string;
  /** Columns of 24. */
  readonly width: number;
  readonly height?: number;
  readonly unit: string;
  readonly decimals?: number;
  /** The board that says more: its title leads there. */
  readonly more?: string;
}

/** A question, and what its answers are called: `{{project}}`. */
export type Query = readonly [expr: string, legend: string];

interface Panel<B> extends cog.Builder<dashboard.Panel> {
  title(it: string): B;
  description(it: string): B;
  datasource(it: common.DataSourceRef): B;
  height(it: number): B;
  span(it: number): B;
  unit(it: string): B;
  decimals(it: number): B;
  noValue(it: string): B;
  links(it: cog.Builder<dashboard.DashboardLink>[]): B;
}

function about<B extends Panel<B>>(panel: B, it: About, height: number): B {
  const description = it.empty === undefined ? it.description : `${it.description}\n\nEmpty until ${it.empty}.`;
  panel.title(it.title).description(description).datasource(DATASOURCE);
  panel.height(it.height ?? height).span(it.width).unit(it.unit);
  if (it.decimals !== undefined) panel.decimals(it.decimals);
  if (it.more !== undefined) {
    panel.links([new dashboard.DashboardLinkBuilder('More').type(dashboard.DashboardLinkType.Link)
      .url(`/d/observatory-${it.more}`).keepTime(true).includeVars(true)]);
  }
  return panel;
}

function refId(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + index);
}

function query([expr, legend]: Query, index: number): prometheus.DataqueryBuilder {
  return new prometheus.DataqueryBuilder()
    .refId(refId(index)).datasource(DATASOURCE).editorMode(prometheus.QueryEditorMode.Code).expr(expr).legendFormat(legend);
}

/** Names of series that say how something ended have the colour of that. */
function coloured(names: readonly string[]): dashboard.FieldConfigSource['overrides'] {
  return names.map((name) => ({
    matcher: { id: 'byName', options: name },
    properties: [{ id: 'color', value: { mode: dashboard.FieldColorModeId.Fixed, fixedColor: OUTCOMES[name] ?? COLOR.other } }],
  }));
}

function fixedOrThresholds(steps: Steps): dashboard.FieldColorBuilder {
  return new dashboard.FieldColorBuilder().mode(steps.length > 1 ? dashboard.FieldColorModeId.Thresholds : dashboard.FieldColorModeId.Fixed)
    .fixedColor(steps[0]);
}

/** One figure. */
export function figure(it: About & {
  readonly query: Query;
  readonly steps?: Steps;
  readonly mappings?: dashboard.ValueMapping[];
  /** Draws how it came about. Only for what is asked at each moment, not for what is asked over the whole range. */
  readonly trend?: boolean;
  /** Shows the name of the series in place of its value. */
  readonly name?: boolean;
}): cog.Builder<dashboard.Panel> {
  const steps = it.steps ?? NEUTRAL;
  const target = query(it.query, 0);
  const panel = about(new stat.PanelBuilder(), it, HEIGHT.stat)
    .withTarget(it.trend === true ? target.range() : target.instant())
    .thresholds(thresholds(steps))
    .colorScheme(fixedOrThresholds(steps))
    .colorMode(common.BigValueColorMode.Value)
    .graphMode(it.trend === true ? common.BigValueGraphMode.Area : common.BigValueGraphMode.None)
    .textMode(it.name === true ? common.BigValueTextMode.Name : common.BigValueTextMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']));
  if (it.mappings !== undefined) panel.mappings(it.mappings);
  if (it.empty !== undefined) panel.noValue('none yet');
  return panel;
}

/** Lines, or bars of counts. */
export function chart(it: About & {
  readonly queries: readonly Query[];
  /** Bars on top of one another, for counts by outcome; `lines` otherwise. */
  readonly bars?: boolean;
  /** The names of its series, if they are outcomes: they have colours. */
  readonly outcomes?: readonly string[];
  readonly max?: number;
  /** Where lines are drawn across, for what is too much or too little. */
  readonly steps?: Steps;
  /** The shortest distance of two points. Bars of rare things need a long one. */
  readonly interval?: string;
  /** The exemplars that Prometheus has for a histogram. */
  readonly exemplars?: boolean;
}): cog.Builder<dashboard.Panel> {
  const bars = it.bars === true;
  const panel = about(new timeseries.PanelBuilder(), it, HEIGHT.chart)
    .drawStyle(bars ? common.GraphDrawStyle.Bars : common.GraphDrawStyle.Line)
    .lineWidth(bars ? 0 : 1.5)
    .fillOpacity(bars ? 80 : 8)
    .gradientMode(bars ? common.GraphGradientMode.None : common.GraphGradientMode.Opacity)
    .showPoints(common.VisibilityMode.Never)
    .spanNulls(false)
    .axisBorderShow(false)
    .min(0)
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.PaletteClassicByName))
    .legend(new common.VizLegendOptionsBuilder().showLegend(true).displayMode(common.LegendDisplayMode.List)
      .placement(common.LegendPlacement.Bottom).calcs([]))
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending).hideZeros(bars))
    .stacking(new common.StackingConfigBuilder().mode(bars ? common.StackingMode.Normal : common.StackingMode.None).group('A'))
    .overrides(coloured(it.outcomes ?? []))
    .targets(it.queries.map((q, index) => query(q, index).range().exemplar(it.exemplars === true)));
  if (it.max !== undefined) panel.max(it.max);
  if (it.interval !== undefined) panel.interval(it.interval);
  if (it.steps !== undefined) {
    panel.thresholds(thresholds(it.steps))
      .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed));
  }
  return panel;
}

/** A bar for each of the most. */
export function ranking(it: About & { readonly query: Query; readonly steps?: Steps; readonly max?: number }): cog.Builder<dashboard.Panel> {
  const steps = it.steps ?? NEUTRAL;
  const panel = about(new bargauge.PanelBuilder(), it, HEIGHT.chart)
    .withTarget(query(it.query, 0).instant())
    .thresholds(thresholds(steps))
    .colorScheme(fixedOrThresholds(steps))
    .min(0)
    .orientation(common.VizOrientation.Horizontal)
    .displayMode(common.BarGaugeDisplayMode.Basic)
    .valueMode(common.BarGaugeValueMode.Text)
    .namePlacement(common.BarGaugeNamePlacement.Left)
    .showUnfilled(true)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']));
  if (it.max !== undefined) panel.max(it.max);
  return panel;
}

/** How values are spread, over time. */
export function spread(it: About & { readonly query: string; readonly interval?: string }): cog.Builder<dashboard.Panel> {
  const panel = about(new heatmap.PanelBuilder(), it, HEIGHT.chart)
    .withTarget(query([it.query, '{{le}}'], 0).range().format(prometheus.PromQueryFormat.Heatmap))
    .calculate(false)
    .color(new heatmap.HeatmapColorOptionsBuilder().mode(heatmap.HeatmapColorMode.Scheme).scheme('Blues').steps(32).exponent(0.5))
    .yAxis(new heatmap.YAxisConfigBuilder().unit(it.unit).axisPlacement(common.AxisPlacement.Left))
    .cellValues(new heatmap.CellValuesBuilder().unit('short'))
    .cellGap(1)
    .filterValues(new heatmap.FilterValueRangeBuilder().le(1e-9))
    .tooltip(new heatmap.HeatmapTooltipBuilder().mode(common.TooltipDisplayMode.Single).yHistogram(true).showColorScale(false));
  if (it.interval !== undefined) panel.interval(it.interval);
  return panel;
}

/** Bands of states, one per series. */
export function bands(it: About & { readonly queries: readonly Query[]; readonly mappings: dashboard.ValueMapping[]; readonly interval?: string }): cog.Builder<dashboard.Panel> {
  const panel = about(new statetimeline.PanelBuilder(), it, HEIGHT.chart)
    .mappings(it.mappings)
    .thresholds(thresholds(NEUTRAL))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds))
    .mergeValues(true)
    .showValue(common.VisibilityMode.Never)
    .rowHeight(0.8)
    .fillOpacity(75)
    .lineWidth(0)
    .targets(it.queries.map((q, index) => query(q, index).range()));
  if (it.interval !== undefined) panel.interval(it.interval);
  return panel;
}

/** A column of a table: a label, or the answer to a question. */
export interface Column {
  readonly name: string;
  readonly unit?: string;
  readonly decimals?: number;
  readonly steps?: Steps;
  /** A bar behind the figure, up to this. */
  readonly bar?: number;
  readonly mappings?: dashboard.ValueMapping[];
  readonly width?: number;
}

/** Rows by their labels; each question is a column. */
export function rows(it: About & {
  readonly queries: readonly (readonly [expr: string, column: Column])[];
  /** The labels that are shown, in their order; all others are not. */
  readonly labels: readonly (readonly [label: string, column: Column])[];
  /** The column that rows are ordered by. */
  readonly order: string;
  readonly ascending?: boolean;
}): cog.Builder<dashboard.Panel> {
  // One question alone keeps the name Value; of several each has its letter.
  const field = (index: number) => it.queries.length === 1 ? 'Value' : `Value #${refId(index)}`;
  const columns = [...it.labels, ...it.queries.map(([, column], index) => [field(index), column] as const)];
  const renameByName: Record<string, string> = {};
  const indexByName: Record<string, number> = {};
  columns.forEach(([from, { name }], index) => {
    renameByName[from] = name;
    indexByName[from] = index;
  });
  const panel = about(new table.PanelBuilder(), it, HEIGHT.chart)
    .thresholds(thresholds(NEUTRAL))
    .filterable(false)
    .cellHeight(common.TableCellHeight.Sm)
    .showHeader(true)
    .sortBy([new common.TableSortByFieldStateBuilder().displayName(it.order).desc(it.ascending !== true)])
    .overrides(columns.map(([, column]) => ({ matcher: { id: 'byName', options: column.name }, properties: properties(column) }))
      .filter((override) => override.properties.length > 0))
    .targets(it.queries.map(([expr], index) => query([expr, ''], index).instant().format(prometheus.PromQueryFormat.Table)))
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({ id: 'organize', options: { excludeByName: { Time: true }, indexByName, renameByName } });
  return panel;
}

function properties({ unit, decimals, steps, bar, mappings, width }: Column): dashboard.DynamicConfigValue[] {
  const all: dashboard.DynamicConfigValue[] = [];
  if (unit !== undefined) all.push({ id: 'unit', value: unit });
  if (decimals !== undefined) all.push({ id: 'decimals', value: decimals });
  if (mappings !== undefined) all.push({ id: 'mappings', value: mappings });
  if (width !== undefined) all.push({ id: 'custom.width', value: width });
  if (steps !== undefined) all.push({ id: 'thresholds', value: thresholds(steps).build() }, { id: 'color', value: { mode: dashboard.FieldColorModeId.Thresholds } });
  if (bar !== undefined) {
    const cell: common.TableBarGaugeCellOptions = {
      type: common.TableCellDisplayMode.Gauge, mode: common.BarGaugeDisplayMode.Basic, valueDisplayMode: common.BarGaugeValueMode.Text,
    };
    all.push({ id: 'min', value: 0 }, { id: 'max', value: bar }, { id: 'custom.cellOptions', value: cell });
  } else if (steps !== undefined) {
    const cell: common.TableColorTextCellOptions = { type: common.TableCellDisplayMode.ColorText };
    all.push({ id: 'custom.cellOptions', value: cell });
  }
  return all;
}
