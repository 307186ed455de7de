/** What happened to groups of pushes since the page was opened. */

import { signal } from '@preact/signals';
import type { PushNotice } from '../api/types';

/** The newest one. */
export const lastPush = signal<PushNotice | undefined>(undefined);
/** How many there were. */
export const pushCount = signal(0);

const SHOW_MS = 100;
let [newest, count]: [PushNotice | undefined, number] = [undefined, 0];
let timer: ReturnType<typeof setTimeout> | undefined;

export function takePush(notice: PushNotice | undefined, missed: number): void {
  newest = notice ?? newest;
  count += notice ? 1 : missed;
  timer ??= setTimeout(() => {
    timer = undefined;
    lastPush.value = newest;
    pushCount.value = count;
  }, SHOW_MS);
}
