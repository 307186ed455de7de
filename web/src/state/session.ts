/** Who the page is logged in as, if the server asks. */

import { computed, signal } from '@preact/signals';
import { get, locked, request } from '../api/http';
import type { Session } from '../api/types';

export const session = signal<Session | undefined>(undefined);

/** Whether groups may be removed. */
export const mayIngest = computed(() => has('ingest'));
/** Whether alerts and their rules may be changed. */
export const mayControl = computed(() => has('control'));
export const mayAdmin = computed(() => has('admin'));

function has(role: string): boolean {
  return session.value?.roles.includes(role) ?? false;
}

export async function whoAmI(): Promise<void> {
  try {
    session.value = await get<Session>('api/v1/session');
  } catch {
    // Without an answer nothing is known; a refusal shows the login.
  }
}

export async function login(token: string): Promise<void> {
  const body = JSON.stringify({ token });
  const response = await request('POST', 'api/v1/session', {}, { body, headers: { 'Content-Type': 'application/json' } });
  session.value = (await response.json()) as Session;
  locked.value = false;
}

export async function logout(): Promise<void> {
  await request('DELETE', 'api/v1/session');
  location.reload();
}
