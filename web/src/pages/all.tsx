/** The pages, in the order of the navigation. */

import type { ComponentType } from 'preact';
import { later } from '../parts/later';
import { AgentsPage } from './agents';
import { CiPage } from './ci';
import { DeploymentsPage } from './deployments';
import { EventsPage } from './events';
import { GroupsPage } from './groups';
import { MetricsPage } from './metrics';
import { NowPage } from './now';
import { QualityPage } from './quality';
import { SystemPage } from './system';

export interface Page {
  readonly name: string;
  readonly title: string;
  /** The lines of its icon, in a square of 20. */
  readonly icon: string;
  readonly show: ComponentType;
}

export const PAGES: readonly Page[] = [
  { name: 'now', title: 'Now', icon: 'M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M10 6v4.5l3 1.8', show: NowPage },
  { name: 'events', title: 'Events', icon: 'M3.5 5h13M3.5 10h13M3.5 15h8', show: EventsPage },
  {
    name: 'alerts',
    title: 'Alerts',
    icon: 'M10 3a5 5 0 0 0-5 5c0 5-2 5.5-2 5.5h14S15 13 15 8a5 5 0 0 0-5-5M8.3 16.5a2 2 0 0 0 3.4 0',
    show: later(async () => (await import('./alerting')).AlertsPage),
  },
  { name: 'ci', title: 'CI', icon: 'M4 15V9M8 15V5M12 15v-4M16 15V7', show: CiPage },
  { name: 'deployments', title: 'Deployments', icon: 'M10 13V3.5M6 7l4-4 4 4M4 12v4.5h12V12', show: DeploymentsPage },
  { name: 'agents', title: 'Agents', icon: 'M5 6.5a2 2 0 1 0 0-.1M15 6.5a2 2 0 1 0 0-.1M10 15.5a2 2 0 1 0 0-.1M7 6.5h6M6 8l3 5.5M14 8l-3 5.5', show: AgentsPage },
  { name: 'quality', title: 'Quality', icon: 'M10 3l6 2.5V10c0 3.5-2.6 6-6 7-3.4-1-6-3.5-6-7V5.5zM7.3 10l2 2 3.6-4', show: QualityPage },
  { name: 'groups', title: 'Pushed groups', icon: 'M4 4h5v5H4zM11.5 4h5v5h-5zM4 11.5h5v5H4zM11.5 14h5M14 11.5v5', show: GroupsPage },
  { name: 'metrics', title: 'Metrics', icon: 'M3 14l4-5 3.5 3L17 5M3 17h14', show: MetricsPage },
  {
    name: 'rules',
    title: 'Rules',
    icon: 'M3.5 5.5l1.5 1.5 2.5-3M3.5 13l1.5 1.5 2.5-3M10.5 6h6M10.5 13.5h6',
    show: later(async () => (await import('./alerting')).RulesPage),
  },
  {
    name: 'channels',
    title: 'Channels',
    icon: 'M3 4.5h14v10H3zM3.5 5l6.5 5.5L16.5 5',
    show: later(async () => (await import('./alerting')).ChannelsPage),
  },
  { name: 'system', title: 'System', icon: 'M4 4h12v5H4zM4 11h12v5H4zM7 6.5h.1M7 13.5h.1', show: SystemPage },
];
