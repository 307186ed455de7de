export function AgentsPage() { return <p>agents</p>; }
