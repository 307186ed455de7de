/** What is known of the quality of each project. */

import type { Event } from '../api/types';
import { parse } from '../lib/time';
import { number, project, text } from './fields';

export interface Quality {
  readonly name: string;
  score: number | undefined;
  scoreBefore: number | undefined;
  coverage: number | undefined;
  coverageBefore: number | undefined;
  /** Whether each gate was passed last time. */
  readonly gates: Map<string, boolean>;
  at: number;
}

/** From events, the newest first: the last value of each measure, and the one before. */
export function readQuality(events: readonly Event[]): Quality[] {
  const projects = new Map<string, Quality>();
  for (const event of events) {
    const name = project(event) || 'unknown';
    const known = projects.get(name) ?? fresh(name);
    projects.set(name, known);
    known.at = Math.max(known.at, parse(event.timestamp));
    const gate = text(event, 'gate');
    if (gate && !known.gates.has(gate)) known.gates.set(gate, event.event_type === 'quality_gate_passed');
    const coverage = number(event, 'coverage');
    if (event.event_type === 'coverage_updated' && coverage !== undefined) {
      if (known.coverage === undefined) known.coverage = coverage;
      else known.coverageBefore ??= coverage;
    }
    const score = number(event, 'score');
    if (event.event_type === 'quality_score_updated' && score !== undefined) {
      if (known.score === undefined) known.score = score;
      else known.scoreBefore ??= score;
    }
  }
  return [...projects.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function fresh(name: string): Quality {
  return { name, score: undefined, scoreBefore: undefined, coverage: undefined, coverageBefore: undefined, gates: new Map(), at: 0 };
}
