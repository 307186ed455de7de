/** The rules that make metrics of events, and what they make of one event. */

import { useRef, useState } from 'preact/hooks';
import type { Explanation, MetricRule } from '../api/alerting';
import { get, send } from '../api/http';
import type { Json } from '../api/types';
import { count } from '../lib/number';
import { duration } from '../lib/time';
import { newest } from '../state/feed';
import { useKeys } from '../state/keys';
import { useAnswer } from '../state/query';
import { hashOf, param, setParams } from '../state/route';
import { Card, Empty, Trouble } from './basics';
import { useSending } from './form';
import { Mark } from './mark';

export function MetricRules() {
  const search = useRef<HTMLInputElement>(null);
  const { data, error } = useAnswer('metric rules', (signal) => get<{ metrics: readonly MetricRule[] }>('api/v1/rules', {}, signal));
  const words = param('q').toLowerCase();
  const shown = data?.metrics.filter((it) => `${it.name} ${it.help} ${it.labels.join(' ')}`.toLowerCase().includes(words));
  useKeys({ '/': () => search.current?.focus() });
  return (
    <>
      <Explain />
      <Card
        title="Metrics"
        aside={
          <input
            ref={search}
            type="search"
            aria-label="Metrics whose name, help or labels contain"
            placeholder="name, help or label…"
            value={param('q')}
            onInput={(it) => setParams({ q: it.currentTarget.value })}
          />
        }
      >
        <Trouble message={error} />
        {shown?.length === 0 && <Empty title={words ? 'No metric is like that.' : 'The rule file makes no metrics.'} />}
        {shown && shown.length > 0 && (
          <div class="scroll" tabIndex={0} role="group" aria-label="Metrics">
            <table>
              <thead>
                <tr>
                  <th>Metric</th>
                  <th>Type</th>
                  <th>Labels</th>
                  <th class="n">Series at most</th>
                  <th class="n">Counts from</th>
                </tr>
              </thead>
              <tbody>
                {shown.map((it) => (
                  <tr key={it.name}>
                    <td>
                      <a href={hashOf('metrics', { q: it.name })}>{it.name}</a>
                      <span class="under">{it.help}</span>
                    </td>
                    <td>{it.type}</td>
                    <td>{it.labels.join(', ') || <span class="dim">none</span>}</td>
                    <td class="n nowrap">
                      {count(it.limit)}
                      {it.ttl_seconds !== null && <span class="under">for {duration(it.ttl_seconds)}</span>}
                    </td>
                    <td class="n nowrap">
                      {it.first_sequence <= 1 ? 'the first event' : `event ${count(it.first_sequence)}`}
                      {it.backfill && <span class="under">{it.backfill.state === 'running' ? `backfill: ${count(it.backfill.done ?? 0)} of ${count(it.backfill.total ?? 0)}` : `backfill: ${it.backfill.message ?? it.backfill.state}`}</span>}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Card>
    </>
  );
}

const EXAMPLE = { event_type: 'ci_build_completed', source: 'ci', data: { project: 'web', branch: 'main', build_id: 1, status: 'success', duration_seconds: 93 } };

function example(): string {
  const last = newest.newestFirst()[0];
  return JSON.stringify(last ? { event_type: last.event_type, source: last.source, data: last.data } : EXAMPLE, null, 2);
}

function Explain() {
  const [text, setText] = useState(example);
  const [answer, setAnswer] = useState<Explanation>();
  const { busy, message, run } = useSending();
  const explain = () =>
    run(async () => {
      setAnswer(undefined);
      let event: Json;
      try {
        event = JSON.parse(text) as Json;
      } catch (error) {
        throw new Error(`this is no JSON: ${error instanceof Error ? error.message : ''}`);
      }
      setAnswer(await send<Explanation>('POST', 'api/v1/rules/explain', event));
    });
  // Why a rule for another type does not match needs no words.
  const told = answer?.rules.filter((it) => it.matched || it.selectors.some((of) => of.type_matched)) ?? [];
  return (
    <Card title="What the rules make of an event">
      <form
        class="explain"
        onSubmit={(it) => {
          it.preventDefault();
          void explain();
        }}
      >
        <textarea aria-label="An event, as JSON" rows={9} spellcheck={false} value={text} onInput={(it) => setText(it.currentTarget.value)} />
        <div>
          <p class="dim">Nothing is stored.</p>
          <button class="primary" disabled={busy}>
            Explain
          </button>
        </div>
      </form>
      <Trouble message={message} />
      {answer && (
        <ul class="told" aria-live="polite">
          {told.map((it) => (
            <li key={`${it.name} ${it.verb}`}>
              <Mark state={it.errors.length > 0 ? 'failure' : it.matched ? 'success' : 'cancelled'} label={it.matched ? 'matches' : 'does not match'} />
              <b>{it.name}</b>
              <span>
                {it.matched ? it.effects.map((effect) => <code key={effect}>{effect}</code>) : it.selectors.map((of) => <span key={of.selector} class="dim">{`${of.selector}: ${why(of.mismatch)}`}</span>)}
                {it.errors.map((of) => (
                  <span key={of} class="bad">
                    error: {of}
                  </span>
                ))}
              </span>
            </li>
          ))}
          {told.length === 0 && <li class="dim">No rule is about events of this type. It is stored and counted all the same.</li>}
        </ul>
      )}
    </Card>
  );
}

/** The part that does not match. */
function why(mismatch: Json): string {
  if (typeof mismatch === 'string') return mismatch;
  if (mismatch === null || typeof mismatch !== 'object' || Array.isArray(mismatch)) return 'matches';
  return Object.entries(mismatch)
    .map(([name, it]) => `${name.replaceAll('_', ' ')} ${typeof it === 'string' ? it : JSON.stringify(it)}`)
    .join(', ');
}
