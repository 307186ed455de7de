/** Events: as they come, or back from a time on. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Event } from '../api/types';
import { ask, origin, send } from '../lib/curl';
import { count } from '../lib/number';
import { CopyButton, Empty, Head, Trouble } from '../parts/basics';
import { Drawer, EventLine } from '../parts/event';
import { PushLine } from '../parts/pushes';
import { VirtualList } from '../parts/virtual';
import { useKeys } from '../state/keys';
import { param, setParams } from '../state/route';
import { MOST_ROWS, Tail } from '../state/tail';

const EXAMPLE = { event_type: 'test_event', source: 'manual_test', data: { message: 'Hello Observatory!' } };

export function EventsPage() {
  const [match, until, open] = [param('match'), param('until'), param('event')];
  const tail = useMemo(() => new Tail({ match, until }), [match, until]);
  useEffect(() => () => tail.close(), [tail]);

  const [paused, setPaused] = useState(false);
  const [atTop, setAtTop] = useState(true);
  const [toTop, setToTop] = useState(0);
  const [selected, setSelected] = useState<number>();
  const held = paused || !atTop || open !== '';
  useEffect(() => tail.hold(held), [tail, held]);

  const rows = tail.rows.value;
  const at = rows.findIndex((it) => it.sequence === selected);
  const choose = (event: Event | undefined) => {
    if (!event) return;
    setSelected(event.sequence);
    if (open) setParams({ event: event.id });
  };
  const filter = useRef<HTMLInputElement>(null);
  const goOn = () => {
    setPaused(false);
    setAtTop(true);
    setToTop((it) => it + 1);
    setParams({ event: undefined });
  };
  useKeys({
    '/': () => filter.current?.focus(),
    ' ': () => (held ? goOn() : setPaused(true)),
    j: () => choose(rows[at + 1]),
    k: () => choose(rows[Math.max(0, at - 1)]),
    Enter: () => rows[at] && setParams({ event: rows[at].id }),
    Escape: () => setParams({ event: undefined }),
  });

  return (
    <>
      <Head title="Events">
        <form
          class="filter"
          role="search"
          onSubmit={(it) => {
            it.preventDefault();
            setParams({ match: filter.current?.value.trim(), event: undefined });
          }}
        >
          <input
            ref={filter}
            key={match}
            type="search"
            name="match"
            defaultValue={match}
            placeholder={'ci_build_*{status="failure", branch=~"release/.*"}'}
            aria-label="Filter, as a selector"
            aria-invalid={tail.error.value !== ''}
            spellcheck={false}
            autocomplete="off"
            onSearch={(it) => it.currentTarget.value === '' && setParams({ match: undefined })}
          />
          <button class="small">Filter</button>
        </form>
        <label class="jump">
          <span>Back from</span>
          <input
            type="datetime-local"
            step="1"
            value={local(until)}
            onChange={(it) => setParams({ until: it.currentTarget.value && new Date(it.currentTarget.value).toISOString() })}
          />
        </label>
        <CopyButton text={ask(match)} label="Copy as curl" />
        <button type="button" class="small hold" aria-pressed={paused} disabled={until !== ''} onClick={() => (held ? goOn() : setPaused(true))}>
          {held ? '▶ Go on' : '❚❚ Pause'}
        </button>
      </Head>
      <PushLine />
      <Trouble message={tail.error.value} />
      {until && (
        <p class="notice">
          What happened before {new Date(until).toLocaleString()}.{' '}
          <button type="button" class="small" onClick={() => setParams({ until: undefined })}>
            Back to live
          </button>
        </p>
      )}
      <div class="tail">
        <div class="list">
          {tail.fresh.value > 0 && held && (
            <button type="button" class="fresh" onClick={goOn}>
              ↑ {count(tail.fresh.value)} new
            </button>
          )}
          <VirtualList
            label="Events, the newest first"
            items={rows}
            keyOf={(it) => it.sequence}
            row={(it) => (
              <EventLine
                event={it}
                onOpen={() => {
                  setSelected(it.sequence);
                  setParams({ event: it.id });
                }}
              />
            )}
            selected={at}
            onTop={setAtTop}
            onEnd={() => void tail.older()}
            toTop={toTop}
          />
          {rows.length === 0 && !tail.loading.value && !tail.error.value && (
            <Empty
              title={match || until ? 'No event matches. A new one that does appears here by itself.' : 'No events yet. Send one, and it appears here:'}
              {...(match || until ? {} : { command: send(EXAMPLE, origin()) })}
            />
          )}
          {rows.length >= MOST_ROWS && <p class="notice">For older ones, go back from a time.</p>}
        </div>
        {open && <Drawer key={open} id={open} event={rows.find((it) => it.id === open)} onClose={() => setParams({ event: undefined })} />}
      </div>
    </>
  );
}

/** A time as the browser's input for times has it. */
function local(time: string): string {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return '';
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
