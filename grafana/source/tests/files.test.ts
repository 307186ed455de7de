// What is in grafana/dashboards is what the source makes, to the byte, every time.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const DIRECTORY = join(__dirname, '../../../dashboards');

function contents(directory: string): Record<string, string> {
  return Object.fromEntries(readdirSync(directory).sort().map((it) => [it, readFileSync(join(directory, it), 'utf8')]));
}

test('a rebuild is byte-equal, and leaves no board of before', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dashboards-'));
  try {
    writeFileSync(join(directory, 'gone.json'), '{}');
    execFileSync(process.execPath, [join(__dirname, '../src/main.js'), directory]);
    const made = contents(directory);
    assert.deepEqual(Object.keys(made), Object.keys(contents(DIRECTORY)));
    for (const [name, text] of Object.entries(contents(DIRECTORY))) {
      assert.ok(made[name] === text, `${name} is not what the source makes: run make dashboards`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
