/** The small things that every page is made of. */

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { dateAndTime, ago } from '../lib/time';
import { now } from '../state/clock';

export function Card(props: { title: string; aside?: ComponentChildren; children: ComponentChildren; class?: string }) {
  return (
    <section class={`card ${props.class ?? ''}`}>
      <header>
        <h2>{props.title}</h2>
        {props.aside}
      </header>
      {props.children}
    </section>
  );
}

/** One number and what it counts. */
export function Figure(props: { label: string; value: string; note?: ComponentChildren; tone?: 'good' | 'bad' | undefined }) {
  return (
    <div class={`figure ${props.tone ?? ''}`}>
      <dt>{props.label}</dt>
      <dd>{props.value}</dd>
      <dd class="note">{props.note ?? '\u00a0'}</dd>
    </div>
  );
}

export function Head(props: { title: string; children?: ComponentChildren }) {
  return (
    <div class="head">
      <h1>{props.title}</h1>
      <div class="tools">{props.children}</div>
    </div>
  );
}

/** How long ago, and on pointing at it when exactly. */
export function Ago({ at }: { at: number }) {
  if (!at) return <span class="dim">–</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={dateAndTime(at)}>
      {ago(at, now.value)}
    </time>
  );
}

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [done, setDone] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone('Copied');
    } catch {
      // Browsers allow it on secure pages only.
      setDone(copyByHand(text) ? 'Copied' : 'Select and copy');
    }
    setTimeout(() => setDone(''), 1500);
  };
  return (
    <button type="button" class="small" onClick={() => void copy()}>
      {done || label}
    </button>
  );
}

function copyByHand(text: string): boolean {
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  const res = document.execCommand('copy');
  area.remove();
  return res;
}

/** Nothing is here yet, and this is how it comes. */
export function Empty({ title, command }: { title: string; command?: string }) {
  return (
    <div class="empty">
      <p>{title}</p>
      {command && (
        <div class="command">
          <pre tabIndex={0}>{command}</pre>
          <CopyButton text={command} />
        </div>
      )}
    </div>
  );
}

/** Names and what they stand for. */
export function Pairs({ of }: { of: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="pairs">
      {of.map(([name, it]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{it}</dd>
        </div>
      ))}
    </dl>
  );
}

/** What went wrong, in words. */
export function Trouble({ message }: { message: string }) {
  return message ? (
    <p class="trouble" role="alert">
      {message}
    </p>
  ) : null;
}

/** A choice among a few. */
export function Choice<T extends string>(props: {
  label: string;
  options: readonly (readonly [T, string])[];
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <div class="choice" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button type="button" key={value} aria-pressed={value === props.value} onClick={() => props.onChange(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

/** A choice among many. */
export function Select(props: { label: string; all: string; options: readonly string[]; value: string; onChange: (value: string) => void }) {
  const options = props.value && !props.options.includes(props.value) ? [props.value, ...props.options] : props.options;
  return (
    <label class="select">
      <span>{props.label}</span>
      <select value={props.value} onChange={(it) => props.onChange(it.currentTarget.value)}>
        <option value="">{props.all}</option>
        {options.map((it) => (
          <option key={it} value={it}>
            {it}
          </option>
        ))}
      </select>
    </label>
  );
}
