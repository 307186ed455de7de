export function QualityPage() { return <p>quality</p>; }
