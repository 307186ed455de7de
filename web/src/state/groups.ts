/** Groups of pushes, as the Pushgateway's API tells of them. */

import { parse } from '../lib/time';

export interface Metric {
  readonly labels: Readonly<Record<string, string>>;
  readonly value?: string;
  readonly buckets?: Readonly<Record<string, string>>;
  readonly quantiles?: Readonly<Record<string, string>>;
  readonly count?: string;
  readonly sum?: string;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly metrics: readonly Metric[];
  /** When it was pushed. */
  readonly at: number;
}

export interface Group {
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pushedAt: number;
  /** 0 if no push was ever rejected. */
  readonly failedAt: number;
  readonly lastSuccessful: boolean;
  readonly families: readonly Family[];
}

/** What `GET /api/v1/push/groups` knows besides. */
export interface Life {
  readonly labels: Readonly<Record<string, string>>;
  readonly expires_at?: string | null;
}

export interface RawGroup {
  readonly labels: Readonly<Record<string, string>>;
  readonly last_push_successful: boolean;
  readonly [family: string]: unknown;
}

const OWN = ['labels', 'last_push_successful', 'metrics'];
const TIMES = ['push_time_seconds', 'push_failure_time_seconds'];

export function readGroups(raw: readonly RawGroup[]): Group[] {
  return raw.map((it) => {
    const nested = Object.entries((it.metrics as Record<string, RawFamily> | undefined) ?? {});
    const beside = Object.entries(it).filter(([name]) => !OWN.includes(name)) as [string, RawFamily][];
    const families = [...beside, ...nested].map(([name, family]) => ({
      name,
      type: (family.type ?? 'UNTYPED').toLowerCase(),
      help: family.help ?? '',
      metrics: family.metrics ?? [],
      at: parse(family.time_stamp),
    }));
    const time = (name: string) => 1000 * Number(families.find((family) => family.name === name)?.metrics[0]?.value ?? 0);
    return {
      key: keyOf(it.labels),
      labels: it.labels,
      pushedAt: time('push_time_seconds'),
      failedAt: time('push_failure_time_seconds'),
      lastSuccessful: it.last_push_successful,
      families: families.filter(({ name }) => !TIMES.includes(name)).sort((a, b) => (a.name < b.name ? -1 : 1)),
    };
  });
}

interface RawFamily {
  readonly type?: string;
  readonly help?: string;
  readonly metrics?: readonly Metric[];
  readonly time_stamp?: string;
}

/** Tells groups apart, whatever the order of their labels. */
export function keyOf(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** When each group expires, by its key; those that never do are absent. */
export function expiries(lives: readonly Life[]): Map<string, number> {
  const known = lives.filter((it) => it.expires_at);
  return new Map(known.map((it) => [keyOf(it.labels), parse(it.expires_at)]));
}

/** The path of a group: values in base64 where a path would take them for something else. */
export function pathOf(labels: Readonly<Record<string, string>>): string {
  const { job = '', ...rest } = labels;
  const segments = [['job', job], ...Object.entries(rest)].map(([name = '', value = '']) => {
    const plain = value !== '' && !value.includes('/') && !/^\.{1,2}$/.test(value);
    return plain ? `${name}/${encodeURIComponent(value)}` : `${name}@base64/${base64(value)}`;
  });
  return `metrics/${segments.join('/')}`;
}

/** As URLs have it; an empty value is a sign of its own, since an empty segment gets lost. */
function base64(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const plain = btoa(String.fromCharCode(...bytes));
  return plain.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '') || '=';
}

/** Labels as they stand in an exposition, without those of the group. */
export function ownLabels(metric: Metric, group: Group): string {
  const own = Object.entries(metric.labels).filter(([name, value]) => group.labels[name] !== value);
  return own.length > 0 ? `{${own.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(', ')}}` : '';
}
