import { signal } from '@preact/signals';

/** The time, to the second: whoever shows how long ago something was reads this. */
export const now = signal(Date.now());

export function tick(): void {
  setInterval(() => {
    now.value = Date.now();
  }, 1000);
}
