/** What comes from outside is text; who may not look does not see; and the page is small. */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { expect, Server, test } from './server';

const HOSTILE = '<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>\u202e"\'`{{7*7}}';

test('hostile data stays text on every page', async ({ page }) => {
  const server = await Server.start();
  try {
    const named = { project: HOSTILE, service: HOSTILE, agent_id: HOSTILE, branch: HOSTILE, environment: HOSTILE, version: HOSTILE, gate: HOSTILE };
    const event = (event_type: string, data = {}) => ({ event_type, source: HOSTILE, data: { ...named, ...data } });
    await server.send([
      event(HOSTILE, { [HOSTILE]: HOSTILE }),
      event('ci_build_started', { build_id: HOSTILE }),
      event('ci_build_completed', { build_id: `${HOSTILE}2`, status: 'failure' }),
      event('deployment_completed', { status: 'success' }),
      event('agent_registered', { agent_type: HOSTILE }),
      event('agent_collaboration', { from_agent: HOSTILE, to_agent: `${HOSTILE}2` }),
      event('quality_gate_failed'),
      event('quality_score_updated', { score: 5 }),
    ]);
    await server.push(`job@base64/${Buffer.from(HOSTILE).toString('base64url')}`, `# HELP x ${HOSTILE}\nx{l="${HOSTILE.replaceAll('"', '\\"')}"} 1\n`);
    for (const name of ['now', 'events', 'alerts', 'ci', 'deployments', 'agents', 'quality', 'groups', 'metrics']) {
      await page.goto(`${server.url}/#/${name}`);
      await expect(page.locator('main')).toContainText('<img src=x onerror=');
      await page.keyboard.press('Control+k');
      await page.keyboard.press('Escape');
    }
    await page.goto(`${server.url}/#/events`);
    await page.locator('.line').last().click();
    await expect(page.locator('.drawer h2')).toHaveText(HOSTILE);
    await page.locator('.drawer dd a').last().click();
    await expect(page.locator('.line')).toHaveCount(1);
    expect(await page.evaluate(() => 'hacked' in globalThis)).toBe(false);
    expect(await page.locator('main img, main script').count()).toBe(0);
  } finally {
    await server.stop();
  }
});

test('a page that was never given anything says what to send', async ({ page }) => {
  const server = await Server.start();
  try {
    for (const name of ['now', 'events', 'alerts', 'ci', 'deployments', 'agents', 'quality', 'groups', 'channels', 'alerts?show=silences']) {
      await page.goto(`${server.url}/#/${name}`);
      await expect(page.locator('.command pre').first()).toContainText(server.url);
    }
  } finally {
    await server.stop();
  }
});

test('a server that asks for a token lets in who has one', async ({ page }) => {
  const server = await Server.start([], { OBSERVATORY_TOKEN: 'read-me-if-you-can-0123456789' });
  try {
    await page.goto(`${server.url}/#/events`);
    await page.getByLabel('Token').fill('wrong');
    await page.getByRole('button', { name: 'Log in' }).click();
    await expect(page.getByRole('alert')).toBeVisible();
    await page.getByLabel('Token').fill('read-me-if-you-can-0123456789');
    await page.getByRole('button', { name: 'Log in' }).click();
    await expect(page.getByRole('status')).toContainText('live');
    await server.send({ event_type: 'secret_event', source: 'test' }, { Authorization: 'Bearer read-me-if-you-can-0123456789' });
    await expect(page.locator('.line')).toContainText('secret_event');
    expect(await page.evaluate(() => document.cookie + JSON.stringify(localStorage))).not.toContain('read-me');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox').fill('log out');
    await page.keyboard.press('Enter');
    await expect(page.getByLabel('Token')).toBeVisible();
  } finally {
    await server.stop();
  }
});

test('the page works behind a prefix', async ({ page }) => {
  const server = await Server.start(['--web.route-prefix=/deep/down']);
  try {
    await page.goto(`${server.url}/deep/down#/events`);
    await expect(page).toHaveURL(`${server.url}/deep/down/#/events`);
    await expect(page.getByRole('status')).toContainText('live');
    const body = JSON.stringify({ event_type: 'below', source: 'test' });
    expect((await fetch(`${server.url}/deep/down/api/v1/events`, { method: 'POST', body })).status).toBe(202);
    await expect(page.locator('.line')).toContainText('below');
    const moved = await fetch(`${server.url}/deep/down/metrics/?x=1`, { redirect: 'manual' });
    expect([moved.status, moved.headers.get('location')]).toEqual([301, '/deep/down/metrics?x=1']);
    await page.goto(`${server.url}/deep/down/#/rules`);
    await expect(page.locator('.ruled')).toContainText('Build is stuck');
  } finally {
    await server.stop();
  }
});

test('a push is seen as it comes', async ({ page }) => {
  const server = await Server.start();
  try {
    await page.goto(`${server.url}/#/events`);
    await expect(page.getByRole('status')).toContainText('live');
    await expect(page.locator('.push')).toContainText('No push since');
    await server.push('job/seen', 'a 1\nb 2\n');
    await expect(page.locator('.push')).toContainText('pushed {job="seen"} 2 series');
    await page.locator('.push a').click();
    await expect(page.locator('.group')).toHaveCount(1);
    const wrong = await fetch(`${server.url}/metrics/job/wrong`, { method: 'PUT', body: 'a 1\na 2\n' });
    expect(wrong.status).toBe(400);
    await expect(page.locator('.push')).toContainText('rejected {job="wrong"}');
    await page.getByRole('searchbox').fill('');
    await server.push('job/later', 'c 1\n');
    await expect(page.locator('.group', { hasText: 'job="later"' })).toBeVisible();
    await expect(page.locator('.push')).toContainText('3 since');
  } finally {
    await server.stop();
  }
});

test('groups are deleted by who means it', async ({ page }) => {
  const server = await Server.start();
  try {
    await server.push('job/keep', 'a 1\n');
    await server.push('job@base64/YS9i/x@base64/=', 'b 1\n');
    await page.goto(`${server.url}/#/groups`);
    const group = page.locator('.group', { hasText: 'job="a/b"' });
    await group.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('button', { name: 'Keep' }).click();
    await expect(page.locator('.group')).toHaveCount(2);
    await group.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await expect(page.locator('.group')).toHaveCount(1);
    await expect(page.locator('.group')).toContainText('job="keep"');
  } finally {
    await server.stop();
  }
});

test('a series is found, watched and saved', async ({ page, server }) => {
  await page.goto(`${server.url}/#/metrics`);
  await page.getByRole('searchbox').fill('ci_builds_total web success');
  await page.getByRole('checkbox').first().check();
  await expect(page.locator('.u-legend')).toContainText('ci_builds_total{');
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save as CSV' }).click();
  const stream = await (await saved).createReadStream();
  let text = '';
  for await (const it of stream) text += String(it);
  expect(text).toMatch(/^time,"?ci_builds_total\{.*\r\n20\d\d-/);
});

test('the answers of the server: policy and caching', async ({ request, server }) => {
  const page = await request.get(`${server.url}/`);
  expect(page.headers()).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  expect(page.headers()['content-security-policy']).toContain("script-src 'self';");
  expect(page.headers()['content-security-policy']).not.toContain('unsafe');
  const parts = [...(await page.text()).matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map((it) => it[1]);
  expect(parts.length).toBe(3);
  for (const part of parts) {
    const it = await request.get(`${server.url}/${part}`, { headers: { 'Accept-Encoding': 'gzip' } });
    expect(it.headers()).toMatchObject({ 'cache-control': 'public, max-age=31536000, immutable', 'content-encoding': 'gzip' });
  }
  expect((await request.get(`${server.url}/assets/none.js`)).status()).toBe(404);
});

test('the page weighs little', () => {
  const assets = 'dist/ui/assets';
  const packed = readdirSync(assets).filter((it) => /\.(js|css)\.gz$/.test(it));
  const size = packed.map((it) => statSync(`${assets}/${it}`).size).reduce((a, b) => a + b, 0);
  // What every visit loads; the rest is fetched when somebody opens a page about alerts.
  const page = readFileSync('dist/ui/index.html', 'utf8');
  const first = packed.filter((it) => page.includes(it.replace('.gz', '')));
  const weight = first.map((it) => statSync(`${assets}/${it}`).size).reduce((a, b) => a + b, 0);
  console.log(`scripts and styles, gzip: ${(size / 1000).toFixed(1)} kB, of which first ${(weight / 1000).toFixed(1)} kB`);
  expect(first.length).toBe(2);
  expect(weight).toBeLessThanOrEqual(65_000);
  expect(size).toBeLessThanOrEqual(80_000);
});
