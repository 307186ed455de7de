// What all boards have in common to the eye: colours that mean one thing everywhere, sizes, thresholds.
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';

/** Colours by meaning. They are names of Grafana's palette, so that they suit the dark and the light theme. */
export const COLOR = {
  good: 'green',
  warn: 'orange',
  bad: 'red',
  calm: 'blue',
  muted: '#8e8e8e',
  other: 'purple',
} as const;

/** The colour of a series whose name says how something ended. */
export const OUTCOMES: Readonly<Record<string, string>> = {
  success: COLOR.good,
  passed: COLOR.good,
  stored: COLOR.good,
  delivered: COLOR.good,
  sent: COLOR.good,
  resolved: COLOR.good,
  '2xx': COLOR.good,
  failure: COLOR.bad,
  failed: COLOR.bad,
  rejected: COLOR.bad,
  dead: COLOR.bad,
  firing: COLOR.bad,
  fatal: COLOR.bad,
  '5xx': COLOR.bad,
  pending: COLOR.warn,
  retry: COLOR.warn,
  error: COLOR.warn,
  '4xx': COLOR.warn,
  cancelled: COLOR.muted,
  skipped: COLOR.muted,
  suppressed: COLOR.muted,
  merged: COLOR.muted,
  deleted: COLOR.muted,
  '3xx': COLOR.calm,
  repeated: COLOR.calm,
  other: COLOR.other,
};

/** Where a colour begins. The first step has no value: it is below all others. */
export type Steps = readonly [string, ...(readonly [number, string])[]];

/** No judgement: one colour. */
export const NEUTRAL: Steps = [COLOR.calm];
/** A ratio of which all is best. */
export const MOST: Steps = [COLOR.bad, [0.8, COLOR.warn], [0.95, COLOR.good]];
/** A ratio of which nothing is best. */
export const LEAST: Steps = [COLOR.good, [0.05, COLOR.warn], [0.15, COLOR.bad]];
/** A count of what should not be. */
export const NONE: Steps = [COLOR.good, [1, COLOR.bad]];
/** The same, where one is not yet bad. */
export const FEW: Steps = [COLOR.good, [1, COLOR.warn], [10, COLOR.bad]];
/** 1 is well, 0 is not. */
export const UP: Steps = [COLOR.bad, [1, COLOR.good]];

/** `steps` as Grafana writes them. */
export function thresholds(steps: Steps): dashboard.ThresholdsConfigBuilder {
  const [base, ...rest] = steps;
  return new dashboard.ThresholdsConfigBuilder()
    .mode(dashboard.ThresholdsMode.Absolute)
    .steps([{ value: null, color: base }, ...rest.map(([value, color]) => ({ value, color }))]);
}

/** Texts and colours in the place of numbers. */
export function words(values: Readonly<Record<string, readonly [text: string, color: string]>>): dashboard.ValueMapping {
  const options: Record<string, dashboard.ValueMappingResult> = {};
  Object.entries(values).forEach(([value, [text, color]], index) => {
    options[value] = { text, color, index };
  });
  return { type: dashboard.MappingType.ValueToText, options };
}

/** The grid is 24 columns wide. A row of figures is 4 high, a chart 8. */
export const HEIGHT = { stat: 4, chart: 8, tall: 10 } as const;
