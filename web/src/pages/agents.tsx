/** Agents: who is there, what they do, and who works with whom. */

import { get } from '../api/http';
import type { Summary } from '../api/types';
import { count, percent } from '../lib/number';
import { quoted } from '../lib/selector';
import { intervals, line, span, total } from '../lib/series';
import { duration } from '../lib/time';
import { Ago, Card, Empty, Figure, Trouble } from '../parts/basics';
import { Chart } from '../parts/chart';
import { Mark } from '../parts/mark';
import { Page } from '../parts/page';
import { Topology } from '../parts/topology';
import { p50, p95, stateOf, type AgentState } from '../state/agents';
import { now } from '../state/clock';
import { allAgents, allLinks, ready, trouble } from '../state/feed';
import { useAnswer } from '../state/query';
import { hashOf } from '../state/route';

const LENGTH = 3_600_000;
const STEP = 60_000;
const WORDS: Record<AgentState, string> = { alive: 'alive', silent: 'silent', down: 'down' };

export function AgentsPage() {
  const agents = allAgents.value;
  const states = agents.map((it) => stateOf(it, now.value));
  const of = (wanted: AgentState) => states.filter((it) => it === wanted).length;
  const requests = agents.reduce((sum, it) => sum + it.requests, 0);
  const errors = agents.reduce((sum, it) => sum + it.errors, 0);
  return (
    <Page
      title="Agents"
      error={trouble.value}
      empty={ready.value && agents.length === 0}
      none={{
        of: 'Agents',
        title: 'No agents yet. Whoever sends an event of a type agent_… with an agent_id is one:',
        event: '{"event_type":"agent_request_completed","source":"agents","data":{"agent_id":"coder-1","status":"success","duration_ms":2400}}',
      }}
    >
      <dl class="figures">
        <Figure label="Alive" value={count(of('alive'))} note={`of ${count(agents.length)}`} />
        <Figure label="Silent" value={count(of('silent'))} note="for 5 minutes or longer" />
        <Figure label="Down" value={count(of('down'))} tone={of('down') > 0 ? 'bad' : undefined} note="after a fatal error" />
        <Figure label="At work" value={count(agents.reduce((sum, it) => sum + it.open, 0))} note="open requests" />
        <Figure label="Errors" value={percent(errors, requests)} note={`of the last ${count(requests)} requests`} />
      </dl>
      <div class="grid">
        <Table />
        <Card title="Who works with whom">
          {allLinks.value.length > 0 ? (
            <Topology agents={agents} links={allLinks.value} now={now.value} />
          ) : (
            <Empty title="Nobody has worked with anybody. An event agent_collaboration has from_agent and to_agent." />
          )}
        </Card>
        <Requests />
      </div>
    </Page>
  );
}

function Table() {
  return (
    <Card title="Agents" aside={<span class="dim">requests of late</span>} class="wide">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Agent</th>
              <th>State</th>
              <th>Type</th>
              <th>Version</th>
              <th class="n">At work</th>
              <th class="n">Requests</th>
              <th class="n">Errors</th>
              <th class="n">Median</th>
              <th class="n">95 %</th>
              <th class="n">Tokens</th>
              <th>Last error</th>
              <th class="n">Seen</th>
            </tr>
          </thead>
          <tbody>
            {allAgents.value.map((it) => {
              const state = stateOf(it, now.value);
              return (
                <tr key={it.id}>
                  <td>
                    <a href={hashOf('events', { match: `agent_*{agent_id=${quoted(it.id)}}` })}>{it.id}</a>
                  </td>
                  <td class="nowrap">
                    <Mark state={state} label="" />
                    {WORDS[state]}
                  </td>
                  <td>{it.type || '–'}</td>
                  <td>{it.version || '–'}</td>
                  <td class="n">{it.open}</td>
                  <td class="n">{count(it.requests)}</td>
                  <td class="n">{percent(it.errors, it.requests)}</td>
                  <td class="n">{duration(p50(it))}</td>
                  <td class="n">{duration(p95(it))}</td>
                  <td class="n">{count(it.tokens)}</td>
                  <td>{it.lastError || '–'}</td>
                  <td class="n nowrap">
                    <Ago at={it.lastSeen} />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Requests() {
  const { data, error } = useAnswer('requests of agents', async (signal) => {
    const [until, type] = [Date.now(), ['agent_request_completed', 'agent_request_processed', 'agent_error']];
    const params = { type, since: new Date(until - LENGTH).toISOString(), interval: span(STEP), by: 'type' };
    const { groups } = await get<Summary>('api/v1/events/summary', params, signal);
    const times = intervals(until - LENGTH, until, STEP);
    const errors = groups.filter((it) => it.group.type === 'agent_error');
    return { times, requests: line(times, groups.filter((it) => !errors.includes(it)), total, 0), errors: line(times, errors, total, 0) };
  });
  return (
    <Card title="Requests per minute">
      <Trouble message={error} />
      <Chart
        label="Requests and errors of agents, per minute"
        times={data?.times ?? []}
        series={[
          { label: 'requests', colour: 'accent', values: data?.requests ?? [] },
          { label: 'errors', colour: 'bad', values: data?.errors ?? [] },
        ]}
        format={count}
        height={300}
      />
    </Card>
  );
}
