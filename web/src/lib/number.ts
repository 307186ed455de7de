/** Numbers as people read them. */

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** `1,234`, `12.3k`, `4.5M`. */
export function count(n: number): string {
  if (!Number.isFinite(n)) return '–';
  if (Math.abs(n) < 10_000) return grouped.format(n);
  if (Math.abs(n) < 1e6) return `${trimmed(n / 1e3)}k`;
  if (Math.abs(n) < 1e9) return `${trimmed(n / 1e6)}M`;
  return `${trimmed(n / 1e9)}G`;
}

/** `96.4 %`; a dash if there is nothing to be a part of. */
export function percent(part: number, whole: number): string {
  if (!(whole > 0)) return '–';
  const it = (100 * part) / whole;
  return `${it === 100 || it === 0 ? it : it.toFixed(1)} %`;
}

/** `512 B`, `1.5 MiB`. */
export function bytes(n: number): string {
  if (!Number.isFinite(n)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let it = n;
  let unit = 0;
  while (it >= 1024 && unit < units.length - 1) {
    it /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? it : trimmed(it)} ${units[unit]}`;
}

/** A value of whatever unit: at most four digits that matter. */
export function value(n: number): string {
  if (!Number.isFinite(n)) return String(n);
  if (n !== 0 && (Math.abs(n) >= 1e6 || Math.abs(n) < 1e-3)) return n.toPrecision(4);
  return String(Number(n.toPrecision(n >= 1000 ? 7 : 4)));
}

function trimmed(n: number): string {
  return n < 10 ? n.toFixed(2).replace(/\.?0+$/, '') : n < 100 ? n.toFixed(1).replace(/\.0$/, '') : n.toFixed(0);
}

/** The `q`-quantile of numbers, interpolated between its neighbours; NaN of none. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const at = q * (sorted.length - 1);
  const low = sorted[Math.floor(at)] ?? NaN;
  const high = sorted[Math.ceil(at)] ?? NaN;
  return low + (high - low) * (at - Math.floor(at));
}
