/** Items by what `key` says of them, in the order in which they come. */
export function groupBy<K, T>(items: Iterable<T>, key: (item: T) => K): Map<K, T[]> {
  const res = new Map<K, T[]>();
  for (const it of items) {
    const same = res.get(key(it));
    if (same) same.push(it);
    else res.set(key(it), [it]);
  }
  return res;
}
