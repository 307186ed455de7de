// The JSON of a board, as strictly as Grafana's own types tell: which panels there are, which options each has, which values
// an option takes. The tests write the files of grafana/dashboards into constants of this type.
import type * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import type * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import type * as heatmap from '@grafana/grafana-foundation-sdk/heatmap';
import type * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import type * as stat from '@grafana/grafana-foundation-sdk/stat';
import type * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import type * as table from '@grafana/grafana-foundation-sdk/table';
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

/** `T` as JSON: a text in the place of an enumeration of texts, and no methods. */
type Json<T> = 0 extends 1 & T ? unknown
  : T extends string ? (string extends T ? string : `${T}`)
  : T extends number | boolean | null | undefined ? T
  : T extends readonly (infer U)[] ? Json<U>[]
  : T extends object ? { [K in keyof T as T[K] extends Function ? never : K]: Json<T[K]> }
  : never;

interface Field<Custom> extends Omit<Json<dashboard.FieldConfig>, 'custom'> { custom?: Custom }

interface PanelOf<Type extends string, Options, Custom> extends Omit<Json<dashboard.Panel>, 'type' | 'options' | 'targets' | 'fieldConfig'> {
  type: Type;
  title: string;
  description: string;
  gridPos: Json<dashboard.GridPos>;
  options: Json<Options>;
  targets: Json<prometheus.Dataquery>[];
  fieldConfig: Omit<Json<dashboard.FieldConfigSource>, 'defaults'> & { defaults: Field<Custom> };
}

type Panel =
  | PanelOf<'stat', stat.Options, never>
  | PanelOf<'bargauge', bargauge.Options, never>
  | PanelOf<'timeseries', timeseries.Options, Json<timeseries.FieldConfig>>
  | PanelOf<'heatmap', heatmap.Options, Json<heatmap.FieldConfig>>
  | PanelOf<'state-timeline', statetimeline.Options, Json<statetimeline.FieldConfig>>
  | PanelOf<'table', table.Options, Json<table.FieldConfig>>;

/** A file of grafana/dashboards. */
export interface BoardFile extends Omit<Json<dashboard.Dashboard>, 'panels' | 'id'> {
  id: null;
  panels: (Panel | (Json<dashboard.RowPanel> & { panels: [] }))[];
}
