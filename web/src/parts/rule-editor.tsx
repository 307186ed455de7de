/** Making and changing an alert rule, with what it would have done. */

import { useState } from 'preact/hooks';
import type { Preview, Rule } from '../api/alerting';
import { send } from '../api/http';
import { count, value } from '../lib/number';
import { fieldsOf, RULE_FIELDS, textsOf, valuesOf, type Texts } from '../lib/rule';
import { dateAndTime, parse } from '../lib/time';
import { mayControl } from '../state/session';
import { LabelsOf } from './alert';
import { Card, Choice, Trouble } from './basics';
import { Field, rest, useSending } from './form';

const NEW = { kind: 'threshold', severity: 'medium', function: 'value', operator: 'gt', no_data: 'ok' };
const SINCE = ['1h', '24h', '7d'] as const;

export function RuleEditor({ rule, onDone }: { rule: Rule | undefined; onDone: (saved: Rule | undefined) => void }) {
  const [texts, setTexts] = useState<Texts>(() => textsOf(RULE_FIELDS, rule ?? NEW));
  const [since, setSince] = useState<(typeof SINCE)[number]>('24h');
  const [preview, setPreview] = useState<Preview>();
  const saving = useSending();
  const trying = useSending();
  const faults = [...saving.faults, ...trying.faults.filter((it) => !saving.faults.some((of) => of.field === it.field))];
  const kind = texts.kind ?? 'threshold';
  const shown = fieldsOf(RULE_FIELDS, kind);
  const change = (name: string) => (text: string) => {
    setTexts((it) => ({ ...it, [name]: text }));
    saving.forget(name);
    trying.forget(name);
  };
  const body = () => {
    const values = valuesOf(shown, texts);
    // Fields of another kind that a rule had are taken off with it.
    const others = RULE_FIELDS.filter((it) => !shown.includes(it)).map((it) => [it.name, null]);
    return { ...(rule ? Object.fromEntries(others) : {}), ...values };
  };
  const save = () =>
    saving.run(async () => {
      const path = 'api/v1/monitoring/alert-rules';
      onDone(rule ? await send<Rule>('PUT', `${path}/${encodeURIComponent(rule.id)}`, body()) : await send<Rule>('POST', path, body()));
    });
  const attempt = () =>
    trying.run(async () => {
      setPreview(undefined);
      const named = { ...body(), ...(texts.name?.trim() ? {} : { name: 'preview' }) };
      setPreview(await send<Preview>('POST', 'api/v1/monitoring/alert-rules/preview', named, { since }));
    });
  const fields = (rare: boolean) =>
    shown
      .filter((it) => (it.rare ?? false) === rare)
      .map((it, at) => <Field key={it.name} spec={it} value={texts[it.name] ?? ''} faults={faults} onChange={change(it.name)} autofocus={!rare && at === 0} />);
  return (
    <form
      class="editor"
      aria-label={rule ? `Change ${rule.name}` : 'New rule'}
      onSubmit={(it) => {
        it.preventDefault();
        void save();
      }}
    >
      <Card title={rule ? rule.name : 'New rule'}>
        <Trouble message={rest(saving.message, saving.faults, RULE_FIELDS)} />
        <div class="form">{fields(false)}</div>
        <details open={shown.some((it) => it.rare && faults.some((fault) => fault.field === it.name))}>
          <summary>More</summary>
          <div class="form">{fields(true)}</div>
        </details>
        <div class="buttons">
          <button type="button" onClick={() => onDone(undefined)}>
            Cancel
          </button>
          <button class="primary" disabled={saving.busy || !mayControl.value}>
            {rule ? 'Save' : 'Create'}
          </button>
        </div>
      </Card>
      <Card
        title="What it would have done"
        aside={
          <span class="tools">
            <Choice label="Since" options={SINCE.map((it) => [it, it] as const)} value={since} onChange={setSince} />
            <button type="button" class="small" disabled={trying.busy} onClick={() => void attempt()}>
              Preview
            </button>
          </span>
        }
      >
        <Trouble message={rest(trying.message, trying.faults, RULE_FIELDS)} />
        {trying.busy && <p class="dim">Replaying…</p>}
        {preview ? <Transitions preview={preview} /> : !trying.message && !trying.busy && <p class="dim">The stored events are replayed through the rule. Nothing is changed, and nobody is told.</p>}
      </Card>
    </form>
  );
}

function Transitions({ preview }: { preview: Preview }) {
  return (
    <>
      <p class="notice">
        It would have fired <b>{count(preview.firings)}</b> {preview.firings === 1 ? 'time' : 'times'}, over {count(preview.events)} events
        {preview.truncated && '; only the first transitions are shown'}.
      </p>
      <ul class="entries">
        {preview.transitions.map((it, at) => (
          <li key={at}>
            <time dateTime={it.at}>{dateAndTime(parse(it.at))}</time>
            <b class={it.change}>{it.change}</b>
            <span>
              <LabelsOf labels={it.labels} /> {it.value !== null && <span class="dim">at {value(it.value)}</span>} {it.message}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
