/** Silences: for how long, and which alerts. */

import { useState } from 'preact/hooks';
import type { Alert } from '../api/alerting';
import { send } from '../api/http';
import { matcher, readMatchers, seconds } from '../lib/silence';
import { session } from '../state/session';
import { Choice } from './basics';
import { Ask, Field, type FieldSpec } from './form';

const LENGTHS = ['1h', '4h', '1d', '7d'] as const;

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
