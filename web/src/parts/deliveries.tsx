/** What became of notifications, and every attempt. */

import type { ComponentChildren } from 'preact';
import type { Delivery } from '../api/alerting';
import { count } from '../lib/number';
import { dateAndTime, duration, parse } from '../lib/time';
import { Ago } from './basics';
import { Mark, type State } from './mark';

const STATES: Record<Delivery['state'], State> = { queued: 'running', sent: 'success', merged: 'success', dead: 'failure', suppressed: 'cancelled', purged: 'cancelled' };

export function Deliveries({ all, tools }: { all: readonly Delivery[]; tools?: (it: Delivery) => ComponentChildren }) {
  return (
    <ul class="deliveries">
      {all.map((it) => (
        <li key={it.id}>
          <details>
            <summary>
              <Mark state={STATES[it.state]} label={it.state} />
              <span class="what">
                <b>{it.channel}</b> <span class="dim">{typeof it.kind === 'string' ? it.kind.replaceAll('_', ' ') : ''}</span>
              </span>
              <span class="which">{it.rule_name}</span>
              <span class="dim">{it.state === 'dead' ? 'given up' : it.state}</span>
              <span class="dim n">{count(it.attempts)} ×</span>
              <span class="dim n">
                <Ago at={parse(it.updated_at)} />
              </span>
            </summary>
            {it.reason && <p class="dim">{it.reason}</p>}
            {it.next_attempt_at && <p class="dim">tried again at {dateAndTime(parse(it.next_attempt_at))}</p>}
            <ol>
              {it.history.map((tried, at) => (
                <li key={at}>
                  <time dateTime={tried.at}>{dateAndTime(parse(tried.at))}</time> <b>{tried.status ?? 'no answer'}</b> <span class="said">{tried.response}</span>{' '}
                  <span class="dim">{duration(tried.duration_ms / 1000)}</span>
                </li>
              ))}
            </ol>
            {it.history.length === 0 && <p class="dim">It was not tried.</p>}
          </details>
          {tools?.(it)}
        </li>
      ))}
    </ul>
  );
}
