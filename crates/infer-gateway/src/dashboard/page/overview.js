// The first view: how it goes, what it costs, what fails.

import { chart } from './charts.js';
import { $, fill, h, say } from './dom.js';
import { brief, count, long, money, rate, share, span, spanTick, tick, words } from './format.js';

/** Seconds that one point of a chart is the mean of, by the seconds shown. */
const STEPS = { 60: 1, 300: 5, 900: 15 };
/** Over how many seconds the figures are means. */
const MEAN = 10;

let charts = null;

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

export function start(draw) {
  charts = {
    requests: chart($('chart-requests'), {
      title: 'Requests',
      unit: 'a second',
      format: rate,
      tick,
      lines: [
        { name: 'all', colour: '--one', filled: true },
        { name: 'errors', colour: '--bad', filled: true },
      ],
    }),
    tokens: chart($('chart-tokens'), {
      title: 'Tokens',
      unit: 'a second',
      format: rate,
      tick,
      lines: [
        { name: 'read', colour: '--two' },
        { name: 'written', colour: '--one', filled: true },
      ],
    }),
    first: chart($('chart-first'), {
      title: 'First token',
      unit: 'after',
      format: span,
      tick: spanTick,
      lines: [
        { name: 'p50', colour: '--one' },
        { name: 'p95', colour: '--three' },
      ],
    }),
  };
  for (const id of ['range', 'span']) $(id).addEventListener('change', draw);
}

export function redraw() {
  for (const one of Object.values(charts ?? {})) one.redraw();
}

export function draw(board) {
  const { live, overview } = board;
  if (!live) return;
  figures(board);
  const range = Number(chosen('range'));
  charts.requests.set(board.steps(['requests', 'errors'], range, STEPS[range]), range);
  charts.tokens.set(board.steps(['input_tokens', 'output_tokens'], range, STEPS[range]), range);
  charts.first.set(firstTokens(live, range), range);
  const spend = live.spend[chosen('span')];
  fill($('spend-model'), bills('Model', 'no answer', spend.by_model, spend.total));
  fill($('spend-key'), bills('Key', 'no key', spend.by_key, spend.total));
  fill($('errors'), mix(live));
  if (overview) {
    const routes = `${count(overview.routes.length)} ${overview.routes.length === 1 ? 'route' : 'routes'}`;
    say($('foot'), `infer ${overview.version}. Up ${long((live.now - overview.started) / 1000)}, ${routes}. Days and months are those of UTC.`);
  }
}

function figures(board) {
  const { live } = board;
  const { answered, failed, broken, left } = live.endings;
  const bad = failed + broken;
  const all = answered + bad + left;
  const { today, month } = live.spend;
  const calls = (total) => `${brief(total.calls)} calls${total.unpriced > 0 ? `, ${brief(total.unpriced)} unpriced` : ''}`;
  const one = (name, value, note, tone) =>
    h('div', { 'data-tone': tone }, h('dt', {}, name), h('dd', {}, h('span', { class: 'value' }, value), h('span', { class: 'muted' }, note)));
  fill(
    $('figures'),
    one('Requests', h('span', {}, rate(board.rate('requests', MEAN)), h('small', {}, ' /s')), `${count(live.in_flight)} in flight`),
    one('Tokens written', h('span', {}, rate(board.rate('output_tokens', MEAN)), h('small', {}, ' /s')), `${rate(board.rate('input_tokens', MEAN))} /s read`),
    one('First token', span(live.first_token.p50_ms ?? undefined), `p95 ${span(live.first_token.p95_ms ?? undefined)}, last 5 min`),
    one('Errors', share(bad, all), `${brief(bad)} of ${brief(all)}, last 15 min`, all > 0 && bad / all > 0.05 ? 'bad' : null),
    one('Spent today', money(today.total.cost_usd), calls(today.total)),
    one('Spent this month', money(month.total.cost_usd), calls(month.total)),
  );
}

function firstTokens(live, range) {
  const { from, step, p50_ms: p50, p95_ms: p95 } = live.first_token.series;
  const places = Math.ceil(range / step);
  const times = p50.map((_, place) => from + (place + 1) * step);
  // The last step is not over.
  return [times, p50, p95].map((values) => values.slice(0, -1).slice(-places));
}

function bills(title, none, rows, total) {
  const most = Math.max(...rows.map((row) => row.cost_usd), 0);
  const head = h('tr', {}, h('th', { scope: 'col' }, title), h('th', { scope: 'col', class: 'number' }, 'Calls'), h('th', { scope: 'col', class: 'number wide' }, 'Tokens'), h('th', { scope: 'col', class: 'number' }, 'Cost'));
  if (!rows.length) {
    return [h('table', {}, h('thead', {}, head)), h('p', { class: 'empty' }, 'No calls yet.')];
  }
  const cost = (row) => (row.cost_usd === 0 && row.unpriced > 0 ? 'unpriced' : money(row.cost_usd));
  const body = rows.map((row) => {
    const name = row.name ?? none;
    return h(
      'tr',
      { 'data-key': `${row.name}` },
      h('th', { scope: 'row', class: 'bar-cell' },
        h('span', { class: 'name', title: name }, name),
        h('span', { class: 'share', style: { width: most > 0 ? `${(100 * row.cost_usd) / most}%` : '0' } }),
      ),
      h('td', { class: 'number' }, brief(row.calls)),
      h('td', { class: 'number wide' }, brief(row.input_tokens + row.output_tokens)),
      h('td', { class: 'number', title: row.unpriced > 0 ? `${count(row.unpriced)} calls without a known price` : null }, cost(row)),
    );
  });
  const sum = h('tr', {}, h('th', { scope: 'row' }, 'All'), h('td', { class: 'number' }, brief(total.calls)), h('td', { class: 'number wide' }, brief(total.input_tokens + total.output_tokens)), h('td', { class: 'number' }, cost(total)));
  return [h('table', {}, h('caption', { class: 'hide' }, `Spend by ${title.toLowerCase()}`), h('thead', {}, head), h('tbody', {}, body), h('tfoot', {}, sum))];
}

function mix(live) {
  const left = live.endings.left;
  const rows = live.errors.map((error) => [words(error.name), error.count, 'bad']);
  if (left) rows.push(['client left', left, 'quiet']);
  if (!rows.length) return [h('p', { class: 'empty' }, 'None.')];
  const most = Math.max(...rows.map(([, number]) => number));
  return [
    h('ul', { class: 'mix' }, rows.map(([name, number, tone]) =>
      h('li', { 'data-tone': tone }, h('span', {}, name), h('span', { class: 'number' }, count(number)), h('span', { class: 'share', style: { width: `${(100 * number) / most}%` } })),
    )),
  ];
}
