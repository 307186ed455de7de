/** Lines over time, by uPlot. */

import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { value as plain } from '../lib/number';
import { dateAndTime, timeOfDay } from '../lib/time';
import { colours } from '../state/theme';

export interface Series {
  readonly label: string;
  /** One of the colours of the style sheet. */
  readonly colour: string;
  readonly values: readonly (number | null)[];
}

export interface ChartProps {
  readonly label: string;
  /** Milliseconds since 1970, ascending. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly height?: number;
  readonly format?: (value: number) => string;
  /** Columns instead of lines, each as wide as the distance of the first two times. */
  readonly bars?: boolean;
  /** The ends of the axis of time; otherwise those of the data. */
  readonly range?: readonly [number, number] | undefined;
}

export function Chart(props: ChartProps) {
  const { label, times, series, height = 180, format = plain, bars = false, range } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const ends = useRef(range);
  ends.current = range;
  const shape = `${series.map((it) => `${it.label}\n${it.colour}`).join('\n\n')}|${height}|${bars}|${colours.value}`;

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const axis = {
      stroke: colour('dim'),
      font: '11px system-ui, sans-serif',
      grid: { stroke: colour('line'), width: 1 },
      ticks: { show: false },
    };
    const made = new uPlot(
      {
        width: element.clientWidth || 300,
        height,
        cursor: { y: false, points: { size: 6 } },
        legend: { show: true, live: true },
        scales: { x: { range: (_, min, max) => [...(ends.current ?? [min, max])] as [number, number] }, y: { range: (_, min, max) => yRange(min, max) } },
        axes: [
          { ...axis, space: 80, size: 30, values: (_, ticks) => ticks.map((it, index) => tick(it, ticks[index - 1])) },
          { ...axis, size: 52, space: 34, values: (_, ticks) => ticks.map((it) => format(it)) },
        ],
        ms: 1,
        series: [
          { label: 'at', value: (_, it) => (it === null || it === undefined ? '' : dateAndTime(it)) },
          ...series.map((it) => ({
            label: it.label,
            stroke: colour(it.colour),
            fill: series.length === 1 || bars ? `${colour(it.colour)}${bars ? 'b0' : '22'}` : undefined,
            width: bars ? 0 : 1.75,
            // What has no neighbours is no line.
            points: { show: bars ? false : (it: uPlot, at: number) => [...(it.data[at] ?? [])].filter((value) => value !== null).length < 20, size: 5 },
            spanGaps: true,
            paths: bars ? uPlot.paths.bars?.({ size: [0.82, 40, 1], align: 1 }) : uPlot.paths.linear?.(),
            value: (_: uPlot, it: number | null) => (it === null || it === undefined ? '–' : format(it)),
          })),
        ] as uPlot.Series[],
      },
      data(times, series),
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0 && element.clientWidth !== made.width) made.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(data(times, series));
  }, [times, series]);

  return <div class="chart" ref={box} role="img" aria-label={label} style={{ minHeight: `${height + 28}px` }} />;
}

/** The time of day, and the date where another day begins. */
function tick(at: number, before: number | undefined): string {
  const [day, text] = [dateAndTime(at).slice(5, 10), timeOfDay(at).slice(0, 5)];
  const sameDay = before === undefined ? text !== '00:00' : dateAndTime(before).slice(5, 10) === day;
  return sameDay ? text : day;
}

function data(times: readonly number[], series: readonly Series[]): uPlot.AlignedData {
  return [[...times], ...series.map((it) => [...it.values])] as uPlot.AlignedData;
}

/** From 0 on, with some room above. */
function yRange(min: number | null, max: number | null): [number, number] {
  const top = max ?? 0;
  const low = Math.min(0, min ?? 0);
  return [low, top > low ? top + (top - low) * 0.08 : low + 1];
}
