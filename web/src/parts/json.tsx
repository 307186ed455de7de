/** JSON as people read it. Everything is text: nothing of an event is ever taken for markup. */

import type { ComponentChildren } from 'preact';
import type { Json } from '../api/types';

/** Beyond this, colours cost more than they tell. */
const COLOURED = 40_000;

export function JsonView({ value }: { value: unknown }) {
  const text = JSON.stringify(value, null, 2) ?? 'null';
  return (
    <pre class="json" tabIndex={0} aria-label="Event as JSON">
      {text.length > COLOURED ? text : coloured(value as Json, 0)}
    </pre>
  );
}

function coloured(value: Json, depth: number): ComponentChildren {
  if (value === null || typeof value === 'boolean') return <span class="word">{String(value)}</span>;
  if (typeof value === 'number') return <span class="number">{JSON.stringify(value)}</span>;
  if (typeof value === 'string') return <span class="string">{JSON.stringify(value)}</span>;
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  if (entries.length === 0) return list ? '[]' : '{}';
  const indent = '  '.repeat(depth + 1);
  return (
    <>
      {list ? '[' : '{'}
      {entries.map(([key, it], index) => (
        <span key={key}>
          {index > 0 ? ',' : ''}
          {`\n${indent}`}
          {list ? '' : <span class="key">{JSON.stringify(key)}</span>}
          {list ? '' : ': '}
          {coloured(it, depth + 1)}
        </span>
      ))}
      {`\n${'  '.repeat(depth)}${list ? ']' : '}'}`}
    </>
  );
}
