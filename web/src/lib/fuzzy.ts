/** How well `query` is found in `text`, its letters in order; 0 if it is not. Starts of words and neighbours count more. */
export function score(query: string, text: string): number {
  const [wanted, given] = [query.toLowerCase(), text.toLowerCase()];
  let res = 1;
  let at = 0;
  let last = -2;
  for (const letter of wanted.replaceAll(' ', '')) {
    const found = given.indexOf(letter, at);
    if (found < 0) return 0;
    const starts = found === 0 || /[\s_./-]/.test(given[found - 1] ?? '');
    res += found === last + 1 ? 4 : starts ? 3 : 1;
    last = found;
    at = found + 1;
  }
  return res - given.length / 1000;
}
