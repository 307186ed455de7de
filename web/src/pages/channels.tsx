/** Channels: where notifications go, whether they arrive, and what was given up. */

import { useState } from 'preact/hooks';
import type { Channel, Delivery, DeliveryPage, Tested } from '../api/alerting';
import { get, send, words } from '../api/http';
import type { Json } from '../api/types';
import { origin } from '../lib/curl';
import { CHANNEL_FIELDS, CHANNEL_TYPES, fieldsOf, textsOf, valuesOf, type Texts } from '../lib/rule';
import { duration } from '../lib/time';
import { Card, Choice, Empty, Head, Pairs, Trouble } from '../parts/basics';
import { Deliveries } from '../parts/deliveries';
import { Ask, Field, rest, useSending, type FieldSpec } from '../parts/form';
import { Mark } from '../parts/mark';
import { alertsMoved } from '../state/alerts';
import { useKeys } from '../state/keys';
import { useAnswer } from '../state/query';
import { param, setParams } from '../state/route';
import { mayAdmin, mayControl } from '../state/session';

const PATH = 'api/v1/monitoring/notification-channels';
const NEW = '+';
const SHOWS = [
  ['dead', 'Given up'],
  ['queued', 'Waiting'],
  ['all', 'All'],
] as const;

export function ChannelsPage() {
  const [changes, setChanges] = useState(0);
  const [removed, setRemoved] = useState<Channel>();
  const changed = () => setChanges((it) => it + 1);
  const { data, error } = useAnswer(`channels ${changes}`, (signal) => get<{ channels: readonly Channel[] }>(PATH, {}, signal), 10_000);
  const edit = param('edit');
  const edited = data?.channels.find((it) => it.id === edit);
  useKeys({ Escape: () => setParams({ edit: '' }) });
  return (
    <>
      <Head title="Channels">
        {mayAdmin.value && (
          <button type="button" class="small primary" onClick={() => setParams({ edit: NEW })}>
            New channel
          </button>
        )}
      </Head>
      {mayAdmin.value || !error ? <Trouble message={error} /> : <p class="notice">Channels are shown to the role admin. What became of notifications is below.</p>}
      {edit && (edit === NEW || edited) && (
        <Editor
          key={edit}
          channel={edited}
          onDone={() => {
            changed();
            setParams({ edit: '' });
          }}
        />
      )}
      {data?.channels.length === 0 && edit !== NEW && (
        <Card title="Channels">
          <Empty
            title="Nobody is told of alerts yet. A channel says whom to tell:"
            command={`curl '${origin()}/${PATH}' -H 'Content-Type: application/json' \\\n  -d '{"name":"ops","type":"webhook","config":{"url":"https://example.org/hook"}}'`}
          />
        </Card>
      )}
      <div class="cards">
        {data?.channels
          .filter((it) => it.id !== edit)
          .map((it) => (
            <ChannelView key={it.id} channel={it} onChanged={changed} onRemove={() => setRemoved(it)} />
          ))}
      </div>
      <Sent />
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
          <p>What waits for it is given up. Rules that name it tell the others.</p>
        </Ask>
      )}
    </>
  );
}

function ChannelView({ channel, onChanged, onRemove }: { channel: Channel; onChanged: () => void; onRemove: () => void }) {
  const [tested, setTested] = useState<Tested>();
  const { busy, message, run } = useSending();
  const path = `${PATH}/${encodeURIComponent(channel.id)}`;
  const test = () =>
    run(async () => {
      setTested(undefined);
      setTested(await send<Tested>('POST', `${path}/test`));
    });
  const enable = () =>
    run(async () => {
      await send('PATCH', path, { enabled: !channel.enabled });
      onChanged();
    });
  const fields = fieldsOf(CHANNEL_FIELDS, channel.type);
  const texts = textsOf(fields, channel.config);
  const said = (it: FieldSpec) => (it.type === 'check' ? (texts[it.name] === 'true' ? 'yes' : 'no') : texts[it.name]);
  const facts = [
    ...fields.filter((it) => texts[it.name]).map((it) => [it.label, said(it)] as const),
    ...(channel.send_resolved ? [] : [['Resolves', 'are not told'] as const]),
    ...(channel.configured ? [['Made by', 'the configuration'] as const] : []),
  ];
  return (
    <Card
      title={channel.name}
      aside={
        <span class="dim">
          {channel.type} <Mark state={channel.enabled ? 'success' : channel.disabled_reason ? 'failure' : 'cancelled'} label={channel.enabled ? 'on' : 'off'} />
        </span>
      }
    >
      <Pairs of={facts} />
      {channel.disabled_reason && <Trouble message={`It was switched off: ${channel.disabled_reason}`} />}
      {mayAdmin.value && (
        <div class="buttons">
          <button type="button" class="small" disabled={busy} aria-label={`Test ${channel.name}`} onClick={() => void test()}>
            {busy ? 'Testing…' : 'Test'}
          </button>
          {!channel.configured && (
            <>
              <button type="button" class="small" role="switch" aria-checked={channel.enabled} aria-label={`${channel.name} is on`} onClick={() => void enable()}>
                {channel.enabled ? 'On' : 'Off'}
              </button>
              <button type="button" class="small" aria-label={`Edit ${channel.name}`} onClick={() => setParams({ edit: channel.id })}>
                Edit
              </button>
              <button type="button" class="small danger" aria-label={`Delete ${channel.name}`} onClick={onRemove}>
                Delete
              </button>
            </>
          )}
        </div>
      )}
      <Trouble message={message} />
      {tested && (
        <p class="tested" role="status">
          <Mark state={tested.success ? 'success' : 'failure'} label="" /> <b>{tested.outcome}</b> {tested.status} <span class="said">{tested.response}</span>{' '}
          <span class="dim">{duration(tested.duration_ms / 1000)}</span>
        </p>
      )}
    </Card>
  );
}

const ABOUT: readonly FieldSpec[] = [
  { name: 'name', label: 'Name', placeholder: 'ops' },
  { name: 'type', label: 'Kind', type: 'choice', options: CHANNEL_TYPES },
];
const RESOLVED: FieldSpec = { name: 'send_resolved', label: 'Tell that an alert is over, too', type: 'check' };

function Editor({ channel, onDone }: { channel: Channel | undefined; onDone: () => void }) {
  const [about, setAbout] = useState<Texts>({ name: channel?.name ?? '', type: channel?.type ?? 'webhook', send_resolved: String(channel?.send_resolved ?? true) });
  const [texts, setTexts] = useState<Texts>(() => textsOf(CHANNEL_FIELDS, channel?.config ?? { update_on_resolve: true }));
  const { busy, message, faults, run, forget } = useSending();
  const fields = fieldsOf(CHANNEL_FIELDS, about.type ?? '');
  const specs = fields.map((it) => ({ ...it, name: `config.${it.name}` }));
  const save = () =>
    run(async () => {
      const given = Object.entries(valuesOf(fields, texts)).filter(([, it]) => it !== null);
      const config: Record<string, Json> = Object.fromEntries(given);
      const body = { name: about.name?.trim() ?? '', type: about.type, send_resolved: about.send_resolved === 'true', config };
      await (channel ? send('PUT', `${PATH}/${encodeURIComponent(channel.id)}`, body) : send('POST', PATH, body));
      onDone();
    });
  const change =
    (field: string, set: typeof setTexts, name = field) =>
    (text: string) => {
      set((all) => ({ ...all, [name]: text }));
      forget(field);
    };
  const show = (rare: boolean) =>
    specs
      .filter((it) => (it.rare ?? false) === rare)
      .map((it) => {
        const name = it.name.replace('config.', '');
        return <Field key={it.name} spec={it} value={texts[name] ?? ''} faults={faults} onChange={change(it.name, setTexts, name)} />;
      });
  const isShown = [...ABOUT, RESOLVED, ...specs];
  return (
    <form
      aria-label={channel ? `Change ${channel.name}` : 'New channel'}
      onSubmit={(it) => {
        it.preventDefault();
        void save();
      }}
    >
      <Card title={channel ? channel.name : 'New channel'} class="one">
        <Trouble message={rest(message, faults, isShown)} />
        <div class="form">
          {ABOUT.map((it, at) => (
            <Field key={it.name} spec={it} value={about[it.name] ?? ''} faults={faults} onChange={change(it.name, setAbout)} autofocus={at === 0} />
          ))}
          {show(false)}
          <Field spec={RESOLVED} value={about.send_resolved ?? ''} faults={faults} onChange={(text) => setAbout((all) => ({ ...all, send_resolved: text }))} />
        </div>
        {specs.some((it) => it.rare) && (
          <details open={specs.some((it) => it.rare && faults.some((fault) => fault.field === it.name))}>
            <summary>More</summary>
            <div class="form">{show(true)}</div>
          </details>
        )}
        {channel && <p class="dim">Secrets are written, never read: *** stays what it was.</p>}
        <div class="buttons">
          <button type="button" onClick={onDone}>
            Cancel
          </button>
          <button class="primary" disabled={busy}>
            {channel ? 'Save' : 'Create'}
          </button>
        </div>
      </Card>
    </form>
  );
}

/** What became of notifications. */
function Sent() {
  const [changes, setChanges] = useState(0);
  const [error, setError] = useState('');
  const show = SHOWS.find(([it]) => it === param('sent'))?.[0] ?? 'dead';
  const { data, error: trouble } = useAnswer(`sent ${show} ${changes} ${alertsMoved.value}`, (signal) => get<DeliveryPage>('api/v1/monitoring/notifications', { state: show === 'all' ? '' : show, limit: 100 }, signal), 5000);
  const act = (method: string, path: string) => async () => {
    try {
      await send(method, `api/v1/monitoring/notifications${path}`);
      setError('');
    } catch (it) {
      setError(words(it));
    }
    setChanges((it) => it + 1);
  };
  const tools = (it: Delivery) =>
    it.state === 'dead' &&
    mayControl.value && (
      <span class="tools">
        <button type="button" class="small" onClick={() => void act('POST', `/${encodeURIComponent(it.id)}/retry`)()}>
          Retry
        </button>
        <button type="button" class="small danger" onClick={() => void act('DELETE', `/${encodeURIComponent(it.id)}`)()}>
          Remove
        </button>
      </span>
    );
  const dead = show === 'dead' && (data?.notifications.length ?? 0) > 1 && mayControl.value;
  return (
    <Card
      title="Notifications"
      aside={
        <span class="tools">
          {dead && (
            <button type="button" class="small" onClick={() => void act('POST', '/retry')()}>
              Retry all
            </button>
          )}
          <Choice label="Show" options={SHOWS} value={show} onChange={(it) => setParams({ sent: it === 'dead' ? '' : it })} />
        </span>
      }
    >
      <Trouble message={error || trouble} />
      {data && data.notifications.length > 0 && <Deliveries all={data.notifications} tools={tools} />}
      {data?.notifications.length === 0 && <Empty title={show === 'dead' ? 'Nothing was given up.' : show === 'queued' ? 'Nothing waits.' : 'Nobody was told of anything yet.'} />}
    </Card>
  );
}
