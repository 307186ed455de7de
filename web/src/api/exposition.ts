/** The text format of Prometheus, as far as it takes to show series: names, labels, values, types and help texts. */

export interface Sample {
  /** Name and labels as they stand on the page: what tells series apart. */
  readonly series: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Exposition {
  readonly samples: readonly Sample[];
  readonly types: ReadonlyMap<string, string>;
  readonly help: ReadonlyMap<string, string>;
}

export function parseExposition(text: string): Exposition {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const help = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line.startsWith('# TYPE ')) {
      const [name = '', type = ''] = line.slice(7).split(' ');
      types.set(name, type);
    } else if (line.startsWith('# HELP ')) {
      const space = line.indexOf(' ', 7);
      if (space > 0) help.set(line.slice(7, space), unescaped(line.slice(space + 1)));
    } else if (line && !line.startsWith('#')) {
      const sample = parseSample(line);
      if (sample) samples.push(sample);
    }
  }
  return { samples, types, help };
}

function parseSample(line: string): Sample | undefined {
  const open = line.indexOf('{');
  const space = line.indexOf(' ');
  if (open < 0 || (space >= 0 && space < open)) {
    if (space < 0) return undefined;
    const name = line.slice(0, space);
    return { series: name, name, labels: {}, value: number(line.slice(space + 1)) };
  }
  const labels: Record<string, string> = {};
  let name = line.slice(0, open);
  let at = open + 1;
  while (at < line.length && line[at] !== '}') {
    const [key, afterKey] = line[at] === '"' ? string(line, at) : word(line, at);
    if (line[afterKey] === '=') {
      const [value, end] = string(line, afterKey + 1);
      labels[key] = value;
      at = end;
    } else {
      // A name that is no plain word stands in quotes among the labels.
      name = key;
      at = afterKey;
    }
    while (line[at] === ',' || line[at] === ' ') at += 1;
  }
  if (line[at] !== '}') return undefined;
  return { series: line.slice(0, at + 1), name, labels, value: number(line.slice(at + 1).trim()) };
}

/** From the quote at `from`: the text, and where it ends. */
function string(line: string, from: number): [string, number] {
  let at = from + 1;
  while (at < line.length && line[at] !== '"') at += line[at] === '\\' ? 2 : 1;
  return [unescaped(line.slice(from + 1, at)), at + 1];
}

function word(line: string, from: number): [string, number] {
  let at = from;
  while (at < line.length && !'=,}'.includes(line[at] ?? '')) at += 1;
  // Something that is no label ends the line rather than the loop.
  return [line.slice(from, at).trim(), Math.max(at, from + 1)];
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, it: string) => (it === 'n' ? '\n' : it));
}

function number(text: string): number {
  const word = text.split(' ')[0] ?? '';
  if (word === '+Inf') return Infinity;
  if (word === '-Inf') return -Infinity;
  return word === '' ? NaN : Number(word);
}
