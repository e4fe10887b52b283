// The last calls: what they were, how they went, never what was said in them.

import { $, fill, h, say } from './dom.js';
import { clock, count, DASH, money, span, words } from './format.js';

let held = null;
let shown = [];

export function start(draw) {
  $('filters').addEventListener('input', draw);
  $('filters').addEventListener('submit', (event) => event.preventDefault());
  $('hold').addEventListener('click', () => {
    held = held ? null : shown;
    $('hold').setAttribute('aria-pressed', String(Boolean(held)));
    draw();
  });
  $('calls-table').addEventListener('click', (event) => {
    const row = event.target.closest('tr[data-key]');
    const call = row && shown.find((call) => String(call.number) === row.dataset.key);
    if (call && !String(getSelection())) details(call);
  });
  $('details').addEventListener('click', (event) => {
    if (event.target === $('details') || event.target.closest('button')) $('details').close();
  });
}

export function forget() {
  held = null;
  shown = [];
  $('hold').setAttribute('aria-pressed', 'false');
  $('details').close();
}

function fits(call, text, ending) {
  if (ending === 'error' && !call.error) return false;
  if (ending === 'cached' && call.cached !== true) return false;
  if ((ending === 'answered' || ending === 'left') && call.ending !== ending) return false;
  if (!text) return true;
  const said = [call.id, call.model, call.served_model, call.provider, call.key, call.error, call.endpoint, call.status];
  return said.some((word) => String(word ?? '').toLowerCase().includes(text));
}

export function draw(board) {
  shown = held ?? board.calls;
  const text = $('filter').value.trim().toLowerCase();
  const ending = $('ending').value;
  const rows = shown.filter((call) => fits(call, text, ending));
  const fresh = held ? board.calls.filter((call) => call.number > (held[0]?.number ?? 0)).length : 0;
  const note = held ? `Held. ${count(fresh)}${fresh === 100 ? ' or more' : ''} new since.` : '';
  const some = rows.length === shown.length ? `The last ${count(rows.length)} calls.` : `${count(rows.length)} of the last ${count(shown.length)} calls.`;
  say($('calls-note'), `${some} ${note}`.trim());
  const heads = [['Time'], ['Model'], ['Key', 'wide'], ['Status'], ['First token', 'number wide'], ['Total', 'number'], ['Tokens', 'number wide'], ['Cost', 'number']];
  const head = h('tr', {}, heads.map(([name, kind]) => h('th', { scope: 'col', class: kind }, name)));
  const empty = shown.length ? 'No call fits the filter.' : 'No calls yet. Send one from the playground.';
  fill(
    $('calls-table'),
    h('table', { class: 'calls' }, h('caption', { class: 'hide' }, 'The last calls'), h('thead', {}, head), h('tbody', {}, rows.map(row))),
    rows.length ? null : h('p', { class: 'empty' }, empty),
  );
}

/** The word and the tone for how a call ended. */
function ended(call) {
  if (call.error) return [words(call.error), 'bad'];
  if (call.ending === 'left') return ['client left', 'quiet'];
  return [call.cached ? 'cached' : 'answered', 'ok'];
}

function row(call) {
  const [word, tone] = ended(call);
  const where = call.provider ? `${call.provider}${call.served_model && call.served_model !== call.model ? ` / ${call.served_model}` : ''}` : words(call.endpoint);
  const tokens = call.input_tokens === null ? DASH : `${count(call.input_tokens)} + ${count(call.output_tokens)}`;
  return h(
    'tr',
    { 'data-key': call.number },
    h('td', {}, h('button', { type: 'button', class: 'link', 'aria-label': `Details of the call at ${clock(call.at)}` }, clock(call.at))),
    h('th', { scope: 'row' }, h('span', { class: 'name', title: call.model }, call.model ?? DASH), h('span', { class: 'muted small line', title: where }, where)),
    h('td', { class: 'wide' }, h('span', { class: 'name' }, call.key ?? DASH)),
    h('td', {}, h('span', { class: 'state', 'data-tone': tone }, h('b', {}, String(call.status)), h('span', { class: 'word' }, ` ${word}`)), call.tried.length ? h('span', { class: 'muted small line' }, `after ${call.tried.length} other${call.tried.length === 1 ? '' : 's'}`) : null),
    h('td', { class: 'number wide' }, span(call.first_content_ms ?? undefined)),
    h('td', { class: 'number' }, span(call.total_ms)),
    h('td', { class: 'number wide' }, tokens),
    h('td', { class: 'number' }, money(call.cost_usd ?? undefined)),
  );
}

function details(call) {
  const [word, tone] = ended(call);
  const facts = [
    ['Request', h('code', {}, call.id)],
    ['Came at', `${clock(call.at)}, ${new Date(call.at).toDateString()}`],
    ['Route', `${words(call.endpoint)}${call.streamed ? ', streamed' : ''}`],
    ['Model asked for', call.model],
    ['Answered by', [call.provider, call.served_model].filter(Boolean).join(' / ') || null],
    ['Key', call.key],
    ['Cache', call.cached === null ? null : call.cached ? 'answered' : 'did not have it'],
    ['First content', call.first_content_ms === null ? null : span(call.first_content_ms)],
    ['Total', span(call.total_ms)],
    ['In the gateway', `${span(call.overhead_ms)}${call.queued_ms > 0 ? `, ${span(call.queued_ms)} of it waiting for its turn` : ''}`],
    ['Attempts', count(call.attempts)],
    ['Pieces sent', call.streamed ? count(call.chunks) : null],
    ['Tokens read', call.input_tokens === null ? null : `${count(call.input_tokens)}${call.cached_input_tokens ? `, ${count(call.cached_input_tokens)} of them from a prompt cache` : ''}`],
    ['Tokens written', call.output_tokens === null ? null : `${count(call.output_tokens)}${call.reasoning_tokens ? `, ${count(call.reasoning_tokens)} of them reasoning` : ''}`],
    ['Cost', call.cost_usd === null ? (call.input_tokens === null ? null : 'no known price') : money(call.cost_usd)],
  ];
  const tried = call.tried.map((one) =>
    h('li', {}, h('span', { class: 'name' }, `${one.provider} / ${one.model}`), h('span', { class: 'muted' }, `${words(one.error)}${one.status ? ` (${one.status})` : ''} after ${span(one.took_ms)}`)),
  );
  $('details').replaceChildren(
    h('div', { class: 'head' }, h('h2', { id: 'details-title' }, 'Call'), h('span', { class: 'state', 'data-tone': tone }, h('b', {}, String(call.status)), ` ${word}`), h('button', { type: 'button', class: 'plain', autofocus: true }, 'Close')),
    h('dl', { class: 'facts' }, facts.filter(([, fact]) => fact).map(([name, fact]) => h('div', {}, h('dt', {}, name), h('dd', {}, fact)))),
    ...(tried.length ? [h('h3', {}, 'Failed before'), h('ul', { class: 'models' }, tried)] : []),
  );
  $('details').showModal();
}
