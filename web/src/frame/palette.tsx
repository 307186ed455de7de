/** Ctrl-K: everything there is to go to and to do, by a few letters of its name. */

import { signal } from '@preact/signals';
import { useMemo, useState } from 'preact/hooks';
import { score } from '../lib/fuzzy';
import { quoted } from '../lib/selector';
import { PAGES } from '../pages/all';
import { firing } from '../state/alerts';
import { allAgents, allRuns, newest } from '../state/feed';
import { go } from '../state/route';
import { session, logout } from '../state/session';
import { nextTheme } from '../state/theme';
import { Dialog } from '../parts/dialog';
import { helpOpen } from './help';

export const paletteOpen = signal(false);

interface Item {
  readonly name: string;
  readonly kind: string;
  readonly run: () => void;
}

const MOST = 12;

function items(): Item[] {
  const types = new Set(newest.newestFirst().map((it) => it.event_type));
  const subjects = (kind: string) => new Set(allRuns.peek().filter((it) => it.kind === kind).map((it) => it.subject));
  return [
    ...PAGES.map((it) => ({ name: it.title, kind: 'page', run: () => go(it.name) })),
    { name: 'Events that failed', kind: 'events', run: () => go('events', { match: '*{status=~"(?i)fail.*|error.*"}' }) },
    { name: 'Change the theme', kind: 'do', run: nextTheme },
    { name: 'Keyboard shortcuts', kind: 'do', run: () => (helpOpen.value = true) },
    ...(session.peek()?.name ? [{ name: 'Log out', kind: 'do', run: () => void logout() }] : []),
    ...firing.peek().map((it) => ({ name: `${it.rule_name}: ${it.message}`, kind: 'alert', run: () => go('alerts', { alert: it.id }) })),
    { name: 'Silences', kind: 'alerts', run: () => go('alerts', { show: 'silences' }) },
    { name: 'New alert rule', kind: 'rules', run: () => go('rules', { edit: '+' }) },
    { name: 'Metric rules, explain an event', kind: 'rules', run: () => go('rules', { show: 'metrics' }) },
    ...[...subjects('build')].map((it) => ({ name: it, kind: 'CI', run: () => go('ci', { project: it }) })),
    ...[...subjects('deployment')].map((it) => ({ name: it, kind: 'deployments', run: () => go('deployments', { service: it }) })),
    ...allAgents.peek().map(({ id }) => ({ name: id, kind: 'agent', run: () => go('events', { match: `agent_*{agent_id=${quoted(id)}}` }) })),
    ...[...types].map((it) => ({ name: it, kind: 'events', run: () => go('events', { match: `*{type=${quoted(it)}}` }) })),
  ];
}

export function Palette() {
  const all = useMemo(items, []);
  const [query, setQuery] = useState('');
  const [at, setAt] = useState(0);
  const found = all
    .map((it) => [score(query, `${it.name} ${it.kind}`), it] as const)
    .filter(([points]) => points > 0)
    .sort(([a], [b]) => (query ? b - a : 0))
    .slice(0, MOST)
    .map(([, it]) => it);
  const close = () => (paletteOpen.value = false);
  const choose = (it: Item | undefined) => {
    close();
    it?.run();
  };
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt((at + step + found.length) % Math.max(1, found.length));
    else if (event.key === 'Enter') choose(found[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog label="Go anywhere" class="palette" onClose={close}>
      <input
        type="text"
        role="combobox"
        aria-label="Go to a page, project, agent or type of event"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found[at] ? `palette-${at}` : undefined}
        placeholder="Go to a page, project, agent or type of event"
        autofocus
        value={query}
        onInput={(it) => {
          setQuery(it.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={onKey}
      />
      <ul id="palette-list" role="listbox" aria-label="Found">
        {found.map((it, index) => (
          <li key={`${it.kind} ${it.name}`} id={`palette-${index}`} role="option" aria-selected={index === at} onClick={() => choose(it)}>
            <span>{it.name}</span>
            <span class="dim">{it.kind}</span>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="dim">Nothing is called that.</p>}
    </Dialog>
  );
}
