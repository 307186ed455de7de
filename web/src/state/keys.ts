/** Keys do things wherever the focus is, except where something is typed. */

import { useLayoutEffect, useRef } from 'preact/hooks';

type Keys = Record<string, (event: KeyboardEvent) => void>;

/** What each part of the page does now. The newest comes first: what lies on top hears a key before what is below. */
const layers: { current: Keys }[] = [];

export function useKeys(keys: Keys): void {
  // Not in an effect: those run late, and the next key may be faster.
  const layer = useRef(keys);
  layer.current = keys;
  useLayoutEffect(() => {
    layers.unshift(layer);
    return () => {
      layers.splice(layers.indexOf(layer), 1);
    };
  }, []);
}

export function listenToKeys(): void {
  addEventListener('keydown', (event) => {
    // A dialog has its keys to itself; the browser closes it with Escape.
    if (event.altKey || event.isComposing || document.querySelector('dialog[open]')) return;
    const control = event.ctrlKey || event.metaKey;
    const name = `${control ? 'Ctrl-' : ''}${control ? event.key.toLowerCase() : event.key}`;
    if (!control && typing(event, name)) return;
    const action = layers.find((it) => name in it.current)?.current[name];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}

/** Whether the key belongs to what has the focus. */
function typing(event: KeyboardEvent, name: string): boolean {
  const target = event.target instanceof HTMLElement ? event.target : undefined;
  if (!target || name === 'Escape' || target.closest('.virtual')) return false;
  if (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName)) return true;
  return ['BUTTON', 'A', 'SUMMARY'].includes(target.tagName) && [' ', 'Enter'].includes(name);
}
