/** Agents: who is there, what they do, and who works with whom. */

import type { Event } from '../api/types';
import { quantile } from '../lib/number';
import { parse } from '../lib/time';
import { agent as agentOf, number, result, seconds, text } from './fields';

export interface Agent {
  readonly id: string;
  readonly type: string;
  readonly version: string;
  readonly lastSeen: number;
  /** It said that it cannot go on, and has not come back since. */
  readonly down: boolean;
  readonly requests: number;
  readonly errors: number;
  readonly open: number;
  readonly tokens: number;
  readonly lastError: string;
  /** Seconds of its newest requests. */
  readonly latencies: readonly number[];
}

export type AgentState = 'alive' | 'silent' | 'down';

export interface Link {
  readonly from: string;
  readonly to: string;
  readonly count: number;
}

/** Who has said nothing for so long is silent. */
export const SILENT_MS = 5 * 60 * 1000;
const LATENCIES = 200;
/** Requests that are open at once, of all agents; the oldest are taken for lost. */
const OPEN = 10_000;

export class Agents {
  readonly #agents = new Map<string, Agent>();
  readonly #links = new Map<string, Link>();
  /** Whose each open request is, and how many each agent has. */
  readonly #open = new Map<string, string>();
  readonly #working = new Map<string, number>();

  constructor(private readonly capacity = 500) {}

  /** Takes an event in; false if it is about no agent. */
  take(event: Event): boolean {
    if (!event.event_type.startsWith('agent_')) return false;
    const at = parse(event.timestamp);
    if (event.event_type === 'agent_collaboration') {
      const from = text(event, 'from_agent', 'from', 'agent_id', 'agent');
      const to = text(event, 'to_agent', 'to', 'target_agent');
      if (!from || !to) return false;
      this.#update(from, at, {});
      this.#update(to, at, {});
      this.#link(from, to);
      return true;
    }
    const id = agentOf(event);
    if (!id) return false;
    this.#update(id, at, this.#changes(id, event));
    return true;
  }

  clear(): void {
    this.#agents.clear();
    this.#links.clear();
    this.#open.clear();
    this.#working.clear();
  }

  all(): Agent[] {
    return [...this.#agents.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  links(): Link[] {
    return [...this.#links.values()];
  }

  #changes(id: string, event: Event): Partial<Agent> {
    const before = this.#agents.get(id) ?? fresh(id);
    const key = JSON.stringify([id, text(event, 'request_id')]);
    switch (event.event_type) {
      case 'agent_registered':
        return { type: text(event, 'agent_type', 'type'), version: text(event, 'version'), down: false };
      case 'agent_request_started':
        this.#begin(key, id);
        return { open: this.#working.get(id) ?? 0 };
      case 'agent_request_completed':
      case 'agent_request_processed': {
        this.#end(key);
        const took = seconds(event);
        const failed = result(text(event, 'status')) === 'failure';
        const tokens = (number(event, 'input_tokens') ?? 0) + (number(event, 'output_tokens') ?? 0);
        return {
          open: this.#working.get(id) ?? 0,
          requests: before.requests + 1,
          errors: before.errors + (failed ? 1 : 0),
          tokens: before.tokens + tokens,
          latencies: took === undefined ? before.latencies : [...before.latencies.slice(1 - LATENCIES), took],
        };
      }
      case 'agent_error':
        return { lastError: text(event, 'error_type', 'error', 'message'), down: event.data.fatal === true };
      default:
        return {};
    }
  }

  #begin(key: string, id: string): void {
    this.#end(key);
    this.#open.set(key, id);
    this.#working.set(id, (this.#working.get(id) ?? 0) + 1);
    if (this.#open.size <= OPEN) return;
    for (const oldest of this.#open.keys()) {
      this.#end(oldest);
      break;
    }
  }

  #end(key: string): void {
    const id = this.#open.get(key);
    if (id === undefined) return;
    this.#open.delete(key);
    const left = (this.#working.get(id) ?? 1) - 1;
    if (left > 0) this.#working.set(id, left);
    else this.#working.delete(id);
  }

  #update(id: string, at: number, changes: Partial<Agent>): void {
    const before = this.#agents.get(id) ?? fresh(id);
    const lastSeen = Math.max(before.lastSeen, at);
    bounded(this.#agents, id, { ...before, ...changes, lastSeen }, this.capacity);
  }

  #link(from: string, to: string): void {
    const key = JSON.stringify([from, to]);
    const count = (this.#links.get(key)?.count ?? 0) + 1;
    bounded(this.#links, key, { from, to, count }, 4 * this.capacity);
  }
}

export function stateOf(agent: Agent, now: number): AgentState {
  if (agent.down) return 'down';
  return now - agent.lastSeen < SILENT_MS ? 'alive' : 'silent';
}

export const p50 = (agent: Agent) => quantile(agent.latencies, 0.5);
export const p95 = (agent: Agent) => quantile(agent.latencies, 0.95);

function fresh(id: string): Agent {
  const none = { lastSeen: 0, down: false, requests: 0, errors: 0, open: 0, tokens: 0 };
  return { id, type: '', version: '', lastError: '', latencies: [], ...none };
}

/** Sets an entry as the newest; the oldest goes when there are too many. */
function bounded<V>(map: Map<string, V>, key: string, value: V, capacity: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= capacity) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    break;
  }
}
