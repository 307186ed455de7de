/** What the server answers about alerts, their rules and who is told (docs/alerts.md, docs/notifications.md). */

import type { Json } from './types';

export type Severity = 'critical' | 'high' | 'medium' | 'low';
export const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low'];

export type Labels = Readonly<Record<string, string>>;

export interface Alert {
  readonly id: string;
  readonly rule_id: string;
  readonly rule_name: string;
  readonly fingerprint: string;
  readonly severity: Severity;
  readonly status: 'pending' | 'active' | 'acknowledged' | 'silenced' | 'resolved';
  readonly message: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly current_value: number | null;
  readonly threshold: number | null;
  readonly starts_at: string;
  readonly resolved_at: string | null;
  readonly acknowledged: { readonly by: string; readonly at: string; readonly comment: string } | null;
  readonly silenced_by: readonly string[];
}

export interface AlertPage {
  readonly alerts: readonly Alert[];
  readonly next_cursor: string | null;
}

/** Something that happened to an alert. */
export interface Entry {
  readonly at: string;
  readonly change?: string | null;
  readonly action?: string | null;
  readonly by?: string | null;
  readonly comment?: string | null;
  readonly alert: { readonly id: string; readonly rule_name: string; readonly labels: Labels; readonly annotations: Labels; readonly severity: Severity; readonly value: number | null };
}

export interface EntryPage {
  readonly history: readonly Entry[];
  readonly next_cursor: string | null;
}

export interface Matcher {
  readonly name: string;
  readonly value: string;
  readonly isRegex: boolean;
  readonly isEqual: boolean;
}

export interface Silence {
  readonly id: string;
  readonly status: { readonly state: string };
  readonly comment: string;
  readonly createdBy: string;
  readonly startsAt: string;
  readonly endsAt: string;
  readonly matchers: readonly Matcher[];
}

export interface Rule {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  readonly kind: string;
  readonly enabled: boolean;
  readonly severity: Severity;
  readonly origin: string;
  readonly firing: number;
  readonly [field: string]: Json | undefined;
}

export interface Evaluation {
  readonly current_value: number | null;
  readonly threshold: number | null;
  readonly operator: string;
  readonly firing: boolean;
  readonly reason: string;
  readonly series: readonly { readonly labels: Labels; readonly value: number | null; readonly holds: boolean; readonly alert: Alert | null }[];
}

export interface Preview {
  readonly events: number;
  readonly firings: number;
  readonly truncated: boolean;
  readonly transitions: readonly { readonly at: string; readonly change: string; readonly labels: Labels; readonly value: number | null; readonly message: string | null }[];
}

/** A rule that makes a metric of events. */
export interface MetricRule {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly limit: number;
  readonly ttl_seconds: number | null;
  readonly first_sequence: number;
  readonly backfill: { readonly state: string; readonly done?: number; readonly total?: number; readonly message?: string } | null;
}

export interface Explanation {
  readonly matched: boolean;
  readonly rules: readonly {
    readonly name: string;
    readonly verb: string;
    readonly matched: boolean;
    readonly selectors: readonly { readonly selector: string; readonly type_matched: boolean; readonly mismatch: Json }[];
    readonly effects: readonly string[];
    readonly errors: readonly string[];
  }[];
}

export interface Channel {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly enabled: boolean;
  readonly send_resolved: boolean;
  readonly configured: boolean;
  readonly disabled_reason: string | null;
  readonly config: { readonly [key: string]: Json };
}

export interface Tested {
  readonly success: boolean;
  readonly outcome: string;
  readonly status: number | null;
  readonly response: string;
  readonly duration_ms: number;
}

export interface Delivery {
  readonly id: string;
  readonly alert_id: string;
  readonly rule_name: string;
  readonly channel: string;
  readonly kind: Json;
  readonly state: 'queued' | 'sent' | 'merged' | 'dead' | 'suppressed' | 'purged';
  readonly reason: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  readonly next_attempt_at: string | null;
  readonly attempts: number;
  readonly history: readonly { readonly at: string; readonly status: number | null; readonly response: string; readonly duration_ms: number }[];
}

export interface DeliveryPage {
  readonly notifications: readonly Delivery[];
  readonly next_cursor: string | null;
}
