// The files that the boards become.
import { build, type Board } from './kit/board';
import { BOARDS } from './boards';

/** Name and text of each file: the boards, and `.lint`, which dashboard-linter reads. */
export function files(boards: readonly Board[] = BOARDS): Map<string, string> {
  const files = new Map<string, string>();
  for (const board of boards) files.set(`${board.name}.json`, text(build(board)));
  files.set('.lint', text(exclusions(boards)));
  return files;
}

function text(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** The file is YAML, of which JSON is a part. */
function exclusions(boards: readonly Board[]): unknown {
  const rules: Record<string, { reason: string; entries: { reason: string; dashboard: string; panel?: string }[] }> = {};
  for (const board of boards) {
    for (const { rule, reason, panel } of board.exclusions ?? []) {
      const of = (rules[rule] ??= { reason, entries: [] });
      of.entries.push({ reason, dashboard: board.title, ...(panel === undefined ? {} : { panel }) });
    }
  }
  return { exclusions: rules };
}
