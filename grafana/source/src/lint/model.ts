// A board as it is in its file: only what the rules look at, and nothing taken for granted.

export interface Target {
  expr?: string;
  datasource?: { type?: string; uid?: string };
}

export interface Panel {
  type: string;
  title?: string;
  description?: string;
  datasource?: { type?: string; uid?: string };
  targets?: Target[];
  fieldConfig?: {
    defaults?: { unit?: string };
    overrides?: { properties?: { id: string; value?: unknown }[] }[];
  };
  panels?: Panel[];
}

export interface Variable {
  type: string;
  name: string;
  label?: string;
  query?: unknown;
  datasource?: { type?: string; uid?: string };
  multi?: boolean;
  allValue?: string;
  refresh?: number;
}

export interface Dashboard {
  title: string;
  uid?: string;
  editable?: boolean;
  templating?: { list?: Variable[] };
  panels?: Panel[];
}

/** What `.lint` has of a rule. */
export interface Exclusions {
  exclusions: Record<string, { reason?: string; entries: { reason?: string; dashboard?: string; panel?: string }[] }>;
}

/** Panels, those of collapsed rows among them; the rows themselves ask nothing. */
export function panels(board: Dashboard): Panel[] {
  const all = (board.panels ?? []).flatMap((it) => [it, ...(it.panels ?? [])]);
  return all.filter((it) => it.type !== 'row');
}

export function variables(board: Dashboard): Variable[] {
  return board.templating?.list ?? [];
}
