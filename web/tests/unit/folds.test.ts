import { describe, expect, test } from 'vitest';
import { Agents, p50, SILENT_MS, stateOf } from '../../src/state/agents';
import { readQuality } from '../../src/state/quality';
import { flakiness, Runs, running } from '../../src/state/runs';
import { result } from '../../src/state/fields';
import { event, TEN } from './support';

describe('runs', () => {
  const build = { project: 'web', branch: 'main', build_id: 7 };

  test('a build runs until it ends', () => {
    const runs = new Runs();
    runs.take(event('ci_build_started', build, 0));
    expect(running(runs.newestFirst(), TEN + 5000).map((it) => it.number)).toEqual(['7']);
    runs.take(event('ci_build_completed', { project: 'web', build_id: 7, status: 'FAILED' }, 90));
    const [run] = runs.newestFirst();
    expect(run).toMatchObject({ state: 'failure', branch: 'main', seconds: 90, startedAt: TEN, endedAt: TEN + 90_000 });
    expect(running(runs.newestFirst(), TEN + 91_000)).toEqual([]);
  });

  test('an end before its start is still the end', () => {
    const runs = new Runs();
    runs.take(event('ci_build_completed', { ...build, status: 'success', duration_ms: 1500 }, 60));
    runs.take(event('ci_build_started', build, 0));
    expect(runs.newestFirst()).toMatchObject([{ state: 'success', startedAt: TEN, seconds: 1.5 }]);
  });

  test('a build that starts once more runs', () => {
    const runs = new Runs();
    runs.take(event('ci_build_completed', { ...build, status: 'success' }, 0));
    runs.take(event('ci_build_started', build, 60));
    expect(runs.newestFirst()).toMatchObject([{ state: 'running', endedAt: 0 }]);
  });

  test('deployments are told apart by service, environment and version', () => {
    const runs = new Runs();
    const deployment = { service: 'web', environment: 'staging', version: '1' };
    runs.take(event('deployment_started', deployment));
    runs.take(event('deployment_started', { ...deployment, environment: 'production' }));
    runs.take(event('deployment_completed', { ...deployment, status: 'ok' }, 5));
    expect(runs.newestFirst().map((it) => [it.environment, it.state])).toEqual([
      ['staging', 'success'],
      ['production', 'running'],
    ]);
  });

  test('what never ended is not shown for ever, and there are not more than so many', () => {
    const runs = new Runs(3);
    for (let id = 0; id < 10; id += 1) runs.take(event('ci_build_started', { project: 'web', build_id: id }));
    expect(runs.newestFirst().map((it) => it.number)).toEqual(['9', '8', '7']);
    expect(running(runs.newestFirst(), TEN + 7 * 3_600_000)).toEqual([]);
    expect(runs.take(event('coverage_updated', {}))).toBe(false);
  });

  test('keys cannot be mistaken for one another', () => {
    const runs = new Runs();
    runs.take(event('ci_build_started', { project: 'a","b', build_id: 'c' }));
    runs.take(event('ci_build_started', { project: 'a', build_id: 'b","c' }));
    expect(runs.newestFirst().length).toBe(2);
  });

  test('words for results', () => {
    const words = ['success', 'SUCCEEDED', 'passed', 'failure', 'Failed', 'error: x', 'cancelled', 'skipped', 'odd', ''];
    expect(words.map(result)).toEqual([...Array(3).fill('success'), ...Array(3).fill('failure'), ...Array(2).fill('cancelled'), ...Array(2).fill('other')]);
  });

  test('flakiness', () => {
    expect(flakiness(['success', 'success', 'success'])).toBe(0);
    expect(flakiness(['success', 'failure', 'success'])).toBe(1);
    expect(flakiness(['success', 'cancelled', 'failure', 'failure'])).toBe(0.5);
    expect(flakiness(['failure'])).toBe(0);
  });
});

describe('agents', () => {
  test('what an agent does', () => {
    const agents = new Agents();
    agents.take(event('agent_registered', { agent_id: 'a', agent_type: 'coder', version: '1.0' }));
    agents.take(event('agent_request_started', { agent_id: 'a', request_id: 'r1' }, 1));
    agents.take(event('agent_request_started', { agent_id: 'a', request_id: 'r2' }, 1));
    expect(agents.all()[0]).toMatchObject({ open: 2, type: 'coder' });
    agents.take(event('agent_request_completed', { agent_id: 'a', request_id: 'r1', status: 'success', duration_ms: 2000 }, 3));
    agents.take(event('agent_request_completed', { agent_id: 'a', request_id: 'r2', status: 'error', duration_ms: 4000, input_tokens: 5, output_tokens: '7' }, 5));
    const [agent] = agents.all();
    expect(agent).toMatchObject({ open: 0, requests: 2, errors: 1, tokens: 12, lastSeen: TEN + 5000 });
    expect(p50(agent!)).toBe(3);
  });

  test('a request that began twice is open once, and a stray end ends nothing', () => {
    const agents = new Agents();
    for (const id of ['r1', 'r1', 'r2']) agents.take(event('agent_request_started', { agent_id: 'a', request_id: id }));
    agents.take(event('agent_request_completed', { agent_id: 'a', request_id: 'r9' }));
    expect(agents.all()[0]!.open).toBe(2);
    for (let it = 0; it < 10_050; it += 1) agents.take(event('agent_request_started', { agent_id: 'b', request_id: it }));
    expect(agents.all()[1]!.open).toBe(10_000);
  });

  test('alive, silent, down and back', () => {
    const agents = new Agents();
    const state = (now: number) => stateOf(agents.all()[0]!, now);
    agents.take(event('agent_heartbeat', { agent: 'a' }));
    expect([state(TEN + SILENT_MS - 1), state(TEN + SILENT_MS)]).toEqual(['alive', 'silent']);
    agents.take(event('agent_error', { agent: 'a', fatal: true, error_type: 'timeout' }, 1));
    expect(state(TEN + 2000)).toBe('down');
    agents.take(event('agent_registered', { agent: 'a' }, 2));
    expect(state(TEN + 3000)).toBe('alive');
  });

  test('who works with whom', () => {
    const agents = new Agents();
    for (let it = 0; it < 3; it += 1) agents.take(event('agent_collaboration', { from_agent: 'a', to_agent: 'b' }));
    expect(agents.links()).toEqual([{ from: 'a', to: 'b', count: 3 }]);
    expect(agents.all().map((it) => it.id)).toEqual(['a', 'b']);
  });

  test('there are not more than so many', () => {
    const agents = new Agents(5);
    for (let it = 0; it < 100; it += 1) {
      agents.take(event('agent_collaboration', { from_agent: `a${it}`, to_agent: `b${it}` }));
    }
    expect(agents.all().length).toBe(5);
    expect(agents.links().length).toBe(20);
  });
});

test('quality is what was said last, and how it has changed', () => {
  const story = [
    event('quality_gate_failed', { project: 'web', gate: 'security' }),
    event('quality_score_updated', { project: 'web', score: 80 }, 1),
    event('coverage_updated', { project: 'api', coverage: '64.5' }, 2),
    event('quality_score_updated', { project: 'web', score: 82 }, 3),
    event('quality_gate_passed', { project: 'web', gate: 'security' }, 4),
  ];
  const [api, web] = readQuality(story.reverse());
  expect(api).toMatchObject({ name: 'api', coverage: 64.5, coverageBefore: undefined, score: undefined });
  expect(web).toMatchObject({ name: 'web', score: 82, scoreBefore: 80, at: TEN + 4000 });
  expect(web!.gates).toEqual(new Map([['security', true]]));
});
