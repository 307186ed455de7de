// Observatory itself.
import type { Board } from '../kit/board';
import { chart, figure, rows, spread } from '../kit/panels';
import { all, buckets, count, each, max, of, quantile, rate, ratio, sum } from '../kit/promql';
import { COLOR, NONE, UP, words } from '../kit/theme';

const INGEST = 'observatory_ingest_duration_seconds';
const COMMIT = 'observatory_commit_duration_seconds';
const HTTP = 'observatory_http_request_duration_seconds';

export const internals: Board = {
  name: 'internals',
  title: 'Observatory / Internals',
  description: 'Observatory itself: ingest, HTTP, live streams, rules and their series, the store, scrapes and the process.',
  range: '6h',
  deployments: false,
  rows: [
    ['',
      figure({
        title: 'Version', description: 'What runs.',
        width: 4, unit: 'none', name: true, query: [max(of('observatory_build_info'), 'version', 'revision'), '{{version}} {{revision}}'],
      }),
      figure({
        title: 'Up for', description: 'Since the start of the process that started last.',
        width: 4, unit: 's', decimals: 0, query: [`time() - ${max(of('process_start_time_seconds'))}`, 'up'],
      }),
      figure({
        title: 'Store', description: 'Whether the last write to the store succeeded. If not, /health says why, and events are refused.',
        width: 4, unit: 'none', steps: UP, mappings: [words({ 0: ['cannot write', COLOR.bad], 1: ['writes', COLOR.good] })], query: [`min(${of('observatory_store_writable')})`, 'writable'],
      }),
      figure({
        title: 'Events per second', description: 'Events that are accepted.',
        width: 4, unit: 'cps', decimals: 1, trend: true, query: [sum(rate(of('observatory_events_received_total'))), 'accepted'],
      }),
      figure({
        title: 'Rules reloaded', description: 'Whether the last reload of the rules succeeded. If not, the rules from before are in force.',
        width: 4, unit: 'none', steps: UP, mappings: [words({ 0: ['failed', COLOR.bad], 1: ['in force', COLOR.good] })], query: [`min(${of('observatory_config_last_reload_successful')})`, 'reload'],
      }),
      figure({
        title: 'Refused', description: 'Requests in the time shown that were answered 503 because the queue was full.',
        width: 4, unit: 'short', decimals: 0, steps: NONE, query: [sum(all(of('observatory_queue_refused_requests_total'))), 'refused'],
      }),
    ],
    ['Ingest',
      chart({
        title: 'Events', description: 'Events per second: accepted, had been accepted before, and matched by no rule.', empty: 'events have come; what no rule matches has a series as soon as there is such an event',
        width: 8, unit: 'cps', queries: [
          [sum(rate(of('observatory_events_received_total'))), 'accepted'],
          [sum(rate(of('observatory_events_duplicate_total'))), 'duplicates'],
          [sum(rate(of('observatory_events_unmatched_total'))), 'without a rule'],
        ],
      }),
      chart({
        title: 'Until an event is durable', description: 'From a parsed request to its events being on disk and visible: half, and 99 of 100, took less.', empty: 'an event has come',
        width: 8, unit: 's', queries: [[quantile(0.5, { metric: INGEST, over: rate }), 'half'], [quantile(0.99, { metric: INGEST, over: rate }), '99 of 100']],
      }),
      chart({
        title: 'Events that share a commit', description: 'Accepted events by commits: the more, the fewer syncs of the disk.', empty: 'an event has come',
        width: 8, unit: 'short', queries: [[ratio(sum(rate(of('observatory_events_received_total'))), count({ metric: COMMIT, over: rate })), 'events per commit']],
      }),
      spread({
        title: 'How long commits take', description: 'Append, sync, apply: the darker, the more.',
        width: 8, unit: 's', query: buckets({ metric: COMMIT, over: each }),
      }),
      chart({
        title: 'Queue', description: 'Requests that wait for the writer.',
        width: 8, unit: 'short', queries: [[sum(of('observatory_queue_requests')), 'requests']],
      }),
      chart({
        title: 'Bytes in the queue', description: 'What waits for the writer.',
        width: 8, unit: 'bytes', queries: [[sum(of('observatory_queue_bytes')), 'bytes']],
      }),
    ],
    ['HTTP and streams',
      chart({
        title: 'Requests by answer', description: 'Requests per second, by the status they were answered with.',
        width: 8, unit: 'reqps', queries: [[count({ metric: HTTP, over: rate, by: ['code'] }), '{{code}}']],
      }),
      chart({
        title: 'Slow routes', description: '95 of 100 requests took less; the ten slowest routes.',
        width: 8, unit: 's', queries: [[`topk(10, ${quantile(0.95, { metric: HTTP, over: rate, by: ['method', 'route'] })})`, '{{method}} {{route}}']],
      }),
      chart({
        title: 'Connections', description: 'Connections that are open, and requests in work.',
        width: 8, unit: 'short', queries: [[sum(of('observatory_http_connections')), 'connections'], [sum(of('observatory_http_requests_in_flight')), 'requests in work']],
      }),
      chart({
        title: 'Rejected', description: 'Requests that were refused before they were looked at, by why.', empty: 'a request was refused',
        width: 8, unit: 'short', bars: true, interval: '5m', queries: [[sum(each(of('observatory_http_requests_rejected_total')), 'reason'), '{{reason}}']],
      }),
      chart({
        title: 'Live streams', description: 'Streams of events that are open.',
        width: 8, unit: 'short', queries: [[sum(of('observatory_stream_open'), 'transport'), '{{transport}}']],
      }),
      chart({
        title: 'Streams that ended', description: 'Why streams ended, or were refused.',
        width: 8, unit: 'short', bars: true, interval: '5m', queries: [
          [sum(each(of('observatory_stream_closed_total')), 'reason'), '{{reason}}'],
          [sum(each(of('observatory_stream_refused_total')), 'reason'), 'refused: {{reason}}'],
          [sum(each(of('observatory_stream_resets_total')), 'reason'), 'reset: {{reason}}'],
        ],
      }),
    ],
    ['Rules and series',
      rows({
        title: 'Series', description: 'Per metric of the rules: series that live, how many may, and updates in the time shown that went to the overflow series.',
        width: 10, height: 10, unit: 'short', order: 'Series',
        labels: [['metric', { name: 'Metric' }]],
        queries: [
          [max(of('observatory_series'), 'metric'), { name: 'Series', decimals: 0 }],
          [max(of('observatory_series_limit'), 'metric'), { name: 'May', decimals: 0 }],
          [sum(all(of('observatory_series_overflow_total')), 'metric'), { name: 'Overflow', decimals: 0, steps: NONE }],
        ],
      }),
      chart({
        title: 'Errors of rules', description: 'Updates that a matching rule could not make, by metric and why.', empty: 'a rule could not make an update',
        width: 7, height: 10, unit: 'short', bars: true, interval: '5m', queries: [[sum(each(of('observatory_rule_errors_total')), 'metric', 'reason'), '{{metric}} {{reason}}']],
      }),
      chart({
        title: 'Open spans', description: 'What has started and not ended.',
        width: 7, height: 10, unit: 'short', queries: [[sum(of('observatory_open_spans'), 'span'), '{{span}}']],
      }),
      chart({
        title: 'Events without a rule', description: 'Events that no rule matched, by type.', empty: 'an event has come that no rule matches',
        width: 12, unit: 'short', bars: true, interval: '5m', queries: [[sum(each(of('observatory_events_unmatched_total')), 'event_type'), '{{event_type}}']],
      }),
      chart({
        title: 'Backfill', description: 'Events of the past to which a new rule was applied, per second, and how many metrics wait for theirs.',
        width: 12, unit: 'short', queries: [[sum(rate(of('observatory_backfill_events_total'))), 'events per second'], [sum(of('observatory_backfill_pending')), 'metrics that wait'], [sum(each(of('observatory_backfill_failures_total'))), 'failures']],
      }),
    ],
    ['Store',
      chart({
        title: 'On disk', description: 'Bytes of the store on disk.',
        width: 8, unit: 'bytes', queries: [[sum(of('observatory_store_size_bytes'), 'instance'), '{{instance}}']],
      }),
      chart({
        title: 'Events in the journal', description: 'What can be asked for and replayed.',
        width: 8, unit: 'short', queries: [[sum(of('observatory_store_events'), 'instance'), '{{instance}}']],
      }),
      chart({
        title: 'Blocks', description: 'Blocks of the journal, and those that are full. Small ones are merged in quiet moments.',
        width: 8, unit: 'short', queries: [[sum(of('observatory_store_blocks')), 'blocks'], [sum(of('observatory_store_sealed_blocks')), 'sealed']],
      }),
      chart({
        title: 'Forgotten', description: 'Events that were pruned because of their age or the size of the store, by class.',
        width: 8, unit: 'short', bars: true, interval: '5m', queries: [[sum(each(of('observatory_pruned_total')), 'class'), '{{class}}']],
      }),
      chart({
        title: 'Since the last prune', description: 'Old events are looked for each hour.',
        width: 8, unit: 's', queries: [[`time() - ${max(of('observatory_prune_last_success_timestamp_seconds'), 'instance')}`, '{{instance}}']],
      }),
      chart({
        title: 'Snapshots and prunes', description: 'How long storing a snapshot of the metrics, and one prune, took in the mean since the start of the server.', empty: 'a snapshot was stored: every few minutes, if events come',
        width: 8, unit: 's', queries: [
          [mean('observatory_snapshot_duration_seconds'), 'snapshot'],
          [mean('observatory_prune_duration_seconds'), 'prune'],
        ],
      }),
    ],
    ['Scrapes and the process',
      chart({
        title: 'How long a page takes', description: 'Rendering: half, and 95 of 100, took less.',
        width: 8, unit: 's', queries: [[quantile(0.5, { metric: 'observatory_scrape_duration_seconds', over: rate }), 'half'], [quantile(0.95, { metric: 'observatory_scrape_duration_seconds', over: rate }), '95 of 100']],
      }),
      chart({
        title: 'What a scrape brings', description: 'Samples of a page, as Prometheus counts them.',
        width: 8, unit: 'short', queries: [[sum(of('scrape_samples_scraped'), 'instance'), '{{instance}}']],
      }),
      chart({
        title: 'Scrapes that fail', description: '1 while Prometheus cannot scrape.',
        width: 8, unit: 'short', max: 1, queries: [[max(`1 - ${of('up')}`, 'instance'), '{{instance}}']],
      }),
      chart({
        title: 'Processor', description: 'Cores that are used.',
        width: 6, unit: 'short', queries: [[sum(rate(of('process_cpu_seconds_total')), 'instance'), '{{instance}}']],
      }),
      chart({
        title: 'Memory', description: 'Resident memory.',
        width: 6, unit: 'bytes', queries: [[sum(of('process_resident_memory_bytes'), 'instance'), '{{instance}}']],
      }),
      chart({
        title: 'Files and threads', description: 'File descriptors that are open, and threads.',
        width: 6, unit: 'short', queries: [[sum(of('process_open_fds')), 'files'], [sum(of('process_threads')), 'threads']],
      }),
      chart({
        title: 'Network', description: 'Bytes per second that the host (or its container) received and sent.',
        width: 6, unit: 'Bps', queries: [[sum(rate(of('process_network_receive_bytes_total'))), 'received'], [sum(rate(of('process_network_transmit_bytes_total'))), 'sent']],
      }),
    ],
  ],
};

/** The mean of a histogram since the start: what it is of is too rare for a window. */
function mean(metric: string): string {
  const whole = `(${sum(of(`${metric}_sum`))} or ${sum(`histogram_sum(${of(metric)})`)})`;
  const all = `(${sum(of(`${metric}_count`))} or ${sum(`histogram_count(${of(metric)})`)})`;
  return ratio(whole, all);
}
