import { describe, expect, test } from 'vitest';
import { address, reason } from '../../src/api/http';
import { parseExposition } from '../../src/api/exposition';
import { csv } from '../../src/lib/csv';
import { ask, send } from '../../src/lib/curl';
import { score } from '../../src/lib/fuzzy';
import { bytes, count, percent, quantile, value } from '../../src/lib/number';
import { about, quoted } from '../../src/lib/selector';
import { intervals, line, total } from '../../src/lib/series';
import { ago, dateAndTime, duration, elapsed, parse } from '../../src/lib/time';
import { Lag } from '../../src/state/lag';
import { expiries, keyOf, pathOf, readGroups } from '../../src/state/groups';
import { Ring } from '../../src/state/ring';
import { hashOf, parseHash } from '../../src/state/route';
import { extended, rates, type History } from '../../src/state/scrape';
import { placed } from '../../src/parts/virtual';

test('the ring keeps the newest, and counts all', () => {
  const ring = new Ring<number>(3);
  expect(ring.newestFirst()).toEqual([]);
  [1, 2, 3, 4, 5].forEach((it) => ring.push(it));
  expect([ring.newestFirst(), ring.length, ring.pushed]).toEqual([[5, 4, 3], 3, 5]);
  ring.clear();
  expect([ring.newestFirst(), ring.pushed]).toEqual([[], 0]);
  ring.push(6);
  expect(ring.newestFirst()).toEqual([6]);
});

describe('the address', () => {
  test('a selector comes back as it was written', () => {
    for (const match of ['ci_build_*{status="failure", branch=~"release/.*"}', '*{x="50% & more?#"}', '*{name="ä\\"b"}', 'a+b']) {
      const { page, params } = parseHash(hashOf('events', { match, until: '' }));
      expect([page, params.get('match'), params.has('until')]).toEqual(['events', match, false]);
    }
  });

  test('pages', () => {
    expect(parseHash('').page).toBe('now');
    expect(parseHash('#/').page).toBe('now');
    expect(parseHash('#/ci?project=web').params.get('project')).toBe('web');
    expect(hashOf('ci')).toBe('#/ci');
  });

  test('the API is beside the page, whatever stands before it', () => {
    const at = (base: string) => address('api/v1/events', { match: '*{a="b"}', type: ['x', 'y'], until: '', since: undefined }, base);
    expect(at('http://h:1/#/events?match=q')).toBe('http://h:1/api/v1/events?match=*%7Ba%3D%22b%22%7D&type=x&type=y');
    expect(at('https://h/deep/prefix/')).toContain('https://h/deep/prefix/api/v1/events?');
    expect(at('https://h/deep/status')).toContain('https://h/deep/api/v1/events?');
  });

  test('errors in the words of who answers', () => {
    expect(reason(400, '{"error":"invalid_parameter","message":"match is no selector"}')).toBe('match is no selector');
    expect(reason(400, 'pushed metrics are invalid\n')).toBe('pushed metrics are invalid');
    expect(reason(502, '<html>bad gateway</html>')).toBe('the server answers 502');
  });
});

describe('words', () => {
  test('lengths of time', () => {
    expect([0, 0.0421, 0.4, 3.14159, 12, 65, 8040, 93_600, NaN].map(duration)).toEqual(['0 s', '42 ms', '400 ms', '3.1 s', '12 s', '1m 05s', '2h 14m', '1d 02h', '–']);
    expect([-5, 999, 59_999, 60_000, 3_599_999, 3_600_000].map(elapsed)).toEqual(['0 s', '0 s', '59 s', '1m 00s', '59m 59s', '1h 00m']);
  });

  test('how long ago', () => {
    const now = 10_000_000_000;
    const words = [-5000, 1000, 40_000, 300_000, 7_200_000, 50 * 3_600_000].map((it) => ago(now - it, now));
    expect(words).toEqual(['now', 'now', '40 s ago', '5m ago', '2h ago', '2d ago']);
  });

  test('times', () => {
    expect(dateAndTime(new Date(2026, 0, 5, 4, 3, 2).getTime())).toBe('2026-01-05 04:03:02');
    expect(dateAndTime(NaN)).toBe('–');
    expect([parse('soon'), parse(null), parse('1970-01-01T00:00:01Z')]).toEqual([0, 0, 1000]);
  });

  test('numbers', () => {
    expect([0, 999, 9999, 12_345, 1_250_000, 3e9, NaN].map(count)).toEqual(['0', '999', '9,999', '12.3k', '1.25M', '3G', '–']);
    expect([percent(1, 3), percent(3, 3), percent(0, 3), percent(0, 0)]).toEqual(['33.3 %', '100 %', '0 %', '–']);
    expect([0, 512, 1536, 5 * 2 ** 30].map(bytes)).toEqual(['0 B', '512 B', '1.5 KiB', '5 GiB']);
    expect([0, 1234567, 0.25, 1e-9, Infinity].map(value)).toEqual(['0', '1.235e+6', '0.25', '1.000e-9', 'Infinity']);
    expect([quantile([4, 1, 3, 2], 0.5), quantile([7], 0.95), quantile([], 0.5)]).toEqual([2.5, 7, NaN]);
  });

  test('commands survive the shell', () => {
    const event = { event_type: 'x', source: "it's", data: { a: '$(rm) `x` "q"' } };
    expect(send(event, 'http://h')).toBe(
      `curl 'http://h/api/v1/events' -H 'Content-Type: application/json' \\\n  -d '{"event_type":"x","source":"it'\\''s","data":{"a":"$(rm) \`x\` \\"q\\""}}'`,
    );
    expect(ask('a{b="c"}', 'http://h')).toBe(`curl -G 'http://h/api/v1/events' --data-urlencode 'match=a{b="c"}' -d limit=100`);
  });

  test('selectors', () => {
    expect(quoted('a"b\\c\nd')).toBe('"a\\"b\\\\c\\nd"');
    expect(about(['t'], '', '')).toEqual(['t']);
    expect(about(['t'], '', 'main')).toEqual(['t{branch="main"}']);
    expect(about(['t'], 'o/r', 'main')[1]).toBe('t{project="",repository="o/r",branch="main"}');
  });

  test('what the palette finds', () => {
    expect(score('dep', 'Deployments')).toBeGreaterThan(score('dep', 'needs help'));
    expect(score('xyz', 'Deployments')).toBe(0);
    expect(score('', 'anything')).toBeGreaterThan(0);
  });

  test('CSV', () => {
    expect(csv([['time', 'a{b="c",d="e"}'], ['t', 1.5]])).toBe('time,"a{b=""c"",d=""e""}"\r\nt,1.5\r\n');
  });
});

test('lag is measured against the least delay if the clocks disagree', () => {
  const same = new Lag();
  expect(same.ms).toBeUndefined();
  same.observe(1000, 1012);
  expect(same.ms).toBe(12);
  const ahead = new Lag();
  ahead.observe(100_000, 40_000);
  expect(ahead.ms).toBe(0);
  for (let it = 0; it < 50; it += 1) ahead.observe(100_000, 40_500);
  expect(ahead.ms).toBe(500);
});

test('lines over time have a place for every interval', () => {
  const groups = [
    { start: '1970-01-01T00:00:10Z', group: {}, count: 2 },
    { start: '1970-01-01T00:00:10Z', group: {}, count: 3 },
  ];
  const times = intervals(7_000, 31_000, 10_000);
  expect(times).toEqual([0, 10_000, 20_000, 30_000]);
  expect(line(times, groups, total, 0)).toEqual([0, 5, 0, 0]);
  expect(line(times, groups, total, null)[0]).toBeNull();
});

describe('the page of metrics', () => {
  test('is read', () => {
    const text = '# HELP a What \\\\ it\\n is\n# TYPE a counter\na 1\na{b="x, } \\"y\\""} 2.5 1234\nh_bucket{le="+Inf"} +Inf\n{"a.b",c="d"} -Inf\n# EOF\n';
    const page = parseExposition(text);
    expect(page.help.get('a')).toBe('What \\ it\n is');
    expect(page.types.get('a')).toBe('counter');
    expect(page.samples.map((it) => [it.series, it.name, it.labels, it.value])).toEqual([
      ['a', 'a', {}, 1],
      ['a{b="x, } \\"y\\""}', 'a', { b: 'x, } "y"' }, 2.5],
      ['h_bucket{le="+Inf"}', 'h_bucket', { le: '+Inf' }, Infinity],
      ['{"a.b",c="d"}', 'a.b', { c: 'd' }, -Infinity],
    ]);
  });

  test('broken lines are left out', () => {
    expect(parseExposition('a{b="c\nb{{{{\nlonely\nc{x=1} 2\n').samples.length).toBeLessThan(3);
  });

  test('history has a value or none for each time', () => {
    const none: History = { page: undefined, error: '', times: [], values: new Map() };
    const page = (text: string) => parseExposition(text);
    let history = extended(none, page('a 1\n'), 0, () => true);
    history = extended(history, page('a 3\nb 7\n'), 5000, () => true);
    history = extended(history, page('b NaN\n'), 10_000, () => true);
    expect([...history.values]).toEqual([
      ['a', [1, 3, null]],
      ['b', [null, 7, null]],
    ]);
    expect(rates([0, 5000, 10_000, 15_000], [1, 11, 4, 4])).toEqual([null, 2, null, 0]);
  });
});

describe('groups of pushes', () => {
  const raw = {
    labels: { job: 'a', x: 'y' },
    last_push_successful: false,
    push_time_seconds: { metrics: [{ labels: {}, value: '1.5e+09' }] },
    push_failure_time_seconds: { metrics: [{ labels: {}, value: '1.6e+09' }] },
    z: { type: 'GAUGE', metrics: [{ labels: { job: 'a', x: 'y' }, value: '1' }] },
    metrics: { labels: { type: 'COUNTER', help: 'Odd.', metrics: [] } },
  };

  test('are read', () => {
    const [group] = readGroups([raw]);
    expect(group).toMatchObject({ pushedAt: 1.5e12, failedAt: 1.6e12, lastSuccessful: false });
    expect(group!.families.map((it) => [it.name, it.type, it.metrics.length])).toEqual([
      ['labels', 'counter', 0],
      ['z', 'gauge', 1],
    ]);
  });

  test('are found by their labels, in whatever order', () => {
    const found = expiries([{ labels: { x: 'y', job: 'a' }, expires_at: '1970-01-01T00:01:00Z' }, { labels: { job: 'b' }, expires_at: null }]);
    expect([found.get(keyOf(raw.labels)), found.size]).toEqual([60_000, 1]);
  });

  test('have a path, whatever their labels', () => {
    expect(pathOf({ instance: 'r 1', job: 'ci' })).toBe('metrics/job/ci/instance/r%201');
    expect(pathOf({ job: 'a/b', empty: '', dots: '..', ä: 'ü?' })).toBe('metrics/job@base64/YS9i/empty@base64/=/dots@base64/Li4/ä/%C3%BC%3F');
  });
});

test('rows that come take the places of rows that went', () => {
  const first = placed(new Map(), ['a', 'b', 'c']);
  expect([...first]).toEqual([['a', 0], ['b', 1], ['c', 2]]);
  const second = placed(first, ['x', 'a', 'b']);
  expect([...second]).toEqual([['x', 2], ['a', 0], ['b', 1]]);
  const third = placed(second, ['y', 'z', 'w', 'q']);
  expect(new Set(third.values()).size).toBe(4);
  expect(Math.max(...third.values())).toBe(3);
});
