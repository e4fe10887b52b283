// A conversation with any model the gateway offers, as a client of it.

import { call, keys, Refused, refusal } from './api.js';
import { $, fill, h, say } from './dom.js';
import { count, money, span } from './format.js';
import { events } from './stream.js';

/** What was said: `role`, `text`, and of answers `reasoning`, `facts`, `id`, `cost`. */
let turns = [];
let running = null;
let models = null;

export function start() {
  $('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
  $('message').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      $('ask').requestSubmit();
    }
  });
  $('model').addEventListener('change', other);
  $('stop').addEventListener('click', () => running?.abort());
  $('anew').addEventListener('click', forget);
  $('api-key').value = keys.api;
  $('api-key').addEventListener('change', () => {
    keys.api = $('api-key').value.trim();
    models = null;
    open();
  });
}

export function forget() {
  running?.abort();
  turns = [];
  say($('play-error'), '');
  draw();
}

/** Shows the field for a name that is not in the list. */
function other() {
  const wanted = $('model').value === '';
  $('other').hidden = !wanted;
  $('other').required = wanted;
}

const model = () => $('model').value || $('other').value.trim();

/** Called when the view is shown. */
export async function open() {
  draw();
  if (models) return;
  try {
    const response = await call('v1/models');
    if (!response.ok) throw await refusal(response);
    // Names with a star stand for others, which nobody can list.
    models = ((await response.json()).data ?? []).map((model) => model.id).filter((id) => !id.includes('*'));
  } catch (refused) {
    models = null;
    list([]);
    complain(refused, 'The list of models cannot be read');
    return;
  }
  list(models);
  say($('play-error'), '');
}

function list(models) {
  const before = $('model').value;
  fill($('model'), models.map((id) => h('option', { value: id }, id)), h('option', { value: '' }, 'Another…'));
  if (models.includes(before)) $('model').value = before;
  other();
}

function complain(refused, what) {
  const hint = refused.status === 401 ? ' Put a key for calls under Settings.' : '';
  if (refused.status === 401) $('api-key').closest('details').open = true;
  say($('play-error'), `${what}: ${refused.message}.${hint}`.replace('..', '.'));
}

function body() {
  const system = $('system').value.trim();
  const said = turns.filter((turn) => turn.text).map(({ role, text }) => ({ role, content: text }));
  const number = (id) => ($(id).value === '' ? undefined : Number($(id).value));
  return {
    model: model(),
    messages: system ? [{ role: 'system', content: system }, ...said] : said,
    stream: true,
    stream_options: { include_usage: true },
    temperature: number('temperature'),
    max_tokens: number('most'),
  };
}

async function send() {
  const text = $('message').value.trim();
  if (!text || running) return;
  turns.push({ role: 'user', text });
  const asked = body();
  const answer = { role: 'assistant', text: '', reasoning: '', facts: {}, model: asked.model };
  turns.push(answer);
  $('message').value = '';
  running = new AbortController();
  say($('play-error'), '');
  say($('play-status'), 'Waiting for the answer');
  draw();
  const began = performance.now();
  try {
    const response = await call('v1/chat/completions', { method: 'POST', body: asked, signal: running.signal });
    answer.id = response.headers.get('x-request-id');
    if (!response.ok) throw await refusal(response);
    for await (const event of events(response.body)) {
      if (event.error) throw new Refused(200, event.error.code, event.error.message ?? 'the answer broke');
      take(answer, event, performance.now() - began);
      later();
    }
    if (!answer.finish) throw new Refused(200, 'cut', 'the answer ended without saying why');
    say($('play-status'), 'The answer is complete');
  } catch (error) {
    answer.stopped = error.name === 'AbortError';
    if (!answer.stopped) complain(error, answer.text ? 'The answer broke' : 'No answer');
    say($('play-status'), answer.stopped ? 'Stopped' : '');
    if (!answer.text && !answer.reasoning) {
      turns = turns.filter((turn) => turn !== answer);
      const asking = turns.pop();
      if (asking && !$('message').value) $('message').value = asking.text;
    }
  } finally {
    answer.facts.total = performance.now() - began;
    answer.over = true;
    running = null;
    draw();
  }
}

function take(answer, event, after) {
  const choice = event.choices?.[0];
  const delta = choice?.delta ?? {};
  const text = delta.content ?? delta.refusal ?? '';
  const thought = delta.reasoning_content ?? delta.reasoning ?? '';
  if ((text || thought) && answer.facts.first === undefined) {
    answer.facts.first = after;
    say($('play-status'), 'The answer has begun');
  }
  answer.text += text;
  if (typeof thought === 'string') answer.reasoning += thought;
  if (choice?.finish_reason) answer.finish = choice.finish_reason;
  if (event.usage) {
    answer.facts.read = event.usage.prompt_tokens;
    answer.facts.written = event.usage.completion_tokens;
    if (typeof event.usage.cost === 'number') answer.cost = event.usage.cost;
  }
}

/** The gateway's own record of a call tells what it cost. */
export function learn(calls) {
  let learnt = false;
  for (const turn of turns) {
    if (!turn.id || !turn.over || turn.record) continue;
    turn.record = calls.find((call) => call.id === turn.id);
    learnt ||= Boolean(turn.record);
  }
  if (learnt) draw();
}

let waits = false;

/** Draws with the next frame, however many pieces come until then. */
function later() {
  if (waits) return;
  waits = true;
  requestAnimationFrame(() => {
    waits = false;
    draw();
  });
}

function facts(turn) {
  const { first, total, read, written } = turn.facts;
  const cost = turn.cost ?? turn.record?.cost_usd;
  const pace = written && total > first ? `${Math.round((1000 * written) / (total - first))} tokens/s` : '';
  return [
    turn.record?.provider ? `${turn.record.provider} / ${turn.record.served_model ?? turn.model}` : turn.model,
    first === undefined ? '' : `first token ${span(first)}`,
    total === undefined ? '' : `total ${span(total)}`,
    read === undefined ? '' : `${count(read)} + ${count(written)} tokens`,
    pace,
    typeof cost === 'number' ? money(cost) : turn.record && read !== undefined ? 'no known price' : '',
    turn.stopped ? 'stopped' : turn.finish && turn.finish !== 'stop' ? `ended by ${turn.finish}` : '',
  ].filter(Boolean);
}

function draw() {
  $('send').disabled = Boolean(running);
  $('stop').hidden = !running;
  $('anew').disabled = !turns.length;
  $('turns-empty').hidden = turns.length > 0;
  const list = $('turns');
  fill(list, turns.map((turn, place) =>
    h(
      'li',
      { class: turn.role, 'data-key': place, 'aria-busy': turn.role === 'assistant' && !turn.over ? 'true' : null },
      h('p', { class: 'who' }, turn.role === 'user' ? 'You' : 'Answer'),
      turn.reasoning ? h('details', { class: 'reasoning' }, h('summary', {}, 'Reasoning'), h('p', { class: 'said' }, turn.reasoning)) : null,
      turn.text || turn.role === 'user' ? h('p', { class: 'said' }, turn.text) : h('p', { class: 'said waits' }, 'Waiting…'),
      turn.role === 'assistant' ? h('p', { class: 'took muted small' }, facts(turn).map((fact) => h('span', {}, fact))) : null,
    ),
  ));
  if (running) list.lastElementChild?.scrollIntoView({ block: 'nearest' });
}
