/** Silences: for how long, and which alerts. */

import { useState } from 'preact/hooks';
import type { Alert, Matcher } from '../api/alerting';
import { send } from '../api/http';
import { session } from '../state/session';
import { Choice } from './basics';
import { Ask, Field, type FieldSpec } from './form';

const LENGTHS = ['1h', '4h', '1d', '7d'] as const;
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

const COMMENT: FieldSpec = { name: 'comment', label: 'Comment', placeholder: 'why', wide: true };
const AUTHOR: FieldSpec = { name: 'author', label: 'Your name', placeholder: 'anonymous', wide: true };
const MATCHERS: FieldSpec = { name: 'matchers', label: 'Alerts with all of these labels', type: 'area', hint: 'One a line: team="platform", branch=~"release/.*", severity!="critical"' };

/** A field for what is said, and one for who says it, where nobody shows a token. */
export function useSaid() {
  const [comment, setComment] = useState('');
  const [author, setAuthor] = useState(stored());
  const named = session.value?.name;
  const fields = (
    <div class="form">
      <Field spec={COMMENT} value={comment} faults={[]} onChange={setComment} autofocus />
      {!named && <Field spec={AUTHOR} value={author} faults={[]} onChange={setAuthor} />}
    </div>
  );
  const said = () => {
    if (!named) keep(author);
    return { comment, ...(named || !author ? {} : { author }) };
  };
  return { fields, said, by: () => named ?? (author || 'anonymous') };
}

const KEY = 'observatory.author';

function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? '';
  } catch {
    return '';
  }
}

function keep(author: string): void {
  try {
    localStorage.setItem(KEY, author);
  } catch {
    // Then it is asked for each time.
  }
}

/** Silences one alert, or whatever matches; what it begins with comes from the alert. */
export function SilenceDialog({ alert, onClose }: { alert: Alert | undefined; onClose: () => void }) {
  const [length, setLength] = useState('1h');
  const [which, setWhich] = useState<'this' | 'all'>(alert ? 'this' : 'all');
  const [matchers, setMatchers] = useState(() =>
    Object.entries(alert?.labels ?? {})
      .map(([name, value]) => matcher({ name, value, isRegex: false, isEqual: true }))
      .join('\n'),
  );
  const { fields, said, by } = useSaid();
  const act = async () => {
    const duration = seconds(length);
    if (!duration) throw new Error('for how long? Such as 90m, 4h or 1d12h');
    if (alert && which === 'this') {
      await send('POST', `api/v1/monitoring/alerts/${encodeURIComponent(alert.id)}/silence`, { duration, ...said() });
      return;
    }
    const now = Date.now();
    const [startsAt, endsAt] = [now, now + duration * 1000].map((it) => new Date(it).toISOString());
    await send('POST', 'api/v2/silences', { matchers: readMatchers(matchers), startsAt, endsAt, createdBy: by(), comment: said().comment });
  };
  return (
    <Ask title={alert ? `Silence ${alert.rule_name}` : 'New silence'} action="Silence" onDo={act} onClose={onClose}>
      {alert && <Choice label="Which alerts" options={[['this', 'this alert'], ['all', 'whatever matches']] as const} value={which} onChange={setWhich} />}
      <div class="form">
        <div class="field wide">
          <label for="silence-length">For how long</label>
          <div class="lengths">
            <Choice label="For how long" options={LENGTHS.map((it) => [it, it] as const)} value={length as (typeof LENGTHS)[number]} onChange={setLength} />
            <input id="silence-length" value={length} size={8} onInput={(it) => setLength(it.currentTarget.value)} />
          </div>
        </div>
        {which === 'all' && <Field spec={MATCHERS} value={matchers} faults={[]} onChange={setMatchers} />}
      </div>
      {fields}
    </Ask>
  );
}
