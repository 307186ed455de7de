/** Pushed groups: what a Pushgateway's page shows and does, and how old each group is. */

import { useState } from 'preact/hooks';
import { get, request } from '../api/http';
import type { Status } from '../api/types';
import { origin } from '../lib/curl';
import { count } from '../lib/number';
import { elapsed } from '../lib/time';
import { Ago, Card, Empty, Head, Trouble } from '../parts/basics';
import { Dialog } from '../parts/dialog';
import { Mark } from '../parts/mark';
import { PushLine } from '../parts/pushes';
import { now } from '../state/clock';
import { expiries, ownLabels, pathOf, readGroups, type Family, type Group, type Life, type Metric, type RawGroup } from '../state/groups';
import { useAnswer } from '../state/query';
import { param, setParams } from '../state/route';
import { mayAdmin, mayIngest } from '../state/session';

const POLL_MS = 2000;
const MOST = 500;

interface Deletion {
  readonly what: string;
  readonly run: () => Promise<unknown>;
}

export function GroupsPage() {
  const [asked, setAsked] = useState<Deletion>();
  const [changes, setChanges] = useState(0);
  const filter = param('q').toLowerCase();
  const { data, error } = useAnswer(
    `groups ${changes}`,
    async (signal) => {
      const { data: raw } = await get<{ data: readonly RawGroup[] }>('api/v1/metrics', {}, signal);
      const lives = await get<{ groups: readonly Life[] }>('api/v1/push/groups', { limit: 10_000 }, signal);
      return { groups: readGroups(raw), expires: expiries(lives.groups) };
    },
    POLL_MS,
  );
  const { data: status } = useAnswer('status', (signal) => get<Status>('api/v1/status', {}, signal));
  const shown = data?.groups.filter((it) => it.key.toLowerCase().includes(filter)) ?? [];
  const wipe = status?.data.flags['web.enable_admin_api'] === 'true' && mayAdmin.value;
  return (
    <>
      <Head title="Pushed groups">
        <input
          type="search"
          aria-label="Groups whose labels contain"
          placeholder="labels contain…"
          value={param('q')}
          onInput={(it) => setParams({ q: it.currentTarget.value })}
        />
        {wipe && (data?.groups.length ?? 0) > 0 && (
          <button
            type="button"
            class="small danger"
            onClick={() => setAsked({ what: `all ${count(data?.groups.length ?? 0)} groups`, run: () => request('PUT', 'api/v1/admin/wipe') })}
          >
            Delete all groups
          </button>
        )}
      </Head>
      <PushLine />
      <Trouble message={error} />
      {data && data.groups.length === 0 && (
        <Card title="Groups">
          <Empty
            title="Nothing was pushed. What a job pushes to a Pushgateway it can push here:"
            command={`echo 'build_seconds 42' | curl --data-binary @- '${origin()}/metrics/job/ci-build/instance/runner-1'`}
          />
        </Card>
      )}
      {shown.slice(0, MOST).map((it) => (
        <GroupView
          key={it.key}
          group={it}
          expiresAt={data?.expires.get(it.key) ?? 0}
          onDelete={() => setAsked({ what: `the group ${words(it)}`, run: () => request('DELETE', pathOf(it.labels)) })}
        />
      ))}
      {shown.length > MOST && <p class="notice">{count(shown.length - MOST)} more: narrow them down by their labels.</p>}
      {asked && (
        <Confirm
          deletion={asked}
          onDone={() => {
            setAsked(undefined);
            setChanges((it) => it + 1);
          }}
        />
      )}
    </>
  );
}

function words(group: Group): string {
  return `{${labelsOf(group).map(([name, value]) => `${name}="${value}"`).join(', ')}}`;
}

/** The job first. */
function labelsOf(group: Group): [string, string][] {
  return Object.entries(group.labels).sort(([a], [b]) => Number(b === 'job') - Number(a === 'job') || (a < b ? -1 : 1));
}

function GroupView({ group, expiresAt, onDelete }: { group: Group; expiresAt: number; onDelete: () => void }) {
  const [open, setOpen] = useState(false);
  const series = group.families.reduce((sum, it) => sum + it.metrics.length, 0);
  return (
    <div class="group">
      <details open={open} onToggle={(it) => setOpen(it.currentTarget.open)}>
        <summary>
          <Mark state={group.lastSuccessful ? 'success' : 'failure'} label={group.lastSuccessful ? 'last push taken' : 'last push rejected'} />
          <span class="labels">
            {labelsOf(group).map(([name, value]) => (
              <span key={name} class={`label ${name === 'job' ? 'job' : ''}`}>{`${name}="${value}"`}</span>
            ))}
          </span>
          <span class="facts">
            <span>{count(series)} series</span>
            <span>
              pushed <Ago at={group.pushedAt} />
            </span>
            {!group.lastSuccessful && (
              <span>
                rejected <Ago at={group.failedAt} />
              </span>
            )}
            {expiresAt > 0 && <span>{expiresAt > now.value ? `expires in ${elapsed(expiresAt - now.value)}` : 'expired'}</span>}
          </span>
        </summary>
        {open && (
          <div class="body">
            {group.families.length === 0 && <p class="dim">It has no metrics.</p>}
            {group.families.map((it) => (
              <FamilyView key={it.name} family={it} group={group} />
            ))}
          </div>
        )}
      </details>
      {mayIngest.value && (
        <button type="button" class="small danger" onClick={onDelete}>
          Delete
        </button>
      )}
    </div>
  );
}

function FamilyView({ family, group }: { family: Family; group: Group }) {
  return (
    <div class="family">
      <p>
        <b>{family.name}</b>
        <span class="type">{family.type}</span>
        {family.help}
        <span class="at">
          pushed <Ago at={family.at} />
        </span>
      </p>
      <table>
        <tbody>
          {family.metrics.slice(0, MOST).flatMap((metric, at) =>
            samples(metric, ownLabels(metric, group)).map(([labels, value]) => (
              <tr key={`${at} ${labels}`}>
                <td>{labels}</td>
                <td class="n">{value}</td>
              </tr>
            )),
          )}
        </tbody>
      </table>
    </div>
  );
}

/** The values of a metric, and what tells them apart. */
function samples(metric: Metric, labels: string): (readonly [string, string])[] {
  if (metric.value !== undefined) return [[labels || '(no labels of its own)', metric.value]];
  const of = (name: string, all: Readonly<Record<string, string>> | undefined) =>
    Object.entries(all ?? {}).map(([bound, value]) => [`${labels} ${name}=${bound}`.trim(), value] as const);
  const parts = [...of('le', metric.buckets), ...of('quantile', metric.quantiles)];
  return [...parts, [`${labels} count`.trim(), metric.count ?? '–'], [`${labels} sum`.trim(), metric.sum ?? '–']];
}

function Confirm({ deletion, onDone }: { deletion: Deletion; onDone: () => void }) {
  const [error, setError] = useState('');
  const run = async () => {
    try {
      await deletion.run();
      onDone();
    } catch (it) {
      setError(it instanceof Error ? it.message : String(it));
    }
  };
  return (
    <Dialog label="Confirm" onClose={onDone}>
      <div>
        <h2>Delete?</h2>
        <p>Delete {deletion.what}? The metrics go from the next scrape on, and do not come back unless they are pushed again.</p>
        <Trouble message={error} />
      </div>
      <div class="buttons">
        <button type="button" onClick={onDone} autofocus>
          Keep
        </button>
        <button type="button" class="danger" onClick={() => void run()}>
          Delete
        </button>
      </div>
    </Dialog>
  );
}
