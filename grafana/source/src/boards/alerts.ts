// What fires, and whether people are told.
import type { Board } from '../kit/board';
import { chart, figure, spread } from '../kit/panels';
import { all, buckets, each, max, of, quantile, ratio, sum } from '../kit/promql';
import { COLOR, MOST, NONE, type Steps } from '../kit/theme';

const TOLD = 'a notification was delivered';
const LATE: Steps = [COLOR.good, [60, COLOR.warn], [600, COLOR.bad]];
const DELIVERY = 'observatory_notification_delivery_seconds';

export const alerts: Board = {
  name: 'alerts',
  title: 'Observatory / Alerts and notifications',
  description: 'What fires in Observatory, and whether people are told: notifications that wait, that arrive and how late, and that do not.',
  range: '24h',
  deployments: true,
  rows: [
    ['',
      figure({
        title: 'Fire', description: 'Alerts that fire now.',
        width: 4, unit: 'short', decimals: 0, steps: NONE, trend: true, query: [sum(of('observatory_alerts', { status: 'firing' })), 'firing'],
      }),
      figure({
        title: 'Pending', description: 'Alerts whose condition holds, but not for long enough.',
        width: 4, unit: 'short', decimals: 0, trend: true, query: [sum(of('observatory_alerts', { status: 'pending' })), 'pending'],
      }),
      figure({
        title: 'Rules', description: 'Alert rules that are evaluated.',
        width: 4, unit: 'short', decimals: 0, query: [sum(of('observatory_alert_rules')), 'rules'],
      }),
      figure({
        title: 'Arrive', description: 'Of the notifications that were done with in the time shown, those that were sent, not given up. Merged and suppressed ones do not count.', empty: 'a notification was done with in the time shown',
        width: 4, unit: 'percentunit', decimals: 1, steps: MOST,
        query: [ratio(sum(all(of('observatory_notifications_total', { outcome: 'sent' }))), sum(all(of('observatory_notifications_total', { outcome: ['=~', 'sent|dead'] })))), 'sent'],
      }),
      figure({
        title: 'Waits for longest', description: 'The age of the oldest notification that was not delivered yet; 0 if there is none.',
        width: 4, unit: 's', decimals: 0, steps: LATE, trend: true, query: [max(of('observatory_notification_oldest_pending_seconds')), 'oldest'],
      }),
      figure({
        title: 'Channels switched off', description: 'Channels that the server switched off because nobody was there any more (404 or 410).',
        width: 4, unit: 'short', decimals: 0, steps: NONE, trend: true, query: [sum(of('observatory_notification_channels_disabled')), 'off'],
      }),
    ],
    ['Alerts',
      chart({
        title: 'Alerts', description: 'Alerts that fire and that are pending.',
        width: 12, unit: 'short', outcomes: ['firing', 'pending'], queries: [[sum(of('observatory_alerts'), 'status'), '{{status}}']],
      }),
      chart({
        title: 'Changes', description: 'Alerts that became pending, began to fire, or were resolved. Much of all three is flapping.',
        width: 12, unit: 'short', bars: true, outcomes: ['firing', 'pending', 'resolved'], interval: '5m', queries: [[sum(each(of('observatory_alert_transitions_total')), 'to'), '{{to}}']],
      }),
    ],
    ['Notifications',
      chart({
        title: 'Notifications by outcome', description: 'Notifications that were done with: sent, merged into a later one, suppressed by a silence or the like, or given up (dead).',
        width: 12, unit: 'short', bars: true, outcomes: ['sent', 'merged', 'suppressed', 'dead'], interval: '5m', queries: [[sum(each(of('observatory_notifications_total')), 'outcome'), '{{outcome}}']],
      }),
      chart({
        title: 'Attempts', description: 'Attempts to deliver, by kind of channel and what came of it. Retries are of channels that were not there or asked to wait.',
        width: 12, unit: 'short', bars: true, interval: '5m', queries: [[sum(each(of('observatory_notification_attempts_total')), 'type', 'result'), '{{type}} {{result}}']],
      }),
      chart({
        title: 'How late', description: 'Half, and 19 of 20, of the notifications within an hour were with their channel within this time.', empty: TOLD,
        width: 8, unit: 's', interval: '15m', queries: [
          [quantile(0.5, { metric: DELIVERY, over: (it) => `increase(${it}[1h])` }), 'half'],
          [quantile(0.95, { metric: DELIVERY, over: (it) => `increase(${it}[1h])` }), '19 of 20'],
        ],
      }),
      spread({
        title: 'How late, in detail', description: 'From making a notification until its channel took it: the darker, the more.',
        width: 8, unit: 's', interval: '5m', query: buckets({ metric: DELIVERY, over: each }),
      }),
      chart({
        title: 'Waiting', description: 'Notifications that wait to be delivered. They are on disk and survive a restart.',
        width: 8, unit: 'short', queries: [[sum(of('observatory_notifications_pending')), 'waiting']],
      }),
    ],
    ['Evaluation',
      chart({
        title: 'How long an evaluation takes', description: 'The last evaluation of all rules; there is one each second.',
        width: 12, height: 6, unit: 's', queries: [[max(of('observatory_alert_evaluation_last_duration_seconds'), 'instance'), '{{instance}}']],
      }),
      chart({
        title: 'Not followed', description: 'Label sets that were not followed because their rule has more than 20,000.',
        width: 12, height: 6, unit: 'short', bars: true, interval: '5m', queries: [[sum(each(of('observatory_alert_instances_dropped_total'))), 'not followed']],
      }),
    ],
  ],
};
