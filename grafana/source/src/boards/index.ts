// The boards, in the order of the documentation.
import type { Board } from '../kit/board';
import { agents } from './agents';
import { alerts } from './alerts';
import { ci } from './ci';
import { deployments } from './deployments';
import { internals } from './internals';
import { overview } from './overview';
import { pushedJobs } from './pushed-jobs';
import { quality } from './quality';

export const BOARDS: readonly Board[] = [overview, ci, deployments, agents, quality, pushedJobs, alerts, internals];
