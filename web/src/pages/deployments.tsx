export function DeploymentsPage() { return <p>deployments</p>; }
