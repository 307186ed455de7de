/** Silences as people write them. */

import type { Matcher } from '../api/alerting';

const UNITS: Record<string, number> = { m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Seconds of `90m`, `4h`, `1d12h`; nothing for what is none. */
export function seconds(text: string): number | undefined {
  const parts = [...text.trim().matchAll(/(\d+(?:\.\d+)?)\s*([mhdw])/g)];
  const whole = parts.map((it) => it[0]).join('');
  if (parts.length === 0 || whole.replace(/\s/g, '') !== text.replace(/\s/g, '')) return undefined;
  return parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS[unit ?? ''] ?? 0), 0);
}

/** One matcher, as people of Prometheus write it. */
export function matcher(it: Matcher): string {
  const sign = it.isRegex ? (it.isEqual ? '=~' : '!~') : it.isEqual ? '=' : '!=';
  return `${it.name}${sign}${JSON.stringify(it.value)}`;
}

/** Reads lines of matchers; what is none is thrown. */
export function readMatchers(text: string): Matcher[] {
  const lines = text.split('\n').filter((it) => it.trim() !== '');
  if (lines.length === 0) throw new Error('which alerts? A line such as team="platform" says so');
  return lines.map((line) => {
    const found = /^\s*([A-Za-z_][\w.]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$/.exec(line);
    if (!found) throw new Error(`${line.trim()}: is no matcher such as team="platform" or branch=~"release/.*"`);
    const [, name = '', sign = '', given = ''] = found;
    return { name, value: unquoted(given), isRegex: sign.includes('~'), isEqual: sign.startsWith('=') };
  });
}

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    throw new Error(`${text}: the quotes do not close`);
  }
}
