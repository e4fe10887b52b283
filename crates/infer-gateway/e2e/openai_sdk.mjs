// OpenAI's own Node SDK against a gateway: `node openai_sdk.mjs FACTS`, where FACTS is a JSON object of addresses and keys.

import assert from 'node:assert/strict';
import OpenAI, { AzureOpenAI } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { callOf, check, counts, facts, leaving, named, raises, run } from './checks.mjs';

const MODEL = 'gpt-4o-mini';
const HELLO = [{ role: 'user', content: 'Say hello' }];
const OSLO = [{ role: 'user', content: 'Please use get_weather for Oslo' }];
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer', minimum: 1, maximum: 5 } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const WEATHER = { type: 'function', function: { name: 'get_weather', description: 'The weather in a city.', parameters, strict: true } };

const client = (key = 'key', more = {}) => new OpenAI({ baseURL: `${facts.gateway}/v1`, apiKey: facts[key], maxRetries: 0, ...more });
const chat = (model = MODEL, more = {}, by = client(), options) => by.chat.completions.create({ model: named(model), messages: HELLO, ...more }, options);
async function all(stream) {
  const pieces = [];
  for await (const piece of await stream) pieces.push(piece);
  return pieces;
}
const said = (pieces) => pieces.map((piece) => piece.choices[0]?.delta.content ?? '').join('');

check('an answer in one piece has text, a finish and counts', async () => {
  const answer = await chat();
  assert.match(answer.choices[0].message.content, /Say hello/);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.equal(answer.model, MODEL);
  assert.equal((await chat(MODEL, { n: 3 })).choices.length, 3);
  assert.equal((await chat(MODEL, { max_completion_tokens: 3 })).choices[0].finish_reason, 'length');
});

check("the answer's headers name the call, who served it and what it cost", async () => {
  const { data, response, request_id } = await chat(MODEL, {}, client(), { headers: { 'x-request-id': 'js-named-1' } }).withResponse();
  assert.equal(request_id, 'js-named-1');
  assert.equal(data._request_id, 'js-named-1');
  assert.equal(response.headers.get('x-served-by'), 'steady');
  assert(Number(response.headers.get('x-infer-cost-usd')) > 0);
  assert.equal((await callOf('js-named-1')).key, 'team');
});

check('a stream is the same answer in pieces, with counts when asked for', async () => {
  const whole = (await chat()).choices[0].message.content;
  const pieces = await all(chat(MODEL, { stream: true, stream_options: { include_usage: true } }));
  assert.equal(said(pieces), whole);
  assert(pieces.length > 5);
  assert(pieces.at(-1).usage.completion_tokens > 0 && pieces.at(-1).choices.length === 0);
  assert((await all(chat(MODEL, { stream: true }))).every((piece) => !piece.usage));
  const runner = client().chat.completions.stream({ model: MODEL, messages: HELLO });
  assert.equal(await runner.finalContent(), whole);
});

check('a tool is called, and its result is answered', async () => {
  const { message } = (await chat(MODEL, { messages: OSLO, tools: [WEATHER] })).choices[0];
  const [call] = message.tool_calls;
  assert.equal(call.function.name, 'get_weather');
  assert(JSON.parse(call.function.arguments).days >= 1);
  const messages = [...OSLO, message, { role: 'tool', tool_call_id: call.id, content: 'rain and 4 degrees' }];
  const answer = (await chat(MODEL, { messages, tools: [WEATHER] })).choices[0];
  assert.equal(answer.finish_reason, 'stop');
  assert.match(answer.message.content, /rain/);
});

check('a streamed tool call arrives in fragments that make one call', async () => {
  const pieces = await all(chat(MODEL, { messages: OSLO, tools: [WEATHER], stream: true }));
  const fragments = pieces.flatMap((piece) => piece.choices[0]?.delta.tool_calls ?? []);
  assert(fragments.length > 2 && fragments[0].id && fragments[0].function.name === 'get_weather', JSON.stringify(fragments));
  const { city, days } = JSON.parse(fragments.map((fragment) => fragment.function.arguments ?? '').join(''));
  assert(typeof city === 'string' && days >= 1 && days <= 5);
  const asked = [];
  const run = client().chat.completions.runTools({
    model: MODEL,
    messages: OSLO,
    stream: true,
    tools: [{ type: 'function', function: { name: 'get_weather', description: 'The weather.', parameters, parse: JSON.parse, function: (args) => (asked.push(args), 'rain and 4 degrees') } }],
  });
  assert.match(await run.finalContent(), /rain/);
  assert.equal(asked.length, 1);
});

check('a structured answer is parsed into its type', async () => {
  const Person = z.object({ name: z.string(), age: z.number().int(), tags: z.array(z.string()) });
  const response_format = zodResponseFormat(Person, 'person');
  const parsed = await client().chat.completions.parse({ model: MODEL, messages: HELLO, response_format });
  assert(Number.isInteger(parsed.choices[0].message.parsed.age));
  const streamed = await client().chat.completions.stream({ model: MODEL, messages: HELLO, response_format }).finalChatCompletion();
  assert.equal(typeof streamed.choices[0].message.parsed.name, 'string');
  await raises(OpenAI.LengthFinishReasonError ?? Object, () => client().chat.completions.parse({ model: named('sim-finish-length'), messages: HELLO, response_format })).catch((error) => {
    // The class is not exported by every version; that it is an error is what counts.
    assert.match(String(error), /length/i);
  });
});

check('a refusal and a reason to stop survive', async () => {
  assert.match((await chat('sim-refusal')).choices[0].message.refusal, /refuse/);
  assert.equal((await chat('sim-finish-content_filter')).choices[0].finish_reason, 'content_filter');
});

check('vectors are the same as numbers and as base64, which the SDK asks for by itself', async () => {
  const ask = (more = {}) => client().embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'], ...more });
  const [numbers, packed] = [await ask({ encoding_format: 'float' }), await ask()];
  for (const [nth, { embedding }] of numbers.data.entries()) {
    assert.equal(embedding.length, 1536);
    assert(embedding.every((value, place) => Math.abs(value - packed.data[nth].embedding[place]) < 1e-6));
  }
  assert.equal(typeof (await ask({ encoding_format: 'base64' })).data[0].embedding, 'string');
  assert(packed.usage.prompt_tokens > 0);
});

check('models are listed, one is found, and another is not', async () => {
  const models = await all(client().models.list());
  assert(models.some((model) => model.id === 'steady/gpt-4o-mini'));
  assert.equal((await client().models.retrieve('steady/gpt-4o-mini')).object, 'model');
  await raises(OpenAI.NotFoundError, () => client().models.retrieve('nope'), { status: 404, code: 'model_not_found' });
});

check('every refusal has the class of its status, its code and its words', async () => {
  const stranger = client('key', { apiKey: 'sk-nobody-knows-this' });
  const error = await raises(OpenAI.AuthenticationError, () => chat(MODEL, {}, stranger), { status: 401, code: 'invalid_api_key' });
  assert(!error.message.includes('sk-nobody'));
  await raises(OpenAI.PermissionDeniedError, () => chat('gpt-4o', {}, client('narrow')), { status: 403, code: 'model_not_allowed' });
  await raises(OpenAI.NotFoundError, () => chat('sim-error-404'), { status: 404 });
  await raises(OpenAI.BadRequestError, () => chat(MODEL, { messages: 5 }), { status: 400, param: 'messages' });
  await raises(OpenAI.BadRequestError, () => chat('sim-context'), { status: 400, code: 'context_length_exceeded' });
  await raises(OpenAI.UnprocessableEntityError, () => chat('sim-error-422'), { status: 422 });
  await raises(OpenAI.RateLimitError, () => chat('sim-quota'), { status: 429, code: 'insufficient_quota' });
  const limited = await raises(OpenAI.RateLimitError, () => chat('sim-error-429'), { status: 429 });
  assert(Number(limited.headers.get('retry-after')) >= 1 && limited.requestID);
  for (const [model, status] of [['sim-error-500', 500], ['sim-error-503', 503], ['sim-error-401', 500], ['sim-cut', 502], ['sim-html', 502]]) {
    await raises(OpenAI.InternalServerError, () => chat(model), { status });
  }
});

check('a stream that breaks raises an error after the text that came', async () => {
  for (const model of ['sim-cut', 'sim-error-midway', 'sim-utf8']) {
    const pieces = [];
    await raises(OpenAI.APIError, async () => {
      for await (const piece of await chat(model, { stream: true })) pieces.push(piece);
    });
    assert(said(pieces).length > 0, model);
  }
  await raises(OpenAI.InternalServerError, () => chat('sim-error-first', { stream: true }), { status: 502 });
  await raises(OpenAI.RateLimitError, () => chat('sim-error-429', { stream: true }), { status: 429 });
});

/** How many requests of the SDK it takes to fail. */
async function asked(kind, model, retries, key = 'key') {
  let seen = 0;
  const counted = (...args) => ((seen += 1), fetch(...args));
  await raises(kind, () => chat(model, {}, client(key, { maxRetries: retries, fetch: counted })));
  return seen;
}

check('what may work later is asked again, and what cannot is asked once', async () => {
  const before = (await counts('faulty')).calls;
  assert.equal(await asked(OpenAI.InternalServerError, 'sim-error-503', 2), 3);
  assert.equal((await counts('faulty')).calls - before, 3);
  await chat(MODEL, {}, client('poor'));
  assert.equal(await asked(OpenAI.RateLimitError, MODEL, 2, 'poor'), 1, 'requests against an empty budget');
  assert.equal(await asked(OpenAI.RateLimitError, 'sim-quota', 2), 1, 'requests against an empty quota');
  assert.equal(await asked(OpenAI.InternalServerError, 'sim-error-401', 2), 1, 'requests with a key that is refused upstream');
  await raises(OpenAI.RateLimitError, () => chat(MODEL, {}, client('poor')), { code: 'budget_exhausted' });
});

check("a key's limit names the wait", async () => {
  await chat(MODEL, {}, client('slow'));
  const { headers } = await raises(OpenAI.RateLimitError, () => chat(MODEL, {}, client('slow')), { code: 'rate_limited' });
  assert(Number(headers.get('retry-after')) >= 50 && Number(headers.get('retry-after-ms')) >= 50_000);
});

check('the Azure client asks by deployment, with its own header', async () => {
  const azure = (apiKey) => new AzureOpenAI({ endpoint: facts.gateway, apiKey, apiVersion: '2024-10-21', maxRetries: 0 });
  const known = azure(facts.key);
  assert.match((await chat(MODEL, {}, known)).choices[0].message.content, /Say hello/);
  assert((await all(chat(MODEL, { stream: true }, known))).length > 5);
  assert.equal((await known.embeddings.create({ model: 'text-embedding-3-small', input: 'x' })).data[0].embedding.length, 1536);
  assert((await known.completions.create({ model: MODEL, prompt: 'Say hello' })).choices[0].text);
  assert((await all(known.models.list())).length > 0);
  await raises(OpenAI.AuthenticationError, () => chat(MODEL, {}, azure('nobody')), { status: 401 });
});

check('older completions answer, in one piece and as a stream', async () => {
  const ask = (more = {}) => client().completions.create({ model: MODEL, prompt: 'Say hello', ...more });
  const whole = await ask();
  assert(whole.choices[0].text && whole.usage.completion_tokens > 0);
  assert.equal((await all(ask({ stream: true }))).map((piece) => piece.choices[0]?.text ?? '').join(''), whole.choices[0].text);
});

check('responses answer, in one piece and as a stream', async () => {
  const ask = (more = {}) => client().responses.create({ model: MODEL, input: 'Say hello', ...more });
  const whole = await ask();
  assert.match(whole.output_text, /Say hello/);
  const events = await all(ask({ stream: true }));
  assert.deepEqual([events[0].type, events.at(-1).type], ['response.created', 'response.completed']);
  assert.equal(events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join(''), whole.output_text);
  const streamed = await client().responses.stream({ model: MODEL, input: 'Say hello' }).finalResponse();
  assert.equal(streamed.output_text, whole.output_text);
  await raises(OpenAI.InternalServerError, () => client().responses.create({ model: named('sim-error-500'), input: 'x' }), { status: 500 });
});

check('moderations and speech pass through', async () => {
  assert.equal((await client().moderations.create({ input: ['a', 'b'] })).results[1].flagged, false);
  const sound = await client().audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'hello' });
  assert((await sound.arrayBuffer()).byteLength > 1000);
});

check("leaving a stream, or a call without an answer, cancels the upstream's call", async () => {
  const left = await leaving('faulty');
  for await (const _ of await chat('sim-long', { stream: true }, client(), { headers: { 'x-request-id': 'js-left-1' } })) break;
  await left();
  assert.equal((await callOf('js-left-1')).ending, 'left');
  const stop = new AbortController();
  const stream = await chat('sim-long', { stream: true }, client(), { signal: stop.signal });
  stop.abort();
  await all(stream);
  await left(2);
  await raises(OpenAI.APIConnectionTimeoutError, () => chat('sim-silent', {}, client('key', { timeout: 300 })));
  await left(3);
});

check('twenty calls at once are twenty answers', async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => chat()));
  assert(answers.every((answer) => answer.choices[0].message.content));
});

await run();
