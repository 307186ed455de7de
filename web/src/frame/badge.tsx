import { connection, lagMs, serverVersion } from '../state/feed';

/** How the page hears from the server, and how late. */
export function Badge() {
  const state = connection.value;
  const lag = lagMs.value;
  const late = lag !== undefined && lag > 2000;
  const words = { connecting: 'connecting', live: 'live', lost: 'reconnecting' }[state];
  const delay = state === 'live' && lag !== undefined ? (lag < 1000 ? `${lag} ms` : `${(lag / 1000).toFixed(1)} s`) : '';
  return (
    <span class={`badge ${state} ${late ? 'late' : ''}`} role="status" title={`Observatory ${serverVersion.value}; how late events are here`}>
      <i aria-hidden="true" />
      {words}
      <span class="lag">{delay}</span>
    </span>
  );
}
