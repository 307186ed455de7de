/** Dark, light, or what the system says. The choice stays with the browser. */

import { signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'observatory.theme';
const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

export const theme = signal<Theme>('auto');
/** Changes whenever the colours do: what draws by itself draws anew. */
export const colours = signal(0);

export function followTheme(): void {
  const stored = read();
  if (stored) theme.value = stored;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    const system = dark.matches ? 'dark' : 'light';
    document.documentElement.dataset.theme = theme.peek() === 'auto' ? system : theme.peek();
    colours.value += 1;
  };
  theme.subscribe(apply);
  dark.addEventListener('change', apply);
}

export function nextTheme(): void {
  const next = THEMES[(THEMES.indexOf(theme.peek()) + 1) % THEMES.length] ?? 'auto';
  theme.value = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing still shows the theme.
  }
}

function read(): Theme | undefined {
  try {
    return THEMES.find((it) => it === localStorage.getItem(KEY));
  } catch {
    return undefined;
  }
}
