/** What the server answers, as far as the page reads it (docs/api.md). */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** An event as lists and streams show it. `data` is what a sender wrote: anything at all. */
export interface Event {
  readonly id: string;
  readonly event_type: string;
  readonly source: string;
  readonly subject: string | null;
  readonly timestamp: string;
  readonly received_at: string;
  readonly sequence: number;
  readonly data: { readonly [key: string]: Json };
  readonly trace_id?: string;
}

/** Something that happened to a group of pushes. It is no event: it has no number, and is shown to who is there. */
export interface PushNotice {
  readonly at: string;
  readonly change: 'pushed' | 'rejected' | 'deleted' | 'expired';
  readonly labels: Readonly<Record<string, string>>;
  readonly series: number;
  readonly reason?: string;
}

export interface EventPage {
  readonly events: readonly Event[];
  readonly next: string | null;
}

export interface Figures {
  readonly count: number;
  readonly sum: number;
  readonly avg: number;
  readonly min: number;
  readonly max: number;
  readonly p50: number;
  readonly p95: number;
}

export interface SummaryGroup {
  readonly start?: string;
  readonly group: { readonly [path: string]: Json };
  readonly count: number;
  readonly value?: Figures | null;
}

export interface Summary {
  readonly groups: readonly SummaryGroup[];
  readonly events: number;
  readonly truncated: boolean;
}

export interface Session {
  readonly name: string | null;
  readonly roles: readonly string[];
}

export interface Status {
  readonly data: {
    readonly build_information: { readonly version: string; readonly revision: string; readonly rustc?: string };
    readonly flags: { readonly [name: string]: string };
    readonly start_time: string;
  };
}

export interface Health {
  readonly status: string;
  readonly version: string;
  readonly uptime_seconds: number;
  readonly events: number;
  readonly components: { readonly [name: string]: { readonly status: string; readonly message?: string } };
}
