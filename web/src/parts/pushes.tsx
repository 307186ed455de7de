/** The newest push in a line, as it comes. */

import { count } from '../lib/number';
import { parse } from '../lib/time';
import { hashOf } from '../state/route';
import { lastPush, pushCount } from '../state/pushes';
import { Ago } from './basics';
import { Mark } from './mark';

const MARKS = { pushed: 'success', rejected: 'failure', deleted: 'cancelled', expired: 'cancelled' } as const;

export function PushLine() {
  const it = lastPush.value;
  if (!it) return <p class="push dim">No push since this page was opened.</p>;
  const labels = Object.entries(it.labels).map(([name, value]) => `${name}="${value}"`);
  return (
    <p class="push" title={it.reason ?? labels.join(', ')}>
      <Mark state={MARKS[it.change]} label="" /> <b>{it.change}</b> <a href={hashOf('groups', { q: it.labels.job })}>{`{${labels.join(', ')}}`}</a>{' '}
      <span class="dim">
        {it.reason ?? `${count(it.series)} series`}, <Ago at={parse(it.at)} />; {count(pushCount.value)} since this page was opened
      </span>
    </p>
  );
}
