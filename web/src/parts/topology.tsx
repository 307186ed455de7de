/** Who works with whom: agents on a circle, joined by lines that are as thick as they talk much. */

import { stateOf, type Agent, type Link } from '../state/agents';

const [WIDTH, HEIGHT] = [640, 420];
const MOST = 40;

export function Topology({ agents, links, now }: { agents: readonly Agent[]; links: readonly Link[]; now: number }) {
  const linked = new Set(links.flatMap((it) => [it.from, it.to]));
  const shown = agents.filter((it) => linked.has(it.id)).slice(0, MOST);
  const places = new Map(shown.map((it, index) => [it.id, place(index, shown.length)] as const));
  const most = Math.max(1, ...links.map((it) => it.count));
  return (
    <svg class="topology" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${shown.length} agents and who works with whom`}>
      <defs>
        <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto">
          <path d="M0 0.5L8 4L0 7.5z" />
        </marker>
      </defs>
      {links.map((it) => {
        const [from, to] = [places.get(it.from), places.get(it.to)];
        if (!from || !to) return null;
        return (
          <path key={`${it.from}\n${it.to}`} class="edge" d={curve(from, to)} stroke-width={1 + (3 * it.count) / most} marker-end="url(#tip)">
            <title>{`${it.from} → ${it.to}: ${it.count}`}</title>
          </path>
        );
      })}
      {shown.map((it) => {
        const { x, y } = places.get(it.id)!;
        const left = x < WIDTH / 2 - 60;
        const right = x > WIDTH / 2 + 60;
        return (
          <g key={it.id} class={`node ${stateOf(it, now)}`} transform={`translate(${x} ${y})`}>
            <circle r="11" />
            {stateOf(it, now) === 'alive' ? <circle class="core" r="4.5" /> : <path class="core" d="M-4 -4L4 4M4 -4L-4 4" />}
            <text x={left ? -18 : right ? 18 : 0} y={left || right ? 4 : y < HEIGHT / 2 ? -20 : 30} text-anchor={left ? 'end' : right ? 'start' : 'middle'}>
              {it.id.length > 22 ? `${it.id.slice(0, 21)}…` : it.id}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function place(index: number, all: number): Point {
  const angle = (2 * Math.PI * index) / Math.max(1, all) - Math.PI / 2;
  return { x: WIDTH / 2 + 185 * Math.cos(angle), y: HEIGHT / 2 + 150 * Math.sin(angle) };
}

/** Bent towards the middle, to one side, so that both ways can be told apart; it ends before the circles. */
function curve(from: Point, to: Point): string {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const bend = { x: (from.x + to.x) / 2 - dy * 0.12, y: (from.y + to.y) / 2 + dx * 0.12 };
  const shift = (p: Point, other: Point, by: number) => {
    const far = Math.hypot(other.x - p.x, other.y - p.y) || length;
    return { x: p.x + ((other.x - p.x) * by) / far, y: p.y + ((other.y - p.y) * by) / far };
  };
  const [start, end] = [shift(from, bend, 13), shift(to, bend, 15)];
  const round = (n: number) => n.toFixed(1);
  return `M${round(start.x)} ${round(start.y)}Q${round(bend.x)} ${round(bend.y)} ${round(end.x)} ${round(end.y)}`;
}
