// PromQL as the boards write it. Each selector has the job and the instance that were chosen at the top of the board.

/** Matchers of a selector: label to value, or to an operator and a value: `{ result: 'failure', branch: ['=~', 'main|release'] }`. */
export type Matchers = Readonly<Record<string, string | readonly ['=' | '!=' | '=~' | '!~', string]>>;

function written(matchers: Matchers): string[] {
  return Object.entries(matchers).map(([label, it]) => {
    const [operator, value] = typeof it === 'string' ? ['=', it] : it;
    return `${label}${operator}"${value}"`;
  });
}

/** Series of the chosen servers. */
export function of(metric: string, matchers: Matchers = {}): string {
  return `${metric}{${['job=~"$job"', 'instance=~"$instance"', ...written(matchers)].join(', ')}}`;
}

/** Series of pushes: their job and instance are those of whoever pushed, so they have a variable of their own. */
export function pushed(metric: string, matchers: Matchers = {}): string {
  return `${metric}{${['job=~"$pushed_job"', ...written(matchers)].join(', ')}}`;
}

/** That a label has one of the values that were chosen in the variable of this name. */
export function chosen(variable: string): readonly ['=~', string] {
  return ['=~', `$${variable}`];
}

/** Per second, over the window that suits the width of the chart. */
export function rate(selector: string): string {
  return `rate(${selector}[$__rate_interval])`;
}

/** How many per point of the chart. */
export function each(selector: string): string {
  return `increase(${selector}[$__rate_interval])`;
}

/** How many within the whole time that is shown. */
export function all(selector: string): string {
  return `increase(${selector}[$__range])`;
}

/** The sum, by labels if there are any. */
export function sum(expr: string, ...by: string[]): string {
  return by.length > 0 ? `sum by (${by.join(', ')}) (${expr})` : `sum(${expr})`;
}

/** The largest, by labels if there are any. */
export function max(expr: string, ...by: string[]): string {
  return by.length > 0 ? `max by (${by.join(', ')}) (${expr})` : `max(${expr})`;
}

/** What part of `whole` is `part`. Nothing of nothing is no answer, rather than a division by 0. */
export function ratio(part: string, whole: string): string {
  return `${part} / (${whole} > 0)`;
}

/** What to ask of a histogram. */
export interface OfHistogram {
  readonly metric: string;
  readonly matchers?: Matchers;
  /** `each` point of a chart, or `all` of what is shown. */
  readonly over: (selector: string) => string;
  readonly by?: readonly string[];
}

// Prometheus may have been told to scrape histograms as native ones; then there are no series of buckets. Each expression
// has both forms, and one of them is empty.

/** A quantile. */
export function quantile(q: number, { metric, matchers = {}, over, by = [] }: OfHistogram): string {
  const classic = sum(over(of(`${metric}_bucket`, matchers)), 'le', ...by);
  const native = sum(over(of(metric, matchers)), ...by);
  return `histogram_quantile(${q}, ${classic}) or histogram_quantile(${q}, ${native})`;
}

/** The buckets of a heat map. */
export function buckets({ metric, matchers = {}, over }: OfHistogram): string {
  return `${sum(over(of(`${metric}_bucket`, matchers)), 'le')} or ${sum(over(of(metric, matchers)))}`;
}

/** How many were observed. */
export function count({ metric, matchers = {}, over, by = [] }: OfHistogram): string {
  return `(${sum(over(of(`${metric}_count`, matchers)), ...by)} or ${sum(`histogram_count(${over(of(metric, matchers))})`, ...by)})`;
}
