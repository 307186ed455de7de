/** A list of which only what can be seen is in the document. All rows are equally high. */

import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

export const ROW_PX = 34;
const BEYOND = 8;

export function VirtualList<T>(props: {
  label: string;
  items: readonly T[];
  keyOf: (item: T) => string | number;
  row: (item: T, index: number) => ComponentChildren;
  selected: number;
  onTop: (atTop: boolean) => void;
  onEnd: () => void;
  /** Changes when the list shall go to its top. */
  toTop: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const { items, selected } = props;

  const look = () => {
    const element = box.current;
    if (!element) return;
    const { scrollTop: top, clientHeight: height, scrollHeight } = element;
    setView((it) => (it.top === top && it.height === height ? it : { top, height }));
    props.onTop(top < ROW_PX / 2);
    if (top + height > scrollHeight - 10 * ROW_PX) props.onEnd();
  };

  useLayoutEffect(() => {
    const observer = new ResizeObserver(look);
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (props.toTop > 0) box.current?.scrollTo({ top: 0 });
  }, [props.toTop]);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || selected < 0) return;
    const [start, end] = [selected * ROW_PX, (selected + 1) * ROW_PX];
    if (start < element.scrollTop) element.scrollTop = start;
    else if (end > element.scrollTop + element.clientHeight) element.scrollTop = end - element.clientHeight;
  }, [selected]);

  const slots = useRef(new Map<string | number, number>());
  const first = Math.max(0, Math.floor(view.top / ROW_PX) - BEYOND);
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / ROW_PX) + BEYOND);
  const seen = items.slice(first, last);
  slots.current = placed(slots.current, seen.map(props.keyOf));
  return (
    <div class="virtual" ref={box} onScroll={look} tabIndex={0} role="group" aria-label={props.label}>
      <div style={{ height: `${items.length * ROW_PX}px`, position: 'relative' }}>
        {seen.map((item, at) => (
          <div
            key={slots.current.get(props.keyOf(item))}
            class={`row ${first + at === selected ? 'selected' : ''}`}
            style={{ transform: `translateY(${(first + at) * ROW_PX}px)` }}
          >
            {props.row(item, first + at)}
          </div>
        ))}
      </div>
    </div>
  );
}

/**
 * A slot for each of `keys`: the one it had, else one that nobody has any more. So rows that come take over what rows that
 * went leave in the document, which costs a fraction of making it anew.
 */
export function placed<K>(before: ReadonlyMap<K, number>, keys: readonly K[]): Map<K, number> {
  const kept = new Set(keys.map((it) => before.get(it)));
  const free = [...before.values()].filter((it) => !kept.has(it)).reverse();
  let next = Math.max(-1, ...before.values());
  return new Map(keys.map((it) => [it, before.get(it) ?? free.pop() ?? (next += 1)]));
}
