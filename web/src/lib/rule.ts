/** Alert rules and channels as forms have them: which fields each kind has, and texts in place of values. */

import type { Json } from '../api/types';

export interface FieldOf {
  readonly name: string;
  readonly label: string;
  readonly type?: 'text' | 'number' | 'area' | 'secret' | 'check' | 'choice';
  readonly options?: readonly string[];
  readonly placeholder?: string;
  readonly hint?: string;
  readonly wide?: boolean;
  /** Whose it is; without it, everybody's. */
  readonly kinds?: readonly string[];
  /** What its text stands for; without it, a text, number or flag. */
  readonly as?: 'list' | 'pairs' | 'json';
  /** Under "More". */
  readonly rare?: boolean;
}

export const KINDS = ['threshold', 'ratio', 'event', 'absence', 'burn_rate'] as const;

const METRIC = ['threshold', 'ratio', 'burn_rate'];
const OPERATORS = ['gt', 'gte', 'lt', 'lte', 'eq', 'ne'];

export const RULE_FIELDS: readonly FieldOf[] = [
  { name: 'name', label: 'Name', placeholder: 'High CPU', wide: true },
  { name: 'kind', label: 'Kind', type: 'choice', options: KINDS },
  { name: 'severity', label: 'Severity', type: 'choice', options: ['critical', 'high', 'medium', 'low'] },
  { name: 'metric_name', label: 'Metric', kinds: ['threshold'], placeholder: 'cpu_usage{host="a"}', hint: 'of the rules or of pushes, perhaps with matchers', wide: true },
  { name: 'function', label: 'Function', kinds: ['threshold'], type: 'choice', options: ['value', 'rate', 'increase', 'avg', 'min', 'max', 'count', 'quantile'] },
  { name: 'quantile', label: 'Quantile', kinds: ['threshold'], type: 'number', placeholder: '0.95', hint: 'with the function quantile, of a histogram' },
  { name: 'numerator', label: 'Numerator', kinds: ['ratio', 'burn_rate'], placeholder: 'requests_total{result="failure"}', wide: true },
  { name: 'denominator', label: 'Denominator', kinds: ['ratio', 'burn_rate'], placeholder: 'requests_total', wide: true },
  { name: 'operator', label: 'Operator', kinds: ['threshold', 'ratio'], type: 'choice', options: OPERATORS },
  { name: 'threshold', label: 'Threshold', kinds: ['threshold', 'ratio'], type: 'number', placeholder: '80' },
  { name: 'window', label: 'Window', kinds: ['threshold', 'ratio'], placeholder: '5m', hint: 'how far functions look back' },
  { name: 'objective', label: 'Objective', kinds: ['burn_rate'], type: 'number', placeholder: '0.999', hint: 'which part must be good' },
  { name: 'match', label: 'Event', kinds: ['event', 'absence'], placeholder: 'ci_build_completed{status="failure"}', hint: 'a selector: what fires it, or what is expected', wide: true },
  { name: 'resolve', label: 'Event that ends it', kinds: ['event', 'absence'], placeholder: 'ci_build_completed{status="success"}', wide: true },
  { name: 'resolve_after', label: 'Over after', kinds: ['event'], placeholder: '1h', hint: 'without a further event' },
  { name: 'push', label: 'Push groups', kinds: ['absence'], placeholder: '{job="backup"}', hint: 'instead of an event', wide: true },
  { name: 'every', label: 'Expected every', kinds: ['absence'], placeholder: '1h' },
  { name: 'cron', label: 'or at (cron)', kinds: ['absence'], placeholder: '0 3 * * *' },
  { name: 'timezone', label: 'Time zone', kinds: ['absence'], placeholder: 'Europe/Berlin' },
  { name: 'grace', label: 'May be late by', kinds: ['absence'], placeholder: '1m' },
  { name: 'for', label: 'Must hold for', placeholder: '5m', hint: 'before it fires' },
  { name: 'group_by', label: 'One alert per', type: 'area', as: 'list', placeholder: 'project', hint: 'labels or fields, one a line: project=project,repository' },
  { name: 'annotations', label: 'Annotations', type: 'area', as: 'pairs', placeholder: 'summary=$instance is at $value %', hint: 'what people read, one a line: name=text' },
  { name: 'labels', label: 'Labels', type: 'area', as: 'pairs', placeholder: 'team=platform', hint: 'one a line: name=value' },
  { name: 'notification_channels', label: 'Channels', as: 'list', placeholder: 'all', hint: 'names, with commas', wide: true },
  { name: 'description', label: 'Description', wide: true, rare: true },
  { name: 'recovery_threshold', label: 'Recovers at', kinds: ['threshold', 'ratio'], type: 'number', rare: true },
  { name: 'min_denominator', label: 'Least denominator', kinds: ['ratio', 'burn_rate'], type: 'number', rare: true },
  { name: 'keep_firing_for', label: 'Goes on firing for', placeholder: '0s', rare: true },
  { name: 'no_data', label: 'No data means', kinds: METRIC, type: 'choice', options: ['ok', 'alert', 'keep'], rare: true },
  { name: 'repeat_interval', label: 'Told again after', placeholder: '4h', rare: true },
  { name: 'flap_window', label: 'Flaps within', placeholder: '10m', rare: true },
  { name: 'windows', label: 'Windows', kinds: ['burn_rate'], type: 'area', as: 'json', placeholder: '[{"long":"1h","short":"5m","factor":14.4}]', hint: 'JSON', rare: true },
  { name: 'escalation', label: 'Escalation', type: 'area', as: 'json', placeholder: '[{"after":"15m","notification_channels":["boss"]}]', hint: 'JSON', rare: true },
  { name: 'mute_times', label: 'Mute times', type: 'area', as: 'json', placeholder: '[{"days":["sat","sun"]}]', hint: 'JSON', rare: true },
];

export const CHANNEL_TYPES = ['webhook', 'slack', 'email', 'alertmanager'] as const;

/** Those of `config`. */
export const CHANNEL_FIELDS: readonly FieldOf[] = [
  { name: 'url', label: 'URL', kinds: ['webhook'], placeholder: 'https://example.org/hook', wide: true },
  { name: 'secrets', label: 'Secrets', kinds: ['webhook'], type: 'area', as: 'list', placeholder: 'whsec_…', hint: 'sign what is sent; one a line' },
  { name: 'body', label: 'Body', kinds: ['webhook'], type: 'choice', options: ['standard', 'alertmanager-v4', 'template'] },
  { name: 'timeout', label: 'Timeout', kinds: ['webhook'], placeholder: '10s' },
  { name: 'template', label: 'Template', kinds: ['webhook'], type: 'area', placeholder: '{"text": {{ title|tojson }}}', hint: 'MiniJinja, with the body template' },
  { name: 'content_type', label: 'Content type', kinds: ['webhook'], placeholder: 'application/json', rare: true },
  { name: 'webhook_url', label: 'Incoming webhook', kinds: ['slack'], placeholder: 'https://hooks.slack.com/services/…', wide: true },
  { name: 'bot_token', label: 'or bot token', kinds: ['slack'], type: 'secret', placeholder: 'xoxb-…' },
  { name: 'channel', label: 'and channel', kinds: ['slack'], placeholder: '#ops' },
  { name: 'update_on_resolve', label: 'Change the message when it is over', kinds: ['slack'], type: 'check' },
  { name: 'api_url', label: 'API', kinds: ['slack'], placeholder: 'https://slack.com/api', rare: true },
  { name: 'to', label: 'To', kinds: ['email'], as: 'list', placeholder: 'ops@example.org, boss@example.org', wide: true },
  { name: 'host', label: 'Server', kinds: ['email'], placeholder: 'of the configuration' },
  { name: 'port', label: 'Port', kinds: ['email'], type: 'number', placeholder: '587' },
  { name: 'tls', label: 'TLS', kinds: ['email'], type: 'choice', options: ['', 'starttls', 'tls', 'none'] },
  { name: 'from', label: 'From', kinds: ['email'], placeholder: 'alerts@example.org' },
  { name: 'urls', label: 'URLs', kinds: ['alertmanager'], type: 'area', as: 'list', placeholder: 'http://alertmanager:9093', hint: 'one a line' },
  { name: 'username', label: 'User', kinds: ['webhook', 'email', 'alertmanager'], rare: true },
  { name: 'password', label: 'Password', kinds: ['webhook', 'email', 'alertmanager'], type: 'secret', rare: true },
  { name: 'bearer_token', label: 'Bearer token', kinds: ['webhook', 'alertmanager'], type: 'secret', rare: true },
  { name: 'headers', label: 'Headers', kinds: ['webhook', 'alertmanager'], type: 'area', as: 'pairs', placeholder: 'X-Team=platform', hint: 'one a line: name=value', rare: true },
];

export type Texts = Readonly<Record<string, string>>;

export function fieldsOf(fields: readonly FieldOf[], kind: string): FieldOf[] {
  return fields.filter((it) => it.kinds?.includes(kind) ?? true);
}

/** What a form shows of `values`. */
export function textsOf(fields: readonly FieldOf[], values: { readonly [name: string]: Json | undefined }): Texts {
  return Object.fromEntries(fields.map((it) => [it.name, textOf(it, values[it.name])]));
}

function textOf(field: FieldOf, it: Json | undefined): string {
  if (it === undefined || it === null) return '';
  if (field.as === 'json') return Array.isArray(it) && it.length === 0 ? '' : JSON.stringify(it);
  if (field.as === 'list' && Array.isArray(it)) return it.join(field.type === 'area' ? '\n' : ', ');
  if (field.as === 'pairs' && typeof it === 'object' && !Array.isArray(it)) {
    return Object.entries(it)
      .map(([name, value]) => `${name}=${typeof value === 'string' ? value.replaceAll('\n', '\\n') : JSON.stringify(value)}`)
      .join('\n');
  }
  return typeof it === 'object' ? JSON.stringify(it) : String(it);
}

/**
 * The values that the texts of a form stand for. An empty text is `null`, which puts the server's default back; what is no
 * number stays a text, so that the server says what is wrong with it.
 */
export function valuesOf(fields: readonly FieldOf[], texts: Texts): Record<string, Json> {
  return Object.fromEntries(fields.map((it) => [it.name, valueOf(it, texts[it.name]?.trim() ?? '')]));
}

function valueOf(field: FieldOf, text: string): Json {
  if (field.type === 'check') return text === 'true';
  if (text === '') return null;
  if (field.type === 'number') return Number.isFinite(Number(text)) ? Number(text) : text;
  if (field.as === 'list') return (field.type === 'area' ? text.split('\n') : items(text)).map((it) => it.trim()).filter((it) => it !== '');
  if (field.as === 'pairs') return pairs(text);
  if (field.as === 'json') {
    try {
      return JSON.parse(text) as Json;
    } catch {
      return text;
    }
  }
  return text;
}

/** What is between commas, but not those within quotes. */
function items(text: string): string[] {
  return text.match(/(?:"[^"]*"|[^,"])+/g) ?? [];
}

function pairs(text: string): Record<string, string> {
  const lines = text.split('\n').filter((it) => it.trim() !== '');
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf('=');
      const [name, value] = at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
      return [name.trim(), value.replaceAll('\\n', '\n')];
    }),
  );
}
