/** The frame: navigation, connection, and the page that the address names. */

import { useEffect } from 'preact/hooks';
import { locked } from '../api/http';
import { Badge } from './badge';
import { Help, helpOpen } from './help';
import { Login } from './login';
import { Palette, paletteOpen } from './palette';
import { PAGES } from '../pages/all';
import { loud } from '../state/alerts';
import { go, hashOf, route } from '../state/route';
import { useKeys } from '../state/keys';
import { nextTheme, theme } from '../state/theme';

export function App() {
  const page = PAGES.find((it) => it.name === route.value.page) ?? PAGES[0]!;
  const fire = loud.value.length;
  useEffect(() => {
    document.title = `${fire > 0 ? `(${fire}) ` : ''}${page.title} · Observatory`;
  }, [page, fire]);
  useEffect(() => {
    // Narrow screens show a part of the navigation.
    document.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [page]);
  useKeys({
    '?': () => (helpOpen.value = true),
    'Ctrl-k': () => (paletteOpen.value = true),
    ...Object.fromEntries(PAGES.slice(0, 10).map((it, index) => [String((index + 1) % 10), () => go(it.name)])),
  });
  if (locked.value) return <Login />;
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the page
      </a>
      <nav aria-label="Pages">
        <a class="brand" href={hashOf('now')}>
          <Dome /> <span>Observatory</span>
        </a>
        <ul>
          {PAGES.map((it) => (
            <li key={it.name}>
              <a href={hashOf(it.name)} aria-current={it === page ? 'page' : undefined}>
                <svg viewBox="0 0 20 20" aria-hidden="true">
                  <path d={it.icon} />
                </svg>
                <span>{it.title}</span>
                {it.name === 'alerts' && loud.value.length > 0 && (
                  <b class="count" aria-label={`${loud.value.length} firing`}>
                    {loud.value.length > 99 ? '99+' : loud.value.length}
                  </b>
                )}
              </a>
            </li>
          ))}
        </ul>
        <div class="foot">
          <Badge />
          <button type="button" class="small" onClick={nextTheme} aria-label={`Theme: ${theme.value}. Change it`}>
            {{ auto: '◐ Auto', light: '○ Light', dark: '● Dark' }[theme.value]}
          </button>
          <button type="button" class="small" onClick={() => (helpOpen.value = true)} aria-label="Keyboard shortcuts">
            ?
          </button>
        </div>
      </nav>
      <main id="main" tabIndex={-1} class={page.name} key={page.name}>
        <page.show />
      </main>
      {helpOpen.value && <Help />}
      {paletteOpen.value && <Palette />}
    </>
  );
}

/** The address names the page, so the link cannot. */
function skip(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

function Dome() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path d="M6 19a10 10 0 0 1 20 0zM15 9l7-4 1 2-6 4z" />
      <rect x="5" y="21.5" width="22" height="3.5" rx="1.75" />
    </svg>
  );
}
