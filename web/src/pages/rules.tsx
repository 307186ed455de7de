/** Rules: what is alerted on, and what metrics are made of events. */

import { useRef, useState } from 'preact/hooks';
import type { Evaluation, Rule } from '../api/alerting';
import { get, send, words } from '../api/http';
import { origin } from '../lib/curl';
import { count, value } from '../lib/number';
import { fieldsOf, RULE_FIELDS, textsOf } from '../lib/rule';
import { LabelsOf, SeverityMark } from '../parts/alert';
import { Card, Choice, Empty, Head, Pairs, Trouble } from '../parts/basics';
import { Ask } from '../parts/form';
import { Mark } from '../parts/mark';
import { MetricRules } from '../parts/metric-rules';
import { RuleEditor } from '../parts/rule-editor';
import { alertsMoved } from '../state/alerts';
import { useKeys } from '../state/keys';
import { useAnswer } from '../state/query';
import { hashOf, param, setParams } from '../state/route';
import { mayControl } from '../state/session';

const SHOWS = [
  ['alerts', 'Alert rules'],
  ['metrics', 'Metric rules'],
] as const;
const PATH = 'api/v1/monitoring/alert-rules';
/** So many are evaluated, to show their values. */
const EVALUATED = 60;
const NEW = '+';

export function RulesPage() {
  const metrics = param('show') === 'metrics';
  return (
    <>
      <Head title="Rules">
        <Choice label="Show" options={SHOWS} value={metrics ? 'metrics' : 'alerts'} onChange={(it) => setParams({ show: it === 'metrics' ? it : '', q: '', edit: '', rule: '' })} />
        {!metrics && mayControl.value && (
          <button type="button" class="small primary" onClick={() => setParams({ edit: NEW })}>
            New rule
          </button>
        )}
      </Head>
      {metrics ? <MetricRules /> : <AlertRules />}
    </>
  );
}

function AlertRules() {
  const [changes, setChanges] = useState(0);
  const [removed, setRemoved] = useState<Rule>();
  const search = useRef<HTMLInputElement>(null);
  const changed = () => setChanges((it) => it + 1);
  const { data, error } = useAnswer(`rules ${changes} ${alertsMoved.value}`, (signal) => get<{ rules: readonly Rule[] }>(PATH, {}, signal), 15_000);
  const [last, setLast] = useState(data);
  if (data && data !== last) setLast(data);
  const all = data ?? last;
  const text = param('q').toLowerCase();
  const shown = all?.rules.filter((it) => `${it.name} ${it.description ?? ''} ${it.kind} ${it.severity}`.toLowerCase().includes(text));
  const { data: values } = useAnswer(`values ${all?.rules.map((it) => it.id).join()} ${changes}`, (signal) => evaluate(shown ?? [], signal), 10_000);
  useKeys({ '/': () => search.current?.focus(), Escape: () => setParams({ edit: '', rule: '' }) });
  const edit = param('edit');
  const edited = all?.rules.find((it) => it.id === edit);
  if (edit && (edit === NEW || edited)) {
    return (
      <RuleEditor
        key={edit}
        rule={edited}
        onDone={(saved) => {
          changed();
          setParams({ edit: '', rule: saved?.id });
        }}
      />
    );
  }
  return (
    <>
      <Trouble message={error} />
      <Card
        title="Alert rules"
        aside={
          <input
            ref={search}
            type="search"
            aria-label="Rules whose name or description contain"
            placeholder="name, kind, severity…"
            value={param('q')}
            onInput={(it) => setParams({ q: it.currentTarget.value })}
          />
        }
      >
        {shown?.length === 0 && (
          <Empty
            title={text ? 'No rule is like that.' : 'No alert rules. One that fires when a gauge is too high:'}
            {...(text ? {} : { command: `curl '${origin()}/${PATH}' -H 'Content-Type: application/json' \\\n  -d '{"name":"High CPU","metric_name":"cpu_usage","operator":"gt","threshold":80,"for":"5m","severity":"high"}'` })}
          />
        )}
        <ul class="ruled">
          {shown?.map((it) => (
            <RuleView key={it.id} rule={it} now={values?.get(it.id)} open={param('rule') === it.id} onChanged={changed} onRemove={() => setRemoved(it)} />
          ))}
        </ul>
      </Card>
      {removed && (
        <Ask
          title={`Delete ${removed.name}?`}
          action="Delete"
          danger
          onDo={async () => {
            await send('DELETE', `${PATH}/${encodeURIComponent(removed.id)}`);
            changed();
          }}
          onClose={() => setRemoved(undefined)}
        >
          <p>{removed.firing > 0 ? `Its ${removed.firing === 1 ? 'alert is' : `${removed.firing} alerts are`} over then. ` : ''}Its history stays.</p>
        </Ask>
      )}
    </>
  );
}

async function evaluate(rules: readonly Rule[], signal: AbortSignal): Promise<Map<string, Evaluation>> {
  const some = rules.filter((it) => it.enabled).slice(0, EVALUATED);
  const ask = async (it: Rule) => [it.id, await get<Evaluation>(`${PATH}/${encodeURIComponent(it.id)}/evaluate`, {}, signal)] as const;
  const answers = await Promise.allSettled(some.map(ask));
  return new Map(answers.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : [])));
}

function RuleView({ rule, now, open, onChanged, onRemove }: { rule: Rule; now: Evaluation | undefined; open: boolean; onChanged: () => void; onRemove: () => void }) {
  const [error, setError] = useState('');
  const path = `${PATH}/${encodeURIComponent(rule.id)}`;
  const enable = async () => {
    try {
      await send('PATCH', path, { enabled: !rule.enabled });
      setError('');
      onChanged();
    } catch (it) {
      setError(words(it));
    }
  };
  return (
    <li class={rule.enabled ? '' : 'off'}>
      <div class="row">
        <button type="button" class="open" aria-expanded={open} onClick={() => setParams({ rule: open ? '' : rule.id })}>
          <SeverityMark severity={rule.severity} hollow={rule.firing === 0} />
          <span class="what">
            <b>{rule.name}</b> {rule.firing > 0 && <span class="tag active">{count(rule.firing)} firing</span>}
            <span class="under">{rule.description}</span>
          </span>
          <span class="dim kind">{rule.kind.replace('_', ' ')}</span>
          <span class="last">{rule.enabled ? <Last evaluation={now} counts={['event', 'absence'].includes(rule.kind)} /> : <span class="dim">off</span>}</span>
        </button>
        {mayControl.value && (
          <span class="tools">
            <button type="button" class="small" role="switch" aria-checked={rule.enabled} aria-label={`${rule.name} is on`} onClick={() => void enable()}>
              {rule.enabled ? 'On' : 'Off'}
            </button>
            <button type="button" class="small" aria-label={`Edit ${rule.name}`} onClick={() => setParams({ edit: rule.id })}>
              Edit
            </button>
            <button type="button" class="small danger" aria-label={`Delete ${rule.name}`} onClick={onRemove}>
              Delete
            </button>
          </span>
        )}
      </div>
      <Trouble message={error} />
      {open && <Standing rule={rule} path={path} />}
    </li>
  );
}

function Last({ evaluation, counts }: { evaluation: Evaluation | undefined; counts: boolean }) {
  if (!evaluation) return <span class="dim">–</span>;
  const it = evaluation.current_value;
  if (it === null) return <span class="dim">{evaluation.series.length > 0 ? `${count(evaluation.series.length)} seen` : counts ? 'none' : 'no data'}</span>;
  return (
    <>
      {value(it)} {evaluation.threshold !== null && <span class="dim">{`(${evaluation.operator} ${value(evaluation.threshold)})`}</span>}
    </>
  );
}

/** How a rule stands now, and why. */
function Standing({ rule, path }: { rule: Rule; path: string }) {
  const [asked, setAsked] = useState(0);
  const { data, error } = useAnswer(`evaluate ${rule.id} ${asked}`, (signal) => get<Evaluation>(`${path}/evaluate`, {}, signal), 5000);
  const fields = fieldsOf(RULE_FIELDS, rule.kind).filter((it) => !['name', 'kind', 'severity', 'description'].includes(it.name));
  const texts = textsOf(fields, rule);
  const set = fields.filter((it) => texts[it.name]).map((it) => [it.label, texts[it.name]] as const);
  return (
    <div class="details">
      <Trouble message={error} />
      <div class="buttons">
        <button type="button" class="small" onClick={() => setAsked((it) => it + 1)}>
          Evaluate
        </button>
        <a href={hashOf('alerts', { q: rule.name })}>its alerts</a>
      </div>
      <p class="reason">{data?.reason ?? '…'}</p>
      {data && data.series.length > 0 && (
        <ul class="standing">
          {data.series.slice(0, 50).map((it) => (
            <li key={JSON.stringify(it.labels)}>
              <Mark state={it.holds ? 'failure' : 'success'} label={it.holds ? 'holds' : 'does not hold'} />
              <LabelsOf labels={it.labels} />
              <span>{it.value === null ? '' : value(it.value)}</span>
              <span class="dim">{it.alert?.status === 'active' ? 'firing' : it.alert?.status}</span>
            </li>
          ))}
        </ul>
      )}
      <Pairs of={[...set, ['Made by', rule.origin === 'api' ? 'somebody, over the API' : rule.origin === 'shipped' ? 'the program' : 'the configuration']]} />
    </div>
  );
}
