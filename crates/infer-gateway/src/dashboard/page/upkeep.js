// What is configured and how it stands: providers with their breakers, and budgets.

import { ask } from './api.js';
import { $, fill, h } from './dom.js';
import { brief, count, long, money, moment, share, span } from './format.js';

const BREAKERS = {
  closed: ['ok', 'Taking calls'],
  half_open: ['warn', 'Trying again'],
  open: ['bad', 'Holding back'],
};

let refresh = () => {};

export function start(again) {
  refresh = again;
  $('providers').addEventListener('click', (event) => {
    const button = event.target.closest('button[data-order]');
    if (button) confirm(button.dataset.order, button.dataset.name);
  });
}

export function draw(board) {
  const { overview, live } = board;
  if (!overview) return;
  fill($('providers'), providers(overview.providers));
  fill($('budgets'), budgets(overview.budgets, live.now, overview.budgets_partial));
}

function providers(list) {
  if (!list.length) return [h('p', { class: 'empty' }, 'No provider is configured.')];
  const heads = [['Provider'], ['Breaker'], ['In flight', 'number wide'], ['Calls', 'number wide'], ['Failed', 'number'], ['First token', 'number wide'], ['', 'acts']];
  const head = h('tr', {}, heads.map(([name, kind]) => h('th', { scope: 'col', class: kind }, name || h('span', { class: 'hide' }, 'Actions'))));
  return [h('table', { class: 'providers' }, h('caption', { class: 'hide' }, 'Providers'), h('thead', {}, head), h('tbody', {}, list.map(provider)))];
}

function provider(one) {
  const [tone, words] = BREAKERS[one.breaker] ?? ['quiet', 'No breaker'];
  const wait = one.next_try_ms > 0 && one.breaker !== 'closed' ? `next try in ${long(Math.ceil(one.next_try_ms / 1000))}` : '';
  const held = one.forced ? 'by an operator' : '';
  const models = one.models.map((model) =>
    h('li', {}, h('span', { class: 'name' }, model.model), h('span', { class: 'muted' }, `${brief(model.calls)} calls, ${share(model.failures, model.calls)} failed, ${span(model.latency_ms ?? undefined)}`)),
  );
  const act = (order, words, of) => h('button', { type: 'button', class: 'small', 'data-order': order, 'data-name': one.name, 'aria-label': `${words} ${of} ${one.name}` }, words);
  const acts = one.breaker
    ? [one.breaker === 'open' && one.forced ? null : act('force_open', 'Hold', 'back calls to'), one.breaker === 'closed' && !one.forced ? null : act('reset', 'Reset', 'the breaker of')]
    : [];
  return h(
    'tr',
    { 'data-key': one.name },
    h('th', { scope: 'row' },
      h('details', {}, h('summary', {}, h('span', { class: 'name' }, one.name), one.kind === one.name ? null : h('span', { class: 'muted' }, one.kind)), h('ul', { class: 'models' }, models.length ? models : h('li', { class: 'muted' }, 'No calls yet.'))),
    ),
    h('td', {}, h('span', { class: 'pill', 'data-tone': tone }, words), h('span', { class: 'muted small line' }, [held, wait].filter(Boolean).join(', '))),
    h('td', { class: 'number wide' }, count(one.in_flight)),
    h('td', { class: 'number wide' }, brief(one.calls)),
    h('td', { class: 'number' }, share(one.failures, one.calls)),
    h('td', { class: 'number wide' }, span(one.latency_ms ?? undefined)),
    h('td', { class: 'acts' }, acts),
  );
}

function budgets(list, now, partial) {
  if (!list.length) return [h('p', { class: 'empty' }, 'No budget is set. Spend is counted and not limited.')];
  const urgency = (one) => one.spent / one.limit;
  const sorted = [...list].sort((a, b) => urgency(b) - urgency(a));
  const alone = partial ? h('p', { class: 'muted small pad', role: 'status' }, 'Redis does not answer: this is what this replica counted alone.') : null;
  return [alone, h('ul', { class: 'budgets' }, sorted.slice(0, 50).map((one) => budget(one, now))), sorted.length > 50 ? h('p', { class: 'muted small pad' }, `and ${count(sorted.length - 50)} more that are less used`) : null];
}

function budget(one, now) {
  const write = one.unit === 'usd' ? money : (tokens) => `${brief(tokens)} tokens`;
  const part = (amount) => `${Math.min(100, (100 * amount) / one.limit)}%`;
  const used = one.spent >= one.limit;
  const tone = used ? 'bad' : one.lasts_until || one.spent > 0.9 * one.limit ? 'warn' : 'ok';
  const renews = one.renews_at ? `renews ${moment(one.renews_at, now)}` : 'never renews';
  let lasts = one.renews_at ? 'lasts at this pace' : '';
  if (used) lasts = 'used up';
  else if (one.lasts_until) lasts = `at this pace used up ${moment(one.lasts_until, now)}`;
  else if (one.spent === 0) lasts = 'nothing spent';
  return h(
    'li',
    { 'data-key': `${one.name}/${one.account}`, 'data-tone': tone },
    h('p', { class: 'name' }, one.name, one.account === null ? null : h('span', { class: 'muted' }, ` ${one.account}`)),
    h('p', { class: 'number' }, write(one.spent), h('span', { class: 'muted' }, ` of ${write(one.limit)}`)),
    h('div', { class: 'gauge', role: 'img', 'aria-label': `${share(one.spent, one.limit)} used` },
      h('span', { class: 'spent', style: { width: part(one.spent) } }),
      h('span', { class: 'reserved', style: { width: part(one.reserved) } }),
    ),
    h('p', { class: 'small lasts' }, lasts),
    h('p', { class: 'small muted' }, [one.reserved > 0 ? `${write(one.reserved)} reserved` : '', renews].filter(Boolean).join(', ')),
  );
}

const ORDERS = {
  force_open: {
    title: (name) => `Hold back calls to ${name}?`,
    words: 'No call goes to this provider for the time below; routes go on with their other targets. After it one call tries.',
    act: 'Hold back',
  },
  reset: {
    title: (name) => `Reset the breaker of ${name}?`,
    words: 'Calls go to this provider at once, and its breaker forgets what failed before.',
    act: 'Reset',
  },
};

function confirm(order, name) {
  const { title, words, act } = ORDERS[order];
  const dialog = $('confirm');
  const times = [[60, '1 minute'], [300, '5 minutes'], [1_800, '30 minutes'], [14_400, '4 hours']];
  const error = h('p', { class: 'error', role: 'alert' });
  const time = h('select', { id: 'confirm-time' }, times.map(([seconds, words]) => h('option', { value: seconds, selected: seconds === 300 }, words)));
  const cancel = h('button', { type: 'button' }, 'Cancel');
  const go = h('button', { type: 'submit', class: order === 'reset' ? 'main' : 'main bad' }, act);
  const form = h(
    'form',
    {},
    h('h2', { id: 'confirm-title' }, title(name)),
    h('p', {}, words),
    order === 'force_open' ? h('p', { class: 'field' }, h('label', { for: 'confirm-time' }, 'For'), time) : null,
    error,
    h('div', { class: 'row ends' }, cancel, go),
  );
  cancel.addEventListener('click', () => dialog.close());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    go.disabled = true;
    const [path, body] = order === 'reset' ? ['reset', {}] : ['open', { for: `${time.value}s` }];
    try {
      await ask(`admin/breakers/${encodeURIComponent(name)}/${path}`, { method: 'POST', body });
      dialog.close();
      refresh();
    } catch (refused) {
      error.textContent = refused.message;
      go.disabled = false;
    }
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}
