/** What happened to alerts, and which silences there are and were. */

import { useState } from 'preact/hooks';
import type { Entry, EntryPage, Silence } from '../api/alerting';
import { get, send } from '../api/http';
import { origin } from '../lib/curl';
import { matcher } from '../lib/silence';
import { dateAndTime, elapsed, parse } from '../lib/time';
import { alertsMoved } from '../state/alerts';
import { now } from '../state/clock';
import { useAnswer } from '../state/query';
import { param } from '../state/route';
import { mayControl } from '../state/session';
import { LabelsOf, SeverityMark } from './alert';
import { Ago, Card, Empty, Trouble } from './basics';
import { Ask } from './form';

const MOST = 200;

/** What happened, in a word and by whom. */
export function Entries({ all, named = false }: { all: readonly Entry[]; named?: boolean }) {
  return (
    <ul class="entries">
      {all.map((it) => (
        <li key={`${it.at} ${it.alert.id} ${it.change ?? it.action}`}>
          <time dateTime={it.at}>{dateAndTime(parse(it.at))}</time>
          {named && <SeverityMark severity={it.alert.severity} hollow={it.change !== 'firing'} />}
          <b>{it.change ?? it.action}</b>
          <span>
            {named && (
              <>
                {it.alert.rule_name} <LabelsOf labels={it.alert.labels} />{' '}
              </>
            )}
            {it.by && <span class="dim">by {it.by}</span>}
            {it.comment && `: ${it.comment}`}
          </span>
        </li>
      ))}
    </ul>
  );
}

export function History() {
  const [limit, setLimit] = useState(100);
  const { data, error } = useAnswer(`history ${limit} ${param('severity')} ${alertsMoved.value}`, (signal) =>
    get<EntryPage>('api/v1/monitoring/alerts/history', { limit, severity: param('severity') }, signal),
  );
  const words = param('q').toLowerCase();
  const shown = data?.history.filter((it) => `${it.alert.rule_name} ${JSON.stringify(it.alert.labels)}`.toLowerCase().includes(words));
  return (
    <Card title="What happened to alerts">
      <Trouble message={error} />
      {shown && shown.length > 0 && <Entries all={shown} named />}
      {shown?.length === 0 && <Empty title={words ? 'Nothing matches.' : 'Nothing has happened yet.'} />}
      {data?.next_cursor && limit < 1000 && (
        <button type="button" class="small" onClick={() => setLimit(Math.min(1000, limit * 3))}>
          Show more
        </button>
      )}
    </Card>
  );
}

export function Silences() {
  const [changes, setChanges] = useState(0);
  const [ended, setEnded] = useState<Silence>();
  const { data, error } = useAnswer(`silences ${changes} ${alertsMoved.value}`, (signal) => get<readonly Silence[]>('api/v2/silences', {}, signal), 5000);
  const order = ['active', 'pending', 'expired'];
  const shown = [...(data ?? [])].sort((a, b) => order.indexOf(a.status.state) - order.indexOf(b.status.state) || parse(b.endsAt) - parse(a.endsAt));
  return (
    <Card title="Silences">
      <Trouble message={error} />
      <ul class="silences">
        {shown.slice(0, MOST).map((it) => (
          <li key={it.id} class={it.status.state}>
            <span class="labels">
              {it.matchers.map((of) => (
                <span key={matcher(of)} class="label">
                  {matcher(of)}
                </span>
              ))}
            </span>
            <span>
              {it.comment} <span class="dim">{it.createdBy && `by ${it.createdBy}`}</span>
            </span>
            <span class="dim">{it.status.state === 'expired' ? <>ended <Ago at={parse(it.endsAt)} /></> : `${elapsed(parse(it.endsAt) - now.value)} left`}</span>
            {mayControl.value && it.status.state !== 'expired' ? (
              <button type="button" class="small" onClick={() => setEnded(it)}>
                End
              </button>
            ) : (
              <span />
            )}
          </li>
        ))}
      </ul>
      {data?.length === 0 && (
        <Empty
          title="Nothing is silenced. A silence keeps people from being told of what matches, for some time:"
          command={`curl '${origin()}/api/v2/silences' -H 'Content-Type: application/json' -d '{"comment":"maintenance","createdBy":"me",\n  "startsAt":"${new Date(now.peek()).toISOString()}","endsAt":"${new Date(now.peek() + 3_600_000).toISOString()}",\n  "matchers":[{"name":"team","value":"platform","isRegex":false,"isEqual":true}]}'`}
        />
      )}
      {ended && (
        <Ask
          title="End this silence?"
          action="End it"
          danger
          onDo={async () => {
            await send('DELETE', `api/v2/silence/${encodeURIComponent(ended.id)}`);
            setChanges((it) => it + 1);
          }}
          onClose={() => setEnded(undefined)}
        >
          <p>Whoever should have been told of what still fires is told then.</p>
        </Ask>
      )}
    </Card>
  );
}
