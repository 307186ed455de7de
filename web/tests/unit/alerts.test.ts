import { expect, test } from 'vitest';
import type { Alert } from '../../src/api/alerting';
import { faults } from '../../src/api/http';
import { CHANNEL_FIELDS, fieldsOf, KINDS, RULE_FIELDS, textsOf, valuesOf } from '../../src/lib/rule';
import { matcher, readMatchers, seconds } from '../../src/lib/silence';
import { AlertBook } from '../../src/state/alerts';

function alert(id: string, more: Partial<Alert> = {}): Alert {
  const none = { rule_id: 'r', rule_name: 'R', fingerprint: id, message: '', labels: {}, annotations: {}, current_value: null, threshold: null };
  return { id, severity: 'medium', status: 'active', starts_at: '2026-01-05T10:00:00Z', resolved_at: null, acknowledged: null, silenced_by: [], ...none, ...more };
}

test('a book of alerts follows the messages', () => {
  const book = new AlertBook();
  const ids = () => book.all().map((it) => it.id);
  expect(book.take({ type: 'alerts', data: [alert('a'), alert('b', { severity: 'critical' })] })).toBe(true);
  expect(ids()).toEqual(['b', 'a']);
  book.take({ type: 'alert', data: alert('c', { starts_at: '2026-01-05T11:00:00Z' }) });
  expect(ids()).toEqual(['b', 'c', 'a']);
  book.take({ type: 'alert', data: alert('b', { status: 'resolved' }) });
  book.take({ type: 'alert', data: alert('a', { status: 'pending' }), ...{ change: 'dropped' } });
  expect(ids()).toEqual(['c']);
  expect(book.take({ type: 'heartbeat' })).toBe(false);
  book.take({ type: 'alerts', data: [] });
  expect(ids()).toEqual([]);
});

test('durations of silences', () => {
  expect(['90m', '4h', '1d12h', ' 2 h '].map(seconds)).toEqual([5400, 14_400, 129_600, 7200]);
  expect(['', 'soon', '4', '4h and more', 'h'].map(seconds)).toEqual([undefined, undefined, undefined, undefined, undefined]);
});

test('matchers are read as they are written', () => {
  const text = 'team="plat\\"form"\nbranch=~"release/.*"\n\nseverity!=low\nx!~"a=b"';
  const read = readMatchers(text);
  expect(read.map(({ value }) => value)).toEqual(['plat"form', 'release/.*', 'low', 'a=b']);
  expect(read.map((it) => [it.isRegex, it.isEqual])).toEqual([[false, true], [true, true], [false, false], [true, false]]);
  expect(readMatchers(read.map(matcher).join('\n'))).toEqual(read);
  for (const wrong of ['', 'team', '="x"', 'team="x']) expect(() => readMatchers(wrong), wrong).toThrow();
});

test('a form shows what a rule has, and makes the same of it', () => {
  const rule = {
    name: 'R',
    threshold: 0.5,
    group_by: ['project=project,repository', 'branch'],
    annotations: { summary: 'a=b\nc', runbook: 'https://x/?a=1' },
    windows: [{ long: '1h', short: '5m', factor: 14.4 }],
    for: '5m',
  };
  const texts = textsOf(RULE_FIELDS, rule);
  expect(texts.threshold).toBe('0.5');
  expect(texts.summary).toBeUndefined();
  const values = valuesOf(RULE_FIELDS, texts);
  expect({ ...values, group_by: rule.group_by }).toMatchObject(rule);
  expect(values.description).toBeNull();
  expect(valuesOf(RULE_FIELDS, { threshold: 'warm', windows: '{' })).toMatchObject({ threshold: 'warm', windows: '{' });
});

test('one alert per field that several fields may name', () => {
  const field = RULE_FIELDS.filter((it) => it.name === 'group_by');
  const rule = { group_by: ['project=project,repository,repo', 'branch'] };
  expect(valuesOf(field, textsOf(field, rule))).toEqual(rule);
});

test('URLs and addresses in lists', () => {
  const of = (name: string) => CHANNEL_FIELDS.filter((it) => it.name === name);
  expect(valuesOf(of('to'), { to: 'a@b.c, "D" <d@e.f>' })).toEqual({ to: ['a@b.c', '"D" <d@e.f>'] });
  expect(valuesOf(of('urls'), { urls: 'http://a:1\nhttp://b:2/x{y}' })).toEqual({ urls: ['http://a:1', 'http://b:2/x{y}'] });
});

test('every kind has a form of its own', () => {
  const names = KINDS.map((kind) => fieldsOf(RULE_FIELDS, kind).map((it) => it.name).join());
  expect(new Set(names).size).toBe(KINDS.length);
  for (const it of names) expect(it).toMatch(/^name,kind,severity,.*annotations/);
});

test('what is wrong with which field', () => {
  expect(faults('{"fields":[{"field":"for","reason":"is none"}]}')).toEqual([{ field: 'for', reason: 'is none' }]);
  expect([faults('{}'), faults('<html>'), faults('{"fields":7}')]).toEqual([[], [], []]);
});
