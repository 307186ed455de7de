import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** A directory may import only from those before it, so there is no cycle between them. */
const LAYERS = ['api', 'lib', 'state', 'parts', 'pages', 'frame'];
const ROOT = join(import.meta.dirname, '../../src');
const MOST_LINES = 350;

const files = LAYERS.flatMap((layer) =>
  readdirSync(join(ROOT, layer)).map((name) => ({ layer, name, text: readFileSync(join(ROOT, layer, name), 'utf8') })),
);

test('imports point downwards', () => {
  const wrong = files.flatMap(({ layer, name, text }) =>
    [...text.matchAll(/from '\.\.\/(\w+)\//g)]
      .map((it) => it[1] ?? '')
      .filter((it) => LAYERS.indexOf(it) >= LAYERS.indexOf(layer))
      .map((it) => `${layer}/${name} must not import ${it}`),
  );
  expect(files.length).toBeGreaterThan(30);
  expect(wrong).toEqual([]);
});

test('nothing is taken for markup or code', () => {
  const forbidden = /dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/;
  expect(files.filter((it) => forbidden.test(it.text)).map((it) => it.name)).toEqual([]);
});

test('files are small', () => {
  expect(files.filter((it) => it.text.split('\n').length > MOST_LINES).map((it) => it.name)).toEqual([]);
});
