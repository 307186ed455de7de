/** Answers of the server that stay fresh: asked for again after events came, and every so often. */

import { useEffect, useState } from 'preact/hooks';
import { arrived, restarted } from './feed';

export interface Answer<T> {
  readonly data: T | undefined;
  readonly error: string;
}

/** What is shown is never older than this while events come. */
const FRESH_MS = 5000;

/**
 * Asks `ask` now, whenever `key` changes, and again as events come; also without events every `pollMs`. The last good
 * answer stays until the next.
 */
export function useAnswer<T>(key: string, ask: (signal: AbortSignal) => Promise<T>, pollMs = 60_000): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T> & { key: string }>({ key, data: undefined, error: '' });
  useEffect(() => {
    const abort = new AbortController();
    let busy = false;
    let asked = -Infinity;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async () => {
      timer = undefined;
      busy = true;
      asked = Date.now();
      try {
        const data = await ask(abort.signal);
        if (!abort.signal.aborted) setAnswer({ key, data, error: '' });
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        if (!abort.signal.aborted) setAnswer((it) => ({ key, data: it.key === key ? it.data : undefined, error: message }));
      }
      busy = false;
    };
    const soon = () => {
      if (busy || timer || abort.signal.aborted || document.visibilityState === 'hidden') return;
      timer = setTimeout(() => void run(), Math.max(0, asked + Math.min(FRESH_MS, pollMs) - Date.now()));
    };
    void run();
    const stopFollowing = [arrived.subscribe(soon), restarted.subscribe(soon)];
    const always = setInterval(soon, pollMs);
    document.addEventListener('visibilitychange', soon);
    return () => {
      abort.abort();
      clearTimeout(timer);
      clearInterval(always);
      document.removeEventListener('visibilitychange', soon);
      stopFollowing.forEach((stop) => stop());
    };
  }, [key]);
  return answer.key === key ? answer : { data: undefined, error: '' };
}
