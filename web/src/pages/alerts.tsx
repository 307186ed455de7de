/** Alerts: what is pending and fires, what was, and what people do about it. */

import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { SEVERITIES, type Alert, type AlertPage, type DeliveryPage, type EntryPage, type Severity } from '../api/alerting';
import { get, send } from '../api/http';
import { count, value } from '../lib/number';
import { dateAndTime, elapsed, parse } from '../lib/time';
import { LabelsOf, SeverityMark } from '../parts/alert';
import { Entries, History, Silences } from '../parts/alert-past';
import { Ago, Card, Choice, Empty, Figure, Head, Pairs, Trouble } from '../parts/basics';
import { Deliveries } from '../parts/deliveries';
import { Ask } from '../parts/form';
import { sending } from '../parts/page';
import { SilenceDialog, useSaid } from '../parts/silence';
import { alerts, alertsMoved, alertTrouble } from '../state/alerts';
import { now } from '../state/clock';
import { useKeys } from '../state/keys';
import { useAnswer } from '../state/query';
import { hashOf, param, setParams } from '../state/route';
import { mayControl } from '../state/session';

const SHOWS = [
  ['active', 'Active'],
  ['resolved', 'Resolved'],
  ['history', 'History'],
  ['silences', 'Silences'],
] as const;
type Show = (typeof SHOWS)[number][0];
const MOST = 200;

type Doing = { what: 'acknowledge' | 'resolve' | 'silence'; alert: Alert | undefined };

export function AlertsPage() {
  const show = (SHOWS.find(([it]) => it === param('show'))?.[0] ?? 'active') as Show;
  const [doing, setDoing] = useState<Doing>();
  const search = useRef<HTMLInputElement>(null);
  const { data: resolved, error } = useAnswer(
    show === 'resolved' ? `resolved ${alertsMoved.value}` : 'no alerts',
    async (signal) => (show === 'resolved' ? (await get<AlertPage>('api/v1/monitoring/alerts', { status: 'resolved', limit: MOST }, signal)).alerts : []),
  );
  const all = show === 'resolved' ? resolved : alerts.value;
  const shown = all?.filter(wanted(param('q'), param('severity'), param('status')));
  const open = param('alert');
  const at = shown?.findIndex((it) => it.id === open) ?? -1;
  const choose = (it: Alert | undefined) => it && setParams({ alert: it.id });
  const act = (what: Doing['what']) => () => {
    const alert = shown?.[at];
    if (alert && mayControl.value && alert.status !== 'resolved') setDoing({ what, alert });
  };
  useKeys({
    '/': () => search.current?.focus(),
    j: () => choose(shown?.[at + 1]),
    k: () => choose(shown?.[Math.max(0, at - 1)]),
    a: act('acknowledge'),
    s: act('silence'),
    r: act('resolve'),
    Escape: () => setParams({ alert: undefined }),
  });
  return (
    <>
      <Head title="Alerts">
        <input
          ref={search}
          type="search"
          aria-label="Alerts whose name, message or labels contain"
          placeholder="name, message or label…"
          value={param('q')}
          onInput={(it) => setParams({ q: it.currentTarget.value })}
        />
        <Choice label="Severity" options={[['', 'all'], ...SEVERITIES.map((it) => [it, it] as const)]} value={param('severity') as Severity | ''} onChange={(it) => setParams({ severity: it })} />
        {mayControl.value && (
          <button type="button" class="small" onClick={() => setDoing({ what: 'silence', alert: undefined })}>
            New silence
          </button>
        )}
      </Head>
      <Trouble message={alertTrouble.value || error} />
      <Counts all={alerts.value} />
      <div class="tabs">
        <Choice label="Show" options={SHOWS} value={show} onChange={(it) => setParams({ show: it === 'active' ? '' : it, alert: undefined, status: undefined })} />
      </div>
      {show === 'history' && <History />}
      {show === 'silences' && <Silences />}
      {(show === 'active' || show === 'resolved') && shown && (
        <div class="alerts">
          {shown.slice(0, MOST).map((it) => (
            <AlertView key={it.id} alert={it} open={it.id === open} onDo={(what) => setDoing({ what, alert: it })} />
          ))}
          {shown.length > MOST && <p class="notice">{count(shown.length - MOST)} more: narrow them down.</p>}
          {shown.length === 0 && <Nothing filtered={(all?.length ?? 0) > 0} show={show} />}
        </div>
      )}
      {doing?.what === 'silence' && <SilenceDialog alert={doing.alert} onClose={() => setDoing(undefined)} />}
      {doing && doing.what !== 'silence' && doing.alert && <Say what={doing.what} alert={doing.alert} onClose={() => setDoing(undefined)} />}
    </>
  );
}

function wanted(text: string, severity: string, status: string) {
  const words = text.toLowerCase().split(' ');
  return (it: Alert) => {
    const all = `${it.rule_name} ${it.message} ${Object.entries(it.labels).map(([name, of]) => `${name}=${of}`)}`.toLowerCase();
    return (!severity || it.severity === severity) && (!status || it.status === status) && words.every((word) => all.includes(word));
  };
}

function Counts({ all }: { all: readonly Alert[] | undefined }) {
  const loud = all?.filter((it) => it.status === 'active');
  const of = (severity: Severity) => loud?.filter((it) => it.severity === severity).length;
  const by = (status: Alert['status']) => all?.filter((it) => it.status === status).length;
  const shown = (n: number | undefined) => (n === undefined ? '–' : count(n));
  return (
    <dl class="figures">
      {SEVERITIES.map((it) => (
        <Figure key={it} label={it} value={shown(of(it))} note="fire" tone={of(it) && (it === 'critical' || it === 'high') ? 'bad' : undefined} />
      ))}
      <Figure label="acknowledged" value={shown(by('acknowledged'))} note="somebody is at it" />
      <Figure label="silenced" value={shown(by('silenced'))} note="nobody is told" />
      <Figure label="pending" value={shown(by('pending'))} note="may fire" />
    </dl>
  );
}

function AlertView({ alert, open, onDo }: { alert: Alert; open: boolean; onDo: (what: Doing['what']) => void }) {
  const [since, until] = [parse(alert.starts_at), parse(alert.resolved_at)];
  return (
    <article class={`alert ${alert.severity} ${alert.status}`} aria-label={alert.rule_name}>
      <button type="button" class="open" aria-expanded={open} onClick={() => setParams({ alert: open ? undefined : alert.id })}>
        <SeverityMark severity={alert.severity} hollow={alert.status === 'pending' || alert.status === 'resolved'} />
        <span class="what">
          <b>{alert.rule_name}</b> <span class={`tag ${alert.status}`}>{alert.status === 'active' ? 'firing' : alert.status}</span>
          {alert.message !== alert.rule_name && <span class="message">{alert.message}</span>}
        </span>
        <LabelsOf labels={alert.labels} />
        <span class="since">
          {until ? <Ago at={until} /> : <b>{elapsed(now.value - since)}</b>}
          <span class="dim">{until ? `after ${elapsed(until - since)}` : alert.current_value === null ? '' : `at ${value(alert.current_value)}`}</span>
        </span>
      </button>
      {open && <Details alert={alert} onDo={onDo} />}
    </article>
  );
}

function Details({ alert, onDo }: { alert: Alert; onDo: (what: Doing['what']) => void }) {
  const { data: history } = useAnswer(`history ${alert.id} ${alertsMoved.value}`, async (signal) => {
    const { history: all } = await get<EntryPage>('api/v1/monitoring/alerts/history', { rule: alert.rule_id, limit: 500 }, signal);
    return all.filter((it) => it.alert.id === alert.id);
  });
  const { data: told, error } = useAnswer(`told ${alert.id} ${alertsMoved.value}`, (signal) => get<DeliveryPage>('api/v1/monitoring/notifications', { alert: alert.id, limit: 50 }, signal));
  const { acknowledged, current_value: current, threshold } = alert;
  const facts: (readonly [string, ComponentChildren])[] = [
    ['Since', dateAndTime(parse(alert.starts_at))],
    ...(alert.resolved_at ? [['Until', dateAndTime(parse(alert.resolved_at))] as const] : []),
    ...(current === null ? [] : [['Value', `${value(current)}${threshold === null ? '' : `, threshold ${value(threshold)}`}`] as const]),
    ['Rule', <a href={hashOf('rules', { rule: alert.rule_id })}>{alert.rule_name}</a>],
    ...(acknowledged ? [['Acknowledged', <Taken {...acknowledged} />] as const] : []),
    ...Object.entries(alert.annotations).map(([name, text]) => [name, <Annotation text={text} />] as const),
  ];
  return (
    <div class="details">
      {mayControl.value && alert.status !== 'resolved' && (
        <div class="buttons">
          <button type="button" class="small" disabled={alert.status === 'pending' || alert.acknowledged !== null} onClick={() => onDo('acknowledge')}>
            Acknowledge
          </button>
          <button type="button" class="small" onClick={() => onDo('silence')}>
            Silence
          </button>
          <button type="button" class="small" disabled={alert.status === 'pending'} onClick={() => onDo('resolve')}>
            Resolve
          </button>
        </div>
      )}
      <Pairs of={facts} />
      <h2>What happened</h2>
      {history && history.length > 0 ? <Entries all={history} /> : <p class="dim">{history ? 'Nothing is written down yet.' : ''}</p>}
      <h2>Who was told</h2>
      <Trouble message={error} />
      {told && told.notifications.length > 0 ? <Deliveries all={told.notifications} /> : <p class="dim">{told ? 'Nobody was told.' : ''}</p>}
    </div>
  );
}

function Taken({ by, at, comment }: NonNullable<Alert['acknowledged']>) {
  return (
    <>
      by {by}, <Ago at={parse(at)} />
      {comment && `: ${comment}`}
    </>
  );
}

/** What a rule's author wrote; an address that leads to the web can be followed. */
function Annotation({ text }: { text: string }) {
  if (!/^https?:\/\/\S+$/.test(text)) return <>{text}</>;
  return (
    <a href={text} rel="noreferrer noopener">
      {text}
    </a>
  );
}

function Say({ what, alert, onClose }: { what: 'acknowledge' | 'resolve'; alert: Alert; onClose: () => void }) {
  const { fields, said } = useSaid();
  const acknowledges = what === 'acknowledge';
  return (
    <Ask
      title={`${acknowledges ? 'Acknowledge' : 'Resolve'} ${alert.rule_name}`}
      action={acknowledges ? 'Acknowledge' : 'Resolve'}
      onDo={() => send('POST', `api/v1/monitoring/alerts/${encodeURIComponent(alert.id)}/${what}`, said())}
      onClose={onClose}
    >
      <p class="dim">
        {acknowledges ? 'Nobody is told again, nor escalated to, until it is over.' : 'It fires again when its condition has ceased to hold and holds anew.'}
      </p>
      {fields}
    </Ask>
  );
}

function Nothing({ filtered, show }: { filtered: boolean; show: Show }) {
  return (
    <Card title={show === 'active' ? 'Active' : 'Resolved'}>
      {filtered ? (
        <Empty title="No alert is like that." />
      ) : show === 'resolved' ? (
        <Empty title="No alert was resolved yet." />
      ) : (
        <Empty
          title="Nothing fires, and nothing is pending. A build that fails on main does:"
          command={sending('{"event_type":"ci_build_completed","source":"ci","data":{"project":"web","branch":"main","build_id":1,"status":"failure"}}')}
        />
      )}
    </Card>
  );
}
