export function MetricsPage() { return <p>metrics</p>; }
