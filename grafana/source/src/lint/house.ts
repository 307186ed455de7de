// What we want of boards beyond the linter: what breaks when they are imported, and what is no pleasure to look at.
import { panels, variables, type Dashboard, type Panel } from './model';

/** Panels that every Grafana has. */
const CORE = new Set(['stat', 'timeseries', 'table', 'bargauge', 'heatmap', 'state-timeline', 'text']);
const WIDTH = 24;

interface Placed extends Panel { id?: number; gridPos?: { x: number; y: number; w: number; h: number }; links?: { url?: string; type?: string; tags?: string[] }[] }
interface Whole extends Dashboard {
  id?: number | null; tags?: string[]; schemaVersion?: number; links?: Placed['links']; __inputs?: unknown; description?: string;
}

/** What is wrong with `boards`. */
export function house(boards: readonly Dashboard[]): string[] {
  const uids = boards.map((it) => it.uid ?? '');
  const twice = (all: readonly unknown[]) => all.filter((it, at) => all.indexOf(it) !== at);
  return [
    ...twice(uids).map((it) => `two boards have the uid ${String(it)}`),
    ...twice(boards.map((it) => it.title)).map((it) => `two boards have the title ${String(it)}`),
    ...boards.flatMap((board) => ofBoard(board, uids).map((it) => `${board.title}: ${it}`)),
  ];
}

function ofBoard(board: Whole, uids: readonly string[]): string[] {
  const all = (board.panels ?? []) as Placed[];
  const twice = (values: readonly unknown[]) => values.filter((it, at) => values.indexOf(it) !== at);
  const links = [...(board.links ?? []), ...all.flatMap((it) => it.links ?? [])];
  return [
    ...(board.id === null ? [] : ['it has an id of some Grafana']),
    ...(/^[a-z][a-z0-9-]{0,39}$/.test(board.uid ?? '') ? [] : [`the uid ${board.uid} does not fit`]),
    ...(board.schemaVersion === 42 ? [] : [`its schema is ${board.schemaVersion}`]),
    ...((board.description ?? '') === '' ? ['it has no description'] : []),
    ...(board.tags?.includes('observatory') === true ? [] : ['it has no tag by which the others find it']),
    ...((board.links ?? []).some((it) => it.type === 'dashboards' && it.tags?.includes('observatory') === true) ? [] : ['it does not lead to the others']),
    ...(board.__inputs === undefined && !JSON.stringify(board).includes('${DS_') ? [] : ['it was exported for sharing: it asks for data sources when imported']),
    ...variables(board).filter(({ name }) => !['datasource', 'job', 'instance'].includes(name) && !JSON.stringify(board.panels).includes(`$${name}`)).map((it) => `nobody uses the variable ${it.name}`),
    ...twice(all.map((it) => it.id)).map((it) => `two panels have the id ${String(it)}`),
    ...twice(panels(board).map((it) => it.title)).map((it) => `two panels are titled ${String(it)}`),
    ...panels(board).filter((it) => !CORE.has(it.type)).map((it) => `${it.title} is a ${it.type}, which is no core panel`),
    ...links.map((it) => it.url).filter((it) => it !== undefined && it !== '' && !uids.some((uid) => it === `/d/${uid}`)).map((it) => `${it} leads nowhere`),
    ...grid(all),
  ];
}

/** That panels cover the grid without a gap and without overlapping. */
function grid(all: readonly Placed[]): string[] {
  const covered = new Map<string, string>();
  const wrong: string[] = [];
  let bottom = 0;
  for (const { title = '', gridPos } of all) {
    if (gridPos === undefined) return [`${title} has no place`];
    bottom = Math.max(bottom, gridPos.y + gridPos.h);
    for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        const other = covered.get(`${x},${y}`);
        if (other !== undefined) return [`${title} lies on ${other}`];
        covered.set(`${x},${y}`, title);
        if (x >= WIDTH) return [`${title} is too far to the right`];
      }
    }
  }
  for (let y = 0; y < bottom; y++) {
    let row = 0;
    for (let x = 0; x < WIDTH; x++) row += covered.has(`${x},${y}`) ? 1 : 0;
    if (row !== WIDTH) wrong.push(`there is a gap ${y} from the top`);
  }
  return wrong;
}
