/** One event in a line, and all of it beside the list. */

import { useEffect, useState } from 'preact/hooks';
import { get } from '../api/http';
import type { Event } from '../api/types';
import { send } from '../lib/curl';
import { quoted } from '../lib/selector';
import { dateAndTime, parse, timeOfDay } from '../lib/time';
import { result, text } from '../state/fields';
import { useKeys } from '../state/keys';
import { hashOf } from '../state/route';
import { CopyButton, Trouble } from './basics';
import { JsonView } from './json';
import { Mark, type State } from './mark';

/** What an event says of how something went: by its status, else by its name. */
export function stateOf(event: Event): State {
  const status = text(event, 'status', 'conclusion', 'result', 'outcome');
  if (status) return result(status);
  const code = Number(event.data.status_code);
  if (code) return code >= 500 ? 'failure' : 'success';
  if (/started|running|begin/.test(event.event_type)) return 'running';
  if (/fail|error|broken/.test(event.event_type)) return 'failure';
  if (/passed|succe/.test(event.event_type)) return 'success';
  return 'other';
}

const PREVIEW_FIELDS = 8;
const PREVIEW_CHARS = 48;

/** The data in a few words. */
export function preview(event: Event): (readonly [string, string])[] {
  const scalars = Object.entries(event.data).slice(0, PREVIEW_FIELDS);
  return scalars.map(([key, it]) => {
    const value = typeof it === 'string' ? it : (JSON.stringify(it) ?? '');
    return [key, value.length > PREVIEW_CHARS ? `${value.slice(0, PREVIEW_CHARS)}…` : value] as const;
  });
}

export function EventLine({ event, onOpen }: { event: Event; onOpen: () => void }) {
  const at = parse(event.timestamp);
  return (
    <button type="button" class="line" onClick={onOpen} tabIndex={-1} data-sequence={event.sequence}>
      <time dateTime={event.timestamp} title={dateAndTime(at)}>
        {timeOfDay(at)}
      </time>
      <Mark state={stateOf(event)} />
      <b>{event.event_type}</b>
      <span class="source">{event.source}</span>
      <span class="preview">
        {preview(event).map(([key, value]) => (
          <span key={key}>
            <i>{key}</i> {value}
          </span>
        ))}
      </span>
    </button>
  );
}

/** All of an event. `id` is its id or, while it is among what is shown, the event itself. */
export function Drawer({ event: given, id, onClose }: { event: Event | undefined; id: string; onClose: () => void }) {
  const [found, setFound] = useState<Event>();
  const [error, setError] = useState('');
  const event = given ?? (found?.id === id ? found : undefined);
  useKeys({ Escape: onClose });
  useEffect(() => {
    if (given) return;
    const it = get<Event>(`api/v1/events/${encodeURIComponent(id)}`);
    it.then(setFound, (reason: unknown) => setError(reason instanceof Error ? reason.message : String(reason)));
  }, [id]);
  return (
    <aside class="drawer" aria-label="Event">
      <header>
        <h2>{event?.event_type ?? id}</h2>
        <button type="button" class="small" onClick={onClose} aria-label="Close the event">
          ✕
        </button>
      </header>
      <Trouble message={event ? '' : error} />
      {event && (
        <>
          <dl>
            <dt>Source</dt>
            <dd>
              <a href={hashOf('events', { match: `*{source=${quoted(event.source)}}` })}>{event.source}</a>
            </dd>
            <dt>Type</dt>
            <dd>
              <a href={hashOf('events', { match: `*{type=${quoted(event.event_type)}}` })}>{event.event_type}</a>
            </dd>
            <dt>Time</dt>
            <dd>{dateAndTime(parse(event.timestamp))}</dd>
            <dt>Arrived</dt>
            <dd>{dateAndTime(parse(event.received_at))}</dd>
            <dt>Sequence</dt>
            <dd>{event.sequence}</dd>
            <dt>Id</dt>
            <dd class="id">{event.id}</dd>
          </dl>
          <div class="tools">
            <CopyButton text={send(event)} label="Copy as curl" />
            <CopyButton text={JSON.stringify(event, null, 2)} label="Copy JSON" />
            <CopyButton text={location.href} label="Copy link" />
          </div>
          <JsonView value={event.data} />
        </>
      )}
    </aside>
  );
}
