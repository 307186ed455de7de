import { signal } from '@preact/signals';
import { PAGES } from '../pages/all';
import { Dialog } from '../parts/dialog';

export const helpOpen = signal(false);

const KEYS: readonly (readonly [string, string])[] = [
  ['Ctrl K', 'go anywhere, do anything'],
  ['/', 'filter'],
  ['Space', 'hold the list of events, or let it go on'],
  ['j  k', 'next and previous event or alert'],
  ['Enter', 'open it'],
  ['a  s  r', 'acknowledge, silence, resolve the alert'],
  ['Esc', 'close what is open'],
  ['?', 'this help'],
];

export function Help() {
  return (
    <Dialog label="Keyboard shortcuts" class="help" onClose={() => (helpOpen.value = false)}>
      <h2>Keyboard</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split('  ').map((it) => (
                <kbd key={it}>{it}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>1</kbd>–<kbd>9</kbd> <kbd>0</kbd>
          </dt>
          <dd>{PAGES.slice(0, 10)
            .map((it) => it.title)
            .join(', ')}</dd>
        </div>
      </dl>
      <form method="dialog">
        <button>Close</button>
      </form>
    </Dialog>
  );
}
