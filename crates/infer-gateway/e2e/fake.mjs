// Serves the dashboard's files with made-up numbers, to work on the page without building anything:
// `node fake.mjs [port] [admin key]`. It answers as docs/dashboard.md says, with the headers of the real server.

import { readFile } from 'node:fs/promises';
import http from 'node:http';

const [port = '4780', key = ''] = process.argv.slice(2);
const here = new URL('../src/dashboard/', import.meta.url);
const source = await readFile(new URL('mod.rs', here), 'utf8');
const kinds = Object.fromEntries([...source.matchAll(/const ([A-Z]+): &str = "([a-z]+\/[^"]+)";/g)].map(([, name, kind]) => [name, kind]));
const assets = new Map([...source.matchAll(/^ {4}"(\/[^"]*)" ([A-Z]+) "([^"]+)",$/gm)].map(([, path, kind, file]) => [path, [kinds[kind], file]]));
const policy = source.match(/const POLICY: &str = "([^;]+;[\s\S]*?)";\n/)[1].replace(/\\\n\s*/g, '');

const started = Date.now() - 3_723_000;
const state = { number: 0, calls: [], seconds: new Map(), breakers: new Map(), flight: 0 };
const models = [['gpt-4o-mini', 'openai', 0.15, 0.6], ['claude-sonnet-4-5', 'anthropic', 3, 15], ['gpt-4o', 'azure-eu', 2.5, 10], ['llama-3.3-70b', 'vllm', null, null]];
const who = ['search', 'support-bot', 'nightly-reports', 'marie', null];
const failures = ['rate_limited', 'timeout', 'overloaded', 'budget_exhausted'];
const sums = { today: {}, month: {} };

const zero = () => ({ requests: 0, errors: 0, input_tokens: 0, output_tokens: 0, cost_usd: 0, first: [], names: {} });
const at = (second) => state.seconds.get(second) ?? state.seconds.set(second, zero()).get(second);

function bill(span, by, name, call) {
  const rows = (sums[span][by] ??= new Map());
  const row = rows.get(name) ?? { name, calls: 0, failed: 0, unpriced: 0, input_tokens: 0, output_tokens: 0, cost_usd: 0 };
  rows.set(name, row);
  row.calls += 1;
  row.failed += call.error ? 1 : 0;
  row.unpriced += call.cost_usd === null && !call.error ? 1 : 0;
  row.input_tokens += call.input_tokens ?? 0;
  row.output_tokens += call.output_tokens ?? 0;
  row.cost_usd += call.cost_usd ?? 0;
}

function ended(when, over = {}) {
  const [served, provider, input, output] = models[Math.floor(Math.random() ** 2 * models.length)];
  const error = Math.random() < 0.035 ? failures[Math.floor(Math.random() ** 2 * failures.length)] : null;
  const cached = !error && Math.random() < 0.08;
  const left = !error && Math.random() < 0.01;
  const read = Math.floor(200 + Math.random() ** 3 * 9_000);
  const written = Math.floor(40 + Math.random() ** 2 * 900);
  const first = error ? null : cached ? 2.1 : 240 + Math.random() ** 4 * 2_600;
  const call = {
    number: (state.number += 1),
    id: `req-5e1f00c2a91b7d34-${state.number.toString(16)}`,
    at: when - 1_500,
    endpoint: provider === 'anthropic' ? 'messages' : 'chat',
    key: who[Math.floor(Math.random() * who.length)],
    model: provider === 'vllm' ? 'llama' : 'fast',
    provider: error ? null : provider,
    served_model: error ? null : served,
    status: error ? { rate_limited: 429, timeout: 504, overloaded: 503, budget_exhausted: 429 }[error] : 200,
    ending: error ? 'failed' : left ? 'left' : 'answered',
    error,
    streamed: true,
    cached,
    tried: Math.random() < 0.05 ? [{ provider: 'azure-eu', model: 'gpt-4o', error: 'rate_limited', status: 429, took_ms: 183.2 }] : [],
    attempts: error ? 3 : 1,
    first_content_ms: first,
    total_ms: (first ?? 900) + written * 9,
    overhead_ms: 0.21,
    queued_ms: 0,
    chunks: written,
    input_tokens: error ? null : read,
    output_tokens: error ? null : written,
    cached_input_tokens: error ? null : Math.floor(read / 3),
    reasoning_tokens: error ? null : 0,
    cost_usd: error || input === null || cached ? null : (read * input + written * output) / 1e6,
    ...over,
  };
  const second = at(Math.floor(when / 1000));
  second.requests += 1;
  second.left = (second.left ?? 0) + (call.ending === 'left' ? 1 : 0);
  if (call.error) {
    second.errors += 1;
    second.names[call.error] = (second.names[call.error] ?? 0) + 1;
  }
  second.input_tokens += call.input_tokens ?? 0;
  second.output_tokens += call.output_tokens ?? 0;
  second.cost_usd += call.cost_usd ?? 0;
  if (call.first_content_ms && !call.cached) second.first.push(call.first_content_ms);
  for (const span of ['today', 'month']) {
    bill(span, 'by_model', call.served_model, call);
    bill(span, 'by_key', call.key, call);
  }
  state.calls = [call, ...state.calls].slice(0, 100);
  return call;
}

function traffic(now) {
  const mean = 5 + 3 * Math.sin(now / 90_000) + 1.5 * Math.sin(now / 17_000);
  for (let count = Math.floor(mean * Math.random() * 2); count > 0; count -= 1) ended(now);
}

for (let back = 900; back > 0; back -= 1) traffic(Date.now() - back * 1000);
setInterval(() => {
  traffic(Date.now());
  state.flight = Math.floor(4 + Math.random() * 9);
  for (const second of state.seconds.keys()) if (second < Date.now() / 1000 - 900) state.seconds.delete(second);
}, 1000);

const quantile = (times, part) => (times.length ? times.sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * part))] : null);

function live(query) {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  const from = Math.min(second, Math.max(second - 899, Number(query.get('second') ?? 0)));
  const names = ['requests', 'errors', 'input_tokens', 'output_tokens', 'cost_usd'];
  const series = { from, ...Object.fromEntries(names.map((name) => [name, []])) };
  for (let one = from; one <= second; one += 1) for (const name of names) series[name].push((state.seconds.get(one) ?? zero())[name]);
  const all = [...state.seconds.values()];
  const sum = (pick) => all.reduce((total, one) => total + (pick(one) ?? 0), 0);
  const mix = {};
  for (const one of all) for (const [name, count] of Object.entries(one.names)) mix[name] = (mix[name] ?? 0) + count;
  const times = (first, last) => [...state.seconds].filter(([one]) => one >= first && one < last).flatMap(([, one]) => one.first);
  const start = Math.floor(second / 10) * 10 - 890;
  const steps = Array.from({ length: 90 }, (_, place) => times(start + place * 10, start + place * 10 + 10));
  const recent = times(second - 300, second + 1);
  const total = (rows) => rows.reduce((all, row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, name === 'name' ? null : (all[name] ?? 0) + value])), { name: null, calls: 0, failed: 0, unpriced: 0, input_tokens: 0, output_tokens: 0, cost_usd: 0 });
  const spend = (span, scale) => {
    const rows = (by) => [...sums[span][by].values()].map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, name === 'name' ? value : name === 'cost_usd' ? value * scale : Math.floor(value * scale)]))).sort((a, b) => b.cost_usd - a.cost_usd);
    return { began: now - 4e7, total: total(rows('by_model')), by_model: rows('by_model'), by_key: rows('by_key') };
  };
  const bad = sum((one) => one.errors);
  const left = sum((one) => one.left);
  return {
    started,
    now,
    in_flight: state.flight,
    series,
    endings: { answered: sum((one) => one.requests) - bad - left, failed: bad, broken: 0, left },
    errors: Object.entries(mix).map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count),
    first_token: { over_seconds: 300, count: recent.length, p50_ms: quantile(recent, 0.5), p95_ms: quantile(recent, 0.95), series: { from: start, step: 10, p50_ms: steps.map((step) => quantile(step, 0.5)), p95_ms: steps.map((step) => quantile(step, 0.95)) } },
    spend: { today: spend('today', 4), month: spend('month', 61) },
    calls: state.calls.filter((call) => call.number > Number(query.get('call') ?? 0)),
  };
}

function overview(query) {
  const now = Date.now();
  const midnight = new Date().setUTCHours(24, 0, 0, 0);
  const breaker = (name) => {
    const held = state.breakers.get(name);
    if (held > now) return { breaker: 'open', next_try_ms: held - now, forced: true };
    if (name === 'azure-eu' && !state.breakers.has(name)) return { breaker: 'open', next_try_ms: 10_000 - (now % 10_000), forced: false };
    return { breaker: 'closed', next_try_ms: null, forced: false };
  };
  const provider = (name, kind, ids, calls, failed, latency) => ({ name, kind, models: ids.map((model) => ({ model, in_flight: 1, calls: Math.floor(calls / ids.length), failures: Math.floor(failed / ids.length), latency_ms: latency })), in_flight: ids.length, calls, failures: failed, latency_ms: latency, ...breaker(name) });
  const budget = (name, account, limit, spent, reserved, unit, renews_at, lasts_until) => ({ name, account, limit, spent, reserved, unit, renews_at, lasts_until });
  return {
    version: '0.1.0',
    started,
    uptime_seconds: (now - started) / 1000,
    simulator: true,
    live: live(query),
    providers: [
      provider('openai', 'openai', ['gpt-4o-mini', 'gpt-4o'], 18_432, 12, 412.5),
      provider('anthropic', 'anthropic', ['claude-sonnet-4-5'], 9_120, 240, 820.1),
      provider('azure-eu', 'azure', ['gpt-4o'], 3_311, 402, 655),
      provider('vllm', 'openai', ['llama-3.3-70b'], 122, 0, 96.4),
    ],
    budgets: [
      budget('company', null, 400, 212.4, 0.8, 'usd', midnight + 9 * 864e5, null),
      budget('per key', 'nightly-reports', 20, 18.9, 0.3, 'usd', midnight, now + 1.2e6),
      budget('per key', 'search', 20, 6.1, 0.1, 'usd', midnight, null),
      budget('trial', 'marie', 1_000_000, 1_000_420, 0, 'tokens', null, now),
    ],
    routes: ['fast', 'llama', 'openai/*'],
  };
}

const open = (request) => !key || request.headers.authorization === `Bearer ${key}`;

function json(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

async function chat(request, response) {
  let text = '';
  for await (const part of request) text += part;
  const asked = JSON.parse(text);
  const id = `req-5e1f00c2a91b7d34-play${state.number}`;
  const words = 'The gateway passes each piece on as it comes, counts what it cost, and forgets what was said. '.repeat(4).match(/\S+\s*/g);
  if (asked.model === 'broken') return json(response, 503, { error: { message: 'no target of "broken" is healthy', code: 'no_healthy_target' } });
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': id });
  let sent = 0;
  const piece = (choices, usage) => response.write(`data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', choices, usage })}\n\n`);
  const timer = setInterval(() => {
    if (sent < words.length) return piece([{ index: 0, delta: { content: words[sent++] } }]);
    clearInterval(timer);
    piece([{ index: 0, delta: {}, finish_reason: 'stop' }]);
    piece([], { prompt_tokens: 12, completion_tokens: words.length });
    response.end('data: [DONE]\n\n');
  }, 30);
  response.on('close', () => {
    clearInterval(timer);
    ended(Date.now(), { id, model: asked.model, provider: 'openai', served_model: 'gpt-4o-mini', key: null, error: null, status: 200, ending: sent < words.length ? 'left' : 'answered', cached: false, input_tokens: 12, output_tokens: sent, cost_usd: 0.000042, first_content_ms: 31, total_ms: sent * 30, tried: [] });
  });
}

http
  .createServer(async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const asset = assets.get(url.pathname);
    if (asset) {
      const [kind, file] = asset;
      response.writeHead(200, { 'content-type': kind, 'content-security-policy': policy, 'x-content-type-options': 'nosniff', 'cache-control': 'no-cache' });
      return response.end(await readFile(new URL(file, here)));
    }
    if (url.pathname === '/v1/models') return json(response, 200, { object: 'list', data: ['fast', 'llama', 'openai/gpt-4o', 'broken'].map((id) => ({ id, object: 'model' })) });
    if (url.pathname === '/v1/chat/completions') return chat(request, response);
    if (url.pathname.startsWith('/admin/') && !open(request)) return json(response, 401, { error: { message: 'this needs the admin key: gateway.admin_key, or a key made with --admin', code: 'invalid_admin_key' } });
    if (url.pathname === '/admin/live') return json(response, 200, live(url.searchParams));
    if (url.pathname === '/admin/overview') return json(response, 200, overview(url.searchParams));
    const order = url.pathname.match(/^\/admin\/breakers\/([^/]+)\/(open|reset)$/);
    if (order && request.method === 'POST') {
      let text = '';
      for await (const part of request) text += part;
      const time = parseInt(JSON.parse(text).for ?? '0', 10);
      state.breakers.set(decodeURIComponent(order[1]), order[2] === 'reset' ? 0 : Date.now() + time * 1000);
      return json(response, 200, {});
    }
    return json(response, 404, { error: { message: 'no such path' } });
  })
  .listen(Number(port), '127.0.0.1', () => console.log(`http://127.0.0.1:${port}/`));
