/** What is shown of alerts in more than one place. */

import type { Alert, Labels, Severity } from '../api/alerting';
import { count } from '../lib/number';
import { parse } from '../lib/time';
import { Ago, Empty } from './basics';
import { hashOf } from '../state/route';

const SHAPES: Record<Severity, preact.JSX.Element> = {
  critical: <path d="M8 1.8l6.4 11.6H1.6z" />,
  high: <path d="M8 1.6L14.4 8 8 14.4 1.6 8z" />,
  medium: <circle cx="8" cy="8" r="5.4" />,
  low: <path d="M3 6.2h10v3.6H3z" />,
};

/** How bad it is, by shape and colour; hollow while it only may become so. */
export function SeverityMark({ severity, hollow = false }: { severity: Severity; hollow?: boolean }) {
  return (
    <svg class={`severity ${severity} ${hollow ? 'hollow' : ''}`} viewBox="0 0 16 16" role="img" aria-label={severity}>
      {SHAPES[severity]}
    </svg>
  );
}

/** Labels, without those that every alert has and that are shown otherwise. */
export function LabelsOf({ labels }: { labels: Labels }) {
  const own = Object.entries(labels).filter(([name]) => name !== 'alertname' && name !== 'severity');
  return (
    <span class="labels">
      {own.map(([name, value]) => (
        <span key={name} class="label">{`${name}="${value}"`}</span>
      ))}
    </span>
  );
}

/** The worst alerts in a line each, for a page that shows other things as well. */
export function AlertRows({ alerts, most }: { alerts: readonly Alert[]; most: number }) {
  if (alerts.length === 0) return <Empty title="Nothing fires." />;
  return (
    <ul class="rows alerts">
      {alerts.slice(0, most).map((it) => (
        <li key={it.id}>
          <a href={hashOf('alerts', { alert: it.id })}>
            <SeverityMark severity={it.severity} />
            <span class="where">
              <b>{it.rule_name}</b>
              <span class="dim">{it.message === it.rule_name ? '' : it.message}</span>
            </span>
            {it.status !== 'active' && <span class="tag">{it.status}</span>}
            <span class="dim time">
              <Ago at={parse(it.starts_at)} />
            </span>
          </a>
        </li>
      ))}
      {alerts.length > most && (
        <li class="more">
          <a href={hashOf('alerts')}>and {count(alerts.length - most)} more</a>
        </li>
      )}
    </ul>
  );
}
