/** The pages about alerts, which are fetched together when somebody opens one of them. */

import '../style/alerting.css';

export { AlertsPage } from './alerts';
export { ChannelsPage } from './channels';
export { RulesPage } from './rules';
