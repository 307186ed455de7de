/** Alerts, rules and channels: what fires, what people do about it, and who is told. */

import { createServer, type Server as Http } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from '@playwright/test';
import { axeViolations, expect, Server, test } from './server';

const PRIVATE = { OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS: 'true', OBSERVATORY_ALERTS_SHIPPED: 'false' };
const HOSTILE = '<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>"\'`{{7*7}}';

/** Somebody who is told; `status` is what they answer. */
async function receiver(status: () => number): Promise<{ url: string; http: Http; bodies: string[] }> {
  const bodies: string[] = [];
  const http = createServer((request, response) => {
    let body = '';
    request.on('data', (it) => (body += String(it)));
    request.on('end', () => {
      bodies.push(body);
      response.writeHead(status()).end('the words of the receiver');
    });
  });
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/hook`, http, bodies };
}

const failed = (project: string, more = {}) => ({ event_type: 'ci_build_completed', source: 'test', data: { project, branch: 'main', status: 'failure', ...more } });

const RULE = {
  name: 'Broken build',
  kind: 'event',
  match: 'ci_build_completed{status="failure"}',
  resolve: 'ci_build_completed{status="success"}',
  group_by: ['project'],
  severity: 'critical',
  annotations: { summary: '${project} is broken', runbook: 'https://example.org/runbook' },
};

async function both(page: Page, name: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width: 1440, height: 900 });
    expect(await axeViolations(page)).toEqual([]);
    await page.screenshot({ path: `screenshots/${name}-${colorScheme}.png`, fullPage: true });
    await page.setViewportSize({ width: 375, height: 800 });
    await page.waitForTimeout(100);
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(beyond, 'nothing is wider than the screen').toBeLessThanOrEqual(0);
    await page.screenshot({ path: `screenshots/${name}-${colorScheme}-375.png` });
  }
  await page.setViewportSize({ width: 1440, height: 900 });
}

test('an alert comes by itself, is taken on, silenced, resolved, and its past is told', async ({ page }) => {
  const server = await Server.start([], PRIVATE);
  try {
    await server.post('api/v1/monitoring/alert-rules', RULE);
    await page.goto(`${server.url}/#/alerts`);
    await expect(page.locator('main')).toContainText('Nothing fires');
    await expect(page.locator('.command pre')).toContainText(server.url);
    await server.send([failed('web'), failed('api')]);
    await expect(page.locator('.alert')).toHaveCount(2);
    await expect(page.locator('nav .count')).toHaveText('2');

    await page.keyboard.press('j');
    await expect(page.locator('.details')).toContainText('What happened');
    await page.keyboard.press('a');
    await page.getByLabel('Comment').fill('looking into it');
    await page.getByLabel('Your name').fill('ann');
    expect(await axeViolations(page)).toEqual([]);
    await page.screenshot({ path: 'screenshots/alerts-acknowledge-light.png' });
    await page.getByRole('dialog').getByRole('button', { name: 'Acknowledge' }).click();
    const taken = page.locator('.alert.acknowledged');
    await expect(taken).toContainText('by ann');
    await expect(taken).toContainText('looking into it');
    await expect(taken.locator('.entries')).toContainText('acknowledged');
    await expect(page.locator('nav .count')).toHaveText('1');

    await page.locator('.alert.active .open').click();
    await page.locator('.alert.active').getByRole('button', { name: 'Silence' }).click();
    await page.getByRole('dialog').getByRole('button', { name: '4h' }).click();
    await page.screenshot({ path: 'screenshots/alerts-silence-light.png' });
    await page.getByRole('dialog').getByRole('button', { name: 'Silence' }).click();
    await expect(page.locator('.alert.silenced')).toHaveCount(1);
    await both(page, 'alerts-open');

    await taken.locator('.open').click();
    await taken.getByRole('button', { name: 'Resolve' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Resolve' }).click();
    await expect(page.locator('.alert')).toHaveCount(1);
    await page.getByRole('group', { name: 'Show' }).getByRole('button', { name: 'Resolved' }).click();
    await expect(page.locator('.alert.resolved')).toContainText('is broken');

    await page.getByRole('group', { name: 'Show' }).getByRole('button', { name: 'History' }).click();
    await expect(page.locator('.entries')).toContainText('resolved');
    await both(page, 'alerts-history');
    await page.getByRole('group', { name: 'Show' }).getByRole('button', { name: 'Silences' }).click();
    await expect(page.locator('.silences li')).toHaveCount(1);
    await page.getByRole('button', { name: 'New silence' }).click();
    await page.getByLabel('Alerts with all of these labels').fill('team');
    await page.getByRole('dialog').getByRole('button', { name: 'Silence' }).click();
    await expect(page.getByRole('dialog').getByRole('alert')).toContainText('no matcher');
    await page.getByLabel('Alerts with all of these labels').fill('team=~"plat.*"\nseverity!="low"');
    await page.getByRole('dialog').getByRole('button', { name: 'Silence' }).click();
    await expect(page.locator('.silences li')).toHaveCount(2);
    await both(page, 'alerts-silences');
    await page.locator('.silences li', { hasText: 'team=~' }).getByRole('button', { name: 'End' }).click();
    await page.getByRole('button', { name: 'End it' }).click();
    await expect(page.locator('.silences li.expired')).toHaveCount(1);
  } finally {
    await server.stop();
  }
});

test('alerts are narrowed down, and a reload shows the same', async ({ page }) => {
  const server = await Server.start([], PRIVATE);
  try {
    await server.post('api/v1/monitoring/alert-rules', RULE);
    await server.post('api/v1/monitoring/alert-rules', { ...RULE, name: 'Any build', match: 'ci_build_completed{project=~"a.*"}', resolve: null, severity: 'low' });
    await server.send([failed('web'), failed('api')]);
    await page.goto(`${server.url}/#/alerts`);
    await expect(page.locator('.alert')).toHaveCount(3);
    await page.getByRole('group', { name: 'Severity' }).getByRole('button', { name: 'low' }).click();
    await expect(page.locator('.alert')).toHaveCount(1);
    await page.getByRole('group', { name: 'Severity' }).getByRole('button', { name: 'all' }).click();
    await page.keyboard.press('/');
    await page.keyboard.type('project=web');
    await expect(page.locator('.alert')).toHaveCount(1);
    await page.reload();
    await expect(page.locator('.alert')).toHaveCount(1);
    await page.goto(`${server.url}/#/now`);
    await expect(page.locator('.card', { hasText: 'Firing alerts' }).locator('li')).toHaveCount(3);
    await page.locator('.card', { hasText: 'Firing alerts' }).getByRole('link', { name: /web is broken/ }).click();
    await expect(page.locator('.details')).toContainText('What happened');
  } finally {
    await server.stop();
  }
});

test('a rule is made, previewed, evaluated, changed, switched off and removed', async ({ page }) => {
  const server = await Server.start([], PRIVATE);
  try {
    await server.send([failed('web'), failed('api')]);
    await page.goto(`${server.url}/#/rules`);
    await expect(page.locator('.command pre')).toContainText('alert-rules');
    await page.getByRole('button', { name: 'New rule' }).click();
    await page.getByLabel('Name').fill('Too hot');
    await page.getByLabel('Metric').fill('temperature');
    await page.getByLabel('Threshold').fill('warm');
    await page.getByLabel('Must hold for').fill('soon');
    await page.getByRole('button', { name: 'Create' }).click();
    await expect(page.locator('.field', { hasText: 'Threshold' }).getByRole('alert')).toContainText('no number');
    await expect(page.locator('.field', { hasText: 'Must hold for' }).getByRole('alert')).toContainText('no duration');
    await both(page, 'rules-wrong');

    await page.getByLabel('Kind').selectOption('event');
    await page.getByLabel('Event', { exact: true }).fill('ci_build_completed{status="failure"}');
    await page.getByLabel('Event that ends it').fill('ci_build_completed{status="success"}');
    await page.getByLabel('One alert per').fill('project');
    await page.getByLabel('Must hold for').fill('');
    await page.getByRole('button', { name: 'Preview' }).click();
    await expect(page.locator('.editor')).toContainText('fired 2 times');
    await both(page, 'rules-preview');
    await page.getByRole('button', { name: 'Create' }).click();
    await expect(page.locator('.ruled li').first()).toContainText('Too hot');

    await server.send(failed('web'));
    await expect(page.locator('.ruled')).toContainText('1 firing');
    await expect(page.locator('.ruled .details')).toContainText('web');
    await both(page, 'rules-open');
    await page.getByRole('button', { name: 'Edit Too hot' }).click();
    await page.getByLabel('Name').fill('Broken');
    await page.getByLabel('Severity').selectOption('critical');
    await page.getByRole('button', { name: 'Save' }).click();
    await expect(page.locator('.ruled')).toContainText('Broken');
    await page.getByRole('switch', { name: 'Broken is on' }).click();
    await expect(page.getByRole('switch', { name: 'Broken is on' })).toHaveAttribute('aria-checked', 'false');
    await page.getByRole('button', { name: 'Delete Broken' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await expect(page.locator('.ruled li')).toHaveCount(0);
  } finally {
    await server.stop();
  }
});

test('each kind of rule can be made with its own form', async ({ page }) => {
  const server = await Server.start([], PRIVATE);
  const kinds: Record<string, Record<string, string>> = {
    threshold: { Metric: 'cpu_usage{host="a"}', Threshold: '80' },
    ratio: { Numerator: 'requests_total{result="failure"}', Denominator: 'requests_total', Threshold: '0.05' },
    event: { Event: 'agent_error' },
    absence: { 'Push groups': '{job="backup"}', 'Expected every': '1h' },
    burn_rate: { Numerator: 'requests_total{result="failure"}', Denominator: 'requests_total', Objective: '0.999' },
  };
  try {
    for (const [kind, fields] of Object.entries(kinds)) {
      await page.goto(`${server.url}/#/rules?edit=%2B`);
      await page.getByLabel('Kind').selectOption(kind);
      await page.getByLabel('Name').fill(`a ${kind}`);
      await page.getByLabel('Annotations').fill('summary=it is so');
      for (const [label, text] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(text);
      await page.getByRole('button', { name: 'Create' }).click();
      await expect(page.locator('.ruled')).toContainText(`a ${kind}`);
      // What was made is what the form shows, and saving it changes nothing.
      await page.getByRole('button', { name: `Edit a ${kind}` }).click();
      for (const [label, text] of Object.entries(fields)) await expect(page.getByLabel(label, { exact: true })).toHaveValue(text);
      await page.getByRole('button', { name: 'Save' }).click();
      await expect(page.locator('.editor')).toHaveCount(0);
    }
  } finally {
    await server.stop();
  }
});

test('what rules make of an event is explained', async ({ page, server }) => {
  await page.goto(`${server.url}/#/rules?show=metrics`);
  await expect(page.locator('table')).toContainText('ci_builds_total');
  await page.getByLabel('An event, as JSON').fill('{"event_type":"ci_build_completed","source":"x","data":{"project":"web","branch":"main","status":"success"}}');
  await page.getByRole('button', { name: 'Explain' }).click();
  await expect(page.locator('.told')).toContainText('ci_builds_total');
  await both(page, 'rules-metrics');
  await page.getByLabel('An event, as JSON').fill('{');
  await page.getByRole('button', { name: 'Explain' }).click();
  await expect(page.getByRole('alert')).toContainText('no JSON');
});

test('a channel is made, tested, told, and what was given up is tried again', async ({ page }) => {
  const server = await Server.start([], PRIVATE);
  let status = 200;
  const told = await receiver(() => status);
  try {
    await page.goto(`${server.url}/#/channels`);
    await expect(page.locator('.command pre')).toContainText('notification-channels');
    await page.getByRole('button', { name: 'New channel' }).click();
    await page.getByLabel('Name').fill('ops');
    await page.getByLabel('URL').fill('nowhere');
    await page.getByRole('button', { name: 'Create' }).click();
    await expect(page.locator('.field', { hasText: 'URL' }).getByRole('alert')).toBeVisible();
    await both(page, 'channels-wrong');
    await page.getByLabel('URL').fill(told.url);
    await page.getByLabel('Secrets').fill('whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0');
    await page.getByRole('button', { name: 'Create' }).click();
    const card = page.locator('.cards .card');
    await expect(card).toContainText('***');
    await expect(card).not.toContainText('c2VjcmV0');
    await card.getByRole('button', { name: 'Test ops' }).click();
    await expect(card.getByRole('status')).toContainText('delivered 200');
    expect(told.bodies.length).toBe(1);
    status = 400;
    await card.getByRole('button', { name: 'Test ops' }).click();
    await expect(card.getByRole('status')).toContainText('rejected 400 the words of the receiver');

    // A mask that is sent back leaves what there was.
    await card.getByRole('button', { name: 'Edit ops' }).click();
    await expect(page.getByLabel('Secrets')).toHaveValue('***');
    await page.getByLabel('Name').fill('operations');
    await both(page, 'channels-edit');
    await page.getByRole('button', { name: 'Save' }).click();
    await expect(card).toContainText('operations');

    await server.post('api/v1/monitoring/alert-rules', RULE);
    await server.send(failed('web'));
    await expect(page.locator('.deliveries > li')).toHaveCount(1, { timeout: 15_000 });
    await page.locator('.deliveries summary').click();
    await expect(page.locator('.deliveries')).toContainText('the words of the receiver');
    await both(page, 'channels-dead');
    status = 200;
    await page.locator('.deliveries').getByRole('button', { name: 'Retry' }).click();
    await expect(page.locator('main')).toContainText('Nothing was given up');
    await page.getByRole('group', { name: 'Show' }).getByRole('button', { name: 'All' }).click();
    await expect(page.locator('.deliveries')).toContainText('sent');

    await card.getByRole('switch').click();
    await expect(card.getByRole('switch')).toHaveAttribute('aria-checked', 'false');
    await card.getByRole('button', { name: 'Delete operations' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await expect(page.locator('.cards .card')).toHaveCount(0);
  } finally {
    told.http.close();
    await server.stop();
  }
});

test('hostile labels, annotations and names are text', async ({ page }) => {
  const server = await Server.start([], PRIVATE);
  try {
    const named = HOSTILE.replaceAll('/', '').slice(0, 60);
    await server.post('api/v1/monitoring/alert-rules', { ...RULE, name: HOSTILE.slice(0, 90), description: HOSTILE, labels: { team: HOSTILE }, annotations: { summary: HOSTILE, link: `javascript:${HOSTILE}` } });
    await server.post('api/v1/monitoring/notification-channels', { name: named, type: 'webhook', config: { url: 'http://127.0.0.1:1/x' } });
    await server.send(failed(HOSTILE, { branch: HOSTILE }));
    for (const place of ['now', 'alerts', 'alerts?show=history', 'rules', 'channels', 'channels?sent=all']) {
      await page.goto(`${server.url}/#/${place}`);
      await expect(page.locator('main')).toContainText('<img src=x onerror=');
    }
    await page.goto(`${server.url}/#/alerts`);
    await page.locator('.alert .open').click();
    await expect(page.locator('.details')).toContainText('javascript:<img');
    expect(await page.locator('a[href^="javascript"]').count()).toBe(0);
    await page.goto(`${server.url}/#/rules`);
    await page.locator('.ruled .open').click();
    await page.getByRole('button', { name: /^Edit/ }).click();
    await expect(page.locator('.editor')).toBeVisible();
    expect(await page.evaluate(() => 'hacked' in globalThis)).toBe(false);
    expect(await page.locator('main img, main script').count()).toBe(0);
  } finally {
    await server.stop();
  }
});

test('who may only read is offered nothing else', async ({ page }) => {
  const server = await Server.start([], { ...PRIVATE, OBSERVATORY_TOKEN: 'read:only-reads-0123456789abcdef,admin:does-all-0123456789abcdef' });
  const admin = { Authorization: 'Bearer does-all-0123456789abcdef' };
  try {
    await server.post('api/v1/monitoring/alert-rules', RULE, admin);
    await server.send(failed('web'), admin);
    await page.goto(`${server.url}/#/alerts`);
    await page.getByLabel('Token').fill('only-reads-0123456789abcdef');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.locator('.alert .open').click();
    await expect(page.locator('.details')).toContainText('Who was told');
    await expect(page.getByRole('button', { name: /Acknowledge|Resolve$|New silence/ })).toHaveCount(0);
    await page.goto(`${server.url}/#/rules`);
    await expect(page.locator('.ruled')).toContainText('Broken build');
    await expect(page.getByRole('button', { name: /New rule|Edit|Delete/ })).toHaveCount(0);
    await page.goto(`${server.url}/#/channels`);
    await expect(page.locator('main')).toContainText('role admin');
  } finally {
    await server.stop();
  }
});
