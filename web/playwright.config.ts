import { defineConfig } from '@playwright/test';
import { userInfo } from 'node:os';

/** Debian's Chromium, or the browser that OBSERVATORY_TEST_CHROMIUM names: nothing is downloaded. */
const executablePath = process.env.OBSERVATORY_TEST_CHROMIUM ?? '/usr/bin/chromium';

export default defineConfig({
  testDir: 'tests/e2e',
  outputDir: 'test-results',
  fullyParallel: true,
  workers: 2,
  timeout: 30_000,
  expect: { timeout: 8000 },
  reporter: [['list']],
  use: {
    viewport: { width: 1440, height: 900 },
    // Chromium does not start its sandbox as root, as which CI runs.
    launchOptions: { executablePath, args: userInfo().uid === 0 ? ['--no-sandbox'] : [] },
  },
});
