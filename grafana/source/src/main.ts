// Writes the boards: `node main.js DIR`.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { files } from './files';

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  console.error('usage: main.js DIR');
  process.exit(64);
}
mkdirSync(directory, { recursive: true });
const made = files();
for (const [name, text] of made) writeFileSync(join(directory, name), text);
// A board that is gone leaves no file: Grafana would go on showing it.
for (const name of readdirSync(directory)) if (name.endsWith('.json') && !made.has(name)) rmSync(join(directory, name));
