/** Every page, dark and light, wide and narrow: it shows what was sent, and everybody can use it. */

import { axeViolations, expect, test } from './server';

/** Each page, and something of the demo that it shows. */
const PAGES: readonly (readonly [string, string])[] = [
  ['now', 'Latest failures'],
  ['events', 'Pause'],
  ['alerts', 'Agent error rate'],
  ['ci', 'Flakiest'],
  ['deployments', 'production'],
  ['agents', 'reviewer-1'],
  ['quality', 'complexity'],
  ['groups', 'instance="runner-1"'],
  ['metrics', 'ci_builds_total{'],
  ['rules', 'Build is stuck'],
  ['channels', 'Nobody is told'],
  ['system', 'Events stored'],
];

for (const [name, shown] of PAGES) {
  test(name, async ({ page, server }) => {
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
    await page.goto(`${server.url}/#/${name}`);
    await expect(page.locator('main')).toContainText(shown);
    await expect(page.getByRole('status')).toContainText('live');
    await page.waitForTimeout(400);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width: 1440, height: 900 });
      expect(await axeViolations(page)).toEqual([]);
      await page.screenshot({ path: `screenshots/${name}-${colorScheme}.png`, fullPage: name !== 'events' });
      await page.setViewportSize({ width: 375, height: 800 });
      await page.waitForTimeout(100);
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(beyond, 'nothing is wider than the screen').toBeLessThanOrEqual(0);
      await page.screenshot({ path: `screenshots/${name}-${colorScheme}-375.png` });
    }
  });
}

test('what is open can be used by everybody, too', async ({ page, server }) => {
  await page.goto(`${server.url}/#/events`);
  await page.locator('.line').first().click();
  await expect(page.locator('.drawer .json')).toBeVisible();
  expect(await axeViolations(page)).toEqual([]);
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'Keyboard shortcuts' })).toBeVisible();
  expect(await axeViolations(page)).toEqual([]);
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('depl');
  expect(await axeViolations(page)).toEqual([]);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/#\/deployments/);
  await page.goto(`${server.url}/#/groups`);
  await page.locator('.group summary').first().click();
  expect(await axeViolations(page)).toEqual([]);
});

test('the theme can be chosen, and stays', async ({ page, server }) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto(`${server.url}/`);
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await background();
  const button = page.getByRole('button', { name: /Theme/ });
  await button.click();
  expect(await background()).toBe(light);
  await button.click();
  expect(await background()).not.toBe(light);
  await page.reload();
  await expect(button).toContainText('Dark');
  expect(await background()).not.toBe(light);
});
