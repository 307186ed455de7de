/** A page that is fetched when somebody looks at it: most never open it. */

import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { words } from '../api/http';
import { Trouble } from './basics';

export function later(load: () => Promise<ComponentType>): ComponentType {
  let loaded: ComponentType | undefined;
  return function Later() {
    const [Page, setPage] = useState<ComponentType | undefined>(() => loaded);
    const [error, setError] = useState('');
    useEffect(() => {
      if (loaded) return;
      load().then(
        (it) => {
          loaded = it;
          setPage(() => it);
        },
        // A server of another version has other parts, and this page learns of it when it is loaded again.
        (it: unknown) => setError(`This page cannot be loaded: ${words(it)}. Load it again.`),
      );
    }, []);
    return Page ? <Page /> : <Trouble message={error} />;
  };
}
