/** A real server for each test worker, and a page that is watched for what it must not do. */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test as base, type Page } from '@playwright/test';
import type AxeCore from 'axe-core';

const BINARY = process.env.OBSERVATORY_TEST_BINARY ?? resolve(import.meta.dirname, '../../../target/debug/observatory');

export class Server {
  private constructor(
    readonly url: string,
    private readonly dir: string,
    private process: ChildProcess,
    private readonly args: readonly string[],
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  static async start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Server> {
    const dir = mkdtempSync(join(tmpdir(), 'observatory-web-'));
    const { process, url } = await serve(dir, '127.0.0.1:0', args, env);
    return new Server(url, dir, process, args, env);
  }

  /** As a crash ends it. */
  async kill(): Promise<void> {
    const ended = new Promise((done) => this.process.once('exit', done));
    this.process.kill('SIGKILL');
    await ended;
  }

  async restart(): Promise<void> {
    this.process = (await serve(this.dir, new URL(this.url).host, this.args, this.env)).process;
  }

  /** Another, empty server takes its place. */
  async replace(): Promise<void> {
    rmSync(this.dir, { recursive: true });
    mkdirSync(this.dir);
    await this.restart();
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Sends events, which are shown when this is over. */
  async send(events: unknown, headers: Record<string, string> = {}): Promise<void> {
    const init = { method: 'POST', body: JSON.stringify(events), headers: { 'Content-Type': 'application/json', ...headers } };
    const response = await fetch(`${this.url}/api/v1/events`, init);
    expect(response.status, await response.text()).toBe(202);
  }

  /** Makes something over the API. */
  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<void> {
    const init = { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers } };
    const response = await fetch(`${this.url}/${path}`, init);
    expect(response.status, await response.text()).toBe(201);
  }

  async push(path: string, text: string): Promise<void> {
    const response = await fetch(`${this.url}/metrics/${path}`, { method: 'PUT', body: text });
    expect(response.status, await response.text()).toBe(200);
  }

  /** A company at work. */
  demo(events: number): void {
    const args = ['demo', '--url', this.url, '--rate', `${events}/s`, '--duration', '1s', '--seed', '3'];
    const done = spawnSync(BINARY, args, { encoding: 'utf8', timeout: 20_000 });
    expect(done.status, done.stderr).toBe(0);
  }
}

async function serve(dir: string, listen: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const all = ['serve', '--listen', listen, '--data-dir', dir, ...args];
  const child = spawn(BINARY, all, { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, ...env }, cwd: dir });
  const lines = createInterface({ input: child.stdout });
  let said = '';
  for await (const line of lines) {
    said += `${line}\n`;
    const url = /http:\/\/[\d.]+:\d+/.exec(line)?.[0];
    if (!url) continue;
    child.stdout.resume();
    return { process: child, url };
  }
  throw new Error(`${BINARY} does not say where it listens: ${said}`);
}

/** `server` has a demo's events. `page` must ask nobody else, break no policy, log no error. */
export const test = base.extend<{ watched: void }, { server: Server }>({
  server: [
    async ({}, use) => {
      const server = await Server.start();
      server.demo(1500);
      await server.push('job/ci-build/instance/runner-1', '# TYPE build_seconds gauge\n# HELP build_seconds How long.\nbuild_seconds{step="link"} 4.5\n');
      await server.push('job@base64/YS9i', 'y 1\n');
      await use(server);
      await server.stop();
    },
    { scope: 'worker' },
  ],
  watched: [
    async ({ page }, use) => {
      const wrong: string[] = [];
      const hosts = new Set<string>();
      page.on('request', (it) => {
        if (it.url().startsWith('http')) hosts.add(new URL(it.url()).host);
      });
      page.on('pageerror', (it) => wrong.push(it.message));
      page.on('console', (it) => {
        // Answers that are errors are logged by the browser; each test says which it expects.
        if (it.type() === 'error' && !it.text().startsWith('Failed to load resource')) wrong.push(it.text());
      });
      await page.addInitScript(() => {
        addEventListener('securitypolicyviolation', (it) => console.error(`policy: ${it.violatedDirective} ${it.blockedURI}`));
      });
      await use();
      expect(wrong).toEqual([]);
      expect([...hosts].filter((it) => !it.startsWith('127.0.0.1:'))).toEqual([]);
    },
    { auto: true },
  ],
});

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What of the page somebody could not use. */
export async function axeViolations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations: found } = await (globalThis as unknown as { axe: typeof AxeCore }).axe.run();
    return found.flatMap((it) => it.nodes.map((node) => `${it.id}: ${node.html.slice(0, 150)} ${node.failureSummary ?? ''}`));
  });
}

export { expect };
