// The files have the shape that Grafana's types describe, without anything that these do not know.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const SOURCE = join(__dirname, '../..');
const DIRECTORY = join(SOURCE, '../dashboards');
const SCRATCH = join(SOURCE, 'out/shape');

/** What the compiler says of these texts of JSON, by their names. */
function compile(texts: Readonly<Record<string, string>>): string {
  rmSync(SCRATCH, { recursive: true, force: true });
  mkdirSync(SCRATCH, { recursive: true });
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(SCRATCH, `${name}.ts`), `import type { BoardFile } from '../../src/shape';\nexport const board: BoardFile = ${text};\n`);
  }
  const config = { extends: '../../tsconfig.json', compilerOptions: { noEmit: true, rootDir: '../..' }, include: ['.'], exclude: [] };
  writeFileSync(join(SCRATCH, 'tsconfig.json'), JSON.stringify(config));
  const tsc = spawnSync(process.execPath, [join(SOURCE, 'node_modules/typescript/bin/tsc'), '-p', SCRATCH, '--pretty', 'false'], { encoding: 'utf8' });
  assert.equal(tsc.error, undefined);
  return tsc.stdout + tsc.stderr;
}

const read = (name: string) => readFileSync(join(DIRECTORY, name), 'utf8');

test('every file has the shape of a dashboard', () => {
  const names = readdirSync(DIRECTORY).filter((it) => it.endsWith('.json'));
  assert.equal(names.length, 8);
  assert.equal(compile(Object.fromEntries(names.map((it) => [it.replace('.json', ''), read(it)]))), '');
});

test('what Grafana would not understand is noticed', () => {
  const text = read('ci.json');
  const change = (from: string, to: string) => {
    assert.ok(text.includes(from), from);
    return text.replace(from, to);
  };
  const broken = {
    an_unknown_setting: change('"graphTooltip": 1', '"grafTooltip": 1'),
    a_wrong_number: change('"refresh": 2', '"refresh": 9'),
    a_wrong_text: change('"drawStyle": "bars"', '"drawStyle": "bar"'),
    an_option_of_another_panel: change('"graphMode": "none"', '"graphMode": "none", "cellGap": 1'),
    an_unknown_panel: change('"type": "heatmap"', '"type": "heatmaps"'),
    a_text_for_a_number: change('"h": 4', '"h": "4"'),
    a_missing_title: change('"title": "Stuck",', ''),
    an_unknown_field_setting: change('"lineWidth": 0', '"lineWeight": 0'),
    an_unknown_part_of_a_query: change('"legendFormat"', '"legend"'),
  };
  const said = compile(broken);
  for (const name of Object.keys(broken)) assert.match(said, new RegExp(`${name}\\.ts\\(`), said);
});
