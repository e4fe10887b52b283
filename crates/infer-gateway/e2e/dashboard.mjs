// Checks the dashboard of a running gateway in a real browser, and takes its picture:
// `node dashboard.mjs BASE_URL [ADMIN_KEY] [PICTURES]`. CHROMIUM names the browser; /usr/bin/chromium otherwise.
//
// The gateway must offer a model that answers, such as the built-in simulator's.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';

const [base, key = '', pictures] = process.argv.slice(2);
if (!base) {
  console.error('usage: node dashboard.mjs BASE_URL [ADMIN_KEY] [PICTURES]');
  process.exit(2);
}
const home = base.endsWith('/') ? base : `${base}/`;
if (pictures) await mkdir(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

/** A page that notes everything a console would complain of, and every host it asks. */
async function fresh(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && page.complaints.push(message.text()));
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(home) && !request.url().startsWith('data:')) page.complaints.push(`asked ${request.url()}`);
  });
  return page;
}

async function enter(page, hash = '') {
  await page.goto(home + hash);
  await page.locator('#login:not([hidden]), .view:not([hidden])').first().waitFor();
  if (await page.locator('#login').isVisible()) {
    assert(key, 'the gateway asks for an admin key: name it as the second argument');
    // The refusal that showed the form stands in the console, and rightly so.
    page.complaints = page.complaints.filter((line) => !/40[13]/.test(line));
    await page.getByLabel('Admin key', { exact: true }).fill(key);
    await page.keyboard.press('Enter');
  }
  await page.locator('.view:not([hidden])').waitFor();
}

const picture = (page, name, fullPage = true) => pictures && page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage });
/** Charts of the last minute: what a run of these checks has to show. */
const zoom = (page) => pictures && page.getByText('1 min', { exact: true }).click();
const settled = (page) => page.waitForFunction(() => document.querySelector('#figures .value') && document.querySelector('.uplot canvas'));

async function noSideways(page, what) {
  const [wide, view] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert(wide <= view, `${what}: ${wide}px in ${view}px`);
}

const checks = {
  async 'an unknown admin key is refused with words and shows nothing'() {
    if (!key) return 'no admin key was named';
    const page = await fresh();
    await page.goto(home);
    await page.locator('#login').waitFor();
    await page.getByLabel('Admin key', { exact: true }).fill('not the key at all');
    await page.keyboard.press('Enter');
    await page.locator('#login-error:not(:empty)').waitFor();
    assert.equal(await page.locator('.view:visible').count(), 0);
    await picture(page, 'login');
    return page;
  },

  async 'the overview loads, live, without a complaint or another host'() {
    const page = await fresh();
    await enter(page);
    await settled(page);
    await page.locator('#dot[data-state="live"]').waitFor();
    assert.match(await page.locator('#figures').innerText(), /Requests[\s\S]*First token[\s\S]*Spent this month/);
    assert((await page.locator('#providers tbody tr').count()) > 0, 'no provider is shown');
    const headers = (await page.request.get(home)).headers();
    assert.match(headers['content-security-policy'], /default-src 'none'/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.deepEqual(page.complaints, []);
    await zoom(page);
    await picture(page, 'light');
    return page;
  },

  async 'an answer streams in the playground, and the call is in the list with what it cost'() {
    const page = await fresh();
    await enter(page, '#playground');
    await page.locator('#model option').first().waitFor({ state: 'attached' });
    await page.getByLabel('Message', { exact: true }).fill('Say something short.');
    const answered = page.waitForResponse('**/v1/chat/completions');
    await page.keyboard.press('Control+Enter');
    const id = (await answered).headers()['x-request-id'];
    assert(id, 'the answer does not say which call it is: x-request-id');
    await page.locator('#turns .assistant .said:not(.waits)').waitFor();
    await page.locator('#turns .assistant:not([aria-busy])').waitFor({ timeout: 30_000 });
    const answer = await page.locator('#turns .assistant .said').innerText();
    assert(answer.trim().length > 0, 'the answer is empty');
    assert.match(await page.locator('#turns .took').innerText(), /first token/);
    // The gateway's own record says who answered, and what it cost or that nobody knows.
    await page.locator('#turns .took', { hasText: / \/ .*(\$|no known price)/ }).waitFor({ timeout: 10_000 });
    await picture(page, 'playground');
    await page.getByRole('link', { name: 'Calls' }).click();
    await page.getByLabel('Filter calls').fill(id);
    const row = page.locator('#calls-table tbody tr');
    await row.waitFor();
    assert.equal(await row.count(), 1);
    await row.click();
    const details = page.locator('#details');
    await details.waitFor();
    assert((await details.innerText()).includes(id));
    assert.match(await details.innerText(), /Tokens written[\s\S]*Cost/);
    assert(!(await details.innerText()).includes('Say something short'), 'the list shows what was said');
    await picture(page, 'call', false);
    await page.keyboard.press('Escape');
    await page.getByLabel('Filter calls').fill('no call has this');
    await page.getByText('No call fits the filter.').waitFor();
    await page.getByLabel('Filter calls').fill('');
    await picture(page, 'calls', false);
    assert.deepEqual(page.complaints, []);
    return page;
  },

  async 'an answer can be stopped'() {
    const page = await fresh();
    await enter(page, '#playground');
    await page.locator('#model option').first().waitFor({ state: 'attached' });
    // Held back until the page gives up, so that there is time to stop it whatever the model.
    await page.route('**/v1/chat/completions', () => {});
    await page.getByLabel('Message', { exact: true }).fill('Count to a million.');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.locator('#stop').waitFor({ state: 'hidden' });
    assert.equal(await page.getByLabel('Message', { exact: true }).inputValue(), 'Count to a million.');
    assert.equal(await page.locator('#play-error').innerText(), '');
    return page;
  },

  async 'an error of a call is told in words'() {
    const page = await fresh();
    await enter(page, '#playground');
    await page.locator('#model option').first().waitFor({ state: 'attached' });
    const error = { error: { message: 'no target is healthy', code: 'no_healthy_target' } };
    await page.route('**/v1/chat/completions', (route) => route.fulfill({ status: 503, json: error }));
    await page.getByLabel('Message', { exact: true }).fill('Hello');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.locator('#play-error:not(:empty)').waitFor();
    assert.match(await page.locator('#play-error').innerText(), /no target is healthy/);
    return page;
  },

  async 'holding a provider back is asked for twice, and can be taken back'() {
    const page = await fresh();
    await enter(page);
    const hold = page.locator('#providers button[data-order="force_open"]').first();
    if (!(await hold.count())) return 'no provider shows a breaker';
    const name = await hold.getAttribute('data-name');
    const row = page.locator(`#providers tr[data-key="${name}"]`);
    await hold.click();
    await page.locator('#confirm').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await row.getByText('Holding back').count(), 0);
    await hold.click();
    await page.getByLabel('For', { exact: true }).selectOption('60');
    await picture(page, 'confirm', false);
    await page.locator('#confirm').getByRole('button', { name: 'Hold back' }).click();
    await row.getByText('Holding back').waitFor({ timeout: 10_000 });
    await row.getByRole('button', { name: /Reset/ }).click();
    await page.locator('#confirm').getByRole('button', { name: 'Reset' }).click();
    await row.getByText('Taking calls').waitFor({ timeout: 10_000 });
    return page;
  },

  async 'the theme follows the system, can be chosen, and is remembered'() {
    const page = await fresh({ colorScheme: 'light' });
    await enter(page);
    await settled(page);
    const shade = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await shade();
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await shade();
    assert.notEqual(light, dark);
    await page.getByLabel('Theme', { exact: true }).selectOption('light');
    assert.equal(await shade(), light);
    await page.getByLabel('Theme', { exact: true }).selectOption('dark');
    await page.emulateMedia({ colorScheme: 'light' });
    assert.equal(await shade(), dark);
    await page.reload();
    assert.equal(await shade(), dark);
    await settled(page);
    await zoom(page);
    await picture(page, 'dark');
    return page;
  },

  async 'a phone shows every view without scrolling sideways'() {
    const page = await fresh({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true });
    await enter(page);
    await settled(page);
    await noSideways(page, 'overview');
    await zoom(page);
    await picture(page, 'phone', false);
    for (const view of ['calls', 'playground']) {
      await page.goto(`${home}#${view}`);
      await page.locator(`#${view}`).waitFor();
      await noSideways(page, view);
      await picture(page, `phone-${view}`, view === 'playground');
    }
    return page;
  },

  async 'the keyboard alone reaches the playground and sends'() {
    const page = await fresh();
    await enter(page);
    await page.reload();
    await page.locator('.view:not([hidden])').waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'skip');
    let found = false;
    for (let presses = 0; presses < 8 && !found; presses += 1) {
      await page.keyboard.press('Tab');
      found = await page.evaluate(() => document.activeElement.hash === '#playground');
    }
    assert(found, 'the link to the playground cannot be reached');
    const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(ring, 'none', 'what has the focus is not seen');
    await page.keyboard.press('Enter');
    await page.locator('#playground').waitFor();
    await page.locator('#model option').first().waitFor({ state: 'attached' });
    for (let presses = 0; presses < 20; presses += 1) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(() => document.activeElement.id === 'message')) break;
    }
    await page.keyboard.type('Hello');
    await page.keyboard.press('Control+Enter');
    await page.locator('#turns .assistant .said:not(.waits)').waitFor();
    return page;
  },

  async 'a gateway that is gone is told, and forgotten when it is back'() {
    const page = await fresh();
    await enter(page);
    await page.route('**/admin/**', (route) => route.abort());
    await page.locator('#stale:visible').waitFor({ timeout: 15_000 });
    assert.match(await page.locator('#stale').innerText(), /does not answer/);
    await page.unroute('**/admin/**');
    await page.locator('#dot[data-state="live"]').waitFor({ timeout: 20_000 });
    assert(!(await page.locator('#stale').isVisible()));
    return page;
  },

  async 'a gateway that began anew is asked for everything anew'() {
    const page = await fresh();
    await enter(page);
    await settled(page);
    await page.route(/admin\/live/, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), started: 1, calls: [] } });
    });
    const whole = await page.waitForRequest((request) => request.url() === `${home}admin/overview`, { timeout: 10_000 });
    assert((await whole.response()).ok());
    return page;
  },

  async 'a page that nobody looks at asks nothing'() {
    const page = await fresh();
    await enter(page);
    await page.locator('#dot[data-state="live"]').waitFor();
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await page.waitForLoadState('networkidle');
    let asked = 0;
    page.on('request', () => (asked += 1));
    await page.clock.install();
    await page.clock.fastForward(60_000);
    assert.equal(asked, 0);
    const next = page.waitForRequest('**/admin/**');
    await page.evaluate(() => {
      delete document.hidden;
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await next;
    return page;
  },

  async 'logging out leaves nothing behind'() {
    if (!key) return 'no admin key was named';
    const page = await fresh();
    await enter(page);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.locator('#login').waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.equal(await page.evaluate((key) => JSON.stringify(localStorage).includes(key), key), false);
    return page;
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    const result = await check();
    console.log(typeof result === 'string' ? `skip  ${name}: ${result}` : `ok    ${name}`);
    if (typeof result !== 'string') await result.context().close();
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n      ${String(error.stack ?? error).split('\n').slice(0, 8).join('\n      ')}`);
  }
}
await browser.close();
console.log(failed ? `${failed} failed` : 'all fine');
process.exit(failed ? 1 : 0);
