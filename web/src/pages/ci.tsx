export function CiPage() { return <p>ci</p>; }
