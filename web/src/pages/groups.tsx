export function GroupsPage() { return <p>groups</p>; }
