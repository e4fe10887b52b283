// Checks with names that are false when they fail, and what they share: addresses, counts, the gateway's own records.

import assert from 'node:assert/strict';

export const facts = JSON.parse(process.argv[2]);
const patience = 15_000;
const checks = [];

export const check = (name, body) => checks.push([name, body]);

/** Runs every check, one after the other, and ends the process. */
export async function run() {
  let failed = 0;
  for (const [name, body] of checks) {
    const begun = Date.now();
    try {
      await body();
      console.log(`ok    ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n      ${String(error.stack ?? error).split('\n').slice(0, 12).join('\n      ')}`);
    }
  }
  console.log(failed ? `${failed} of ${checks.length} failed` : `all ${checks.length} fine`);
  process.exit(failed ? 1 : 0);
}

/** The error that `call` ends with, which is exactly of `kind` and has these members. */
export async function raises(kind, call, members = {}) {
  let error;
  try {
    await call();
  } catch (caught) {
    error = caught;
  }
  assert(error, `expected ${kind.name}, and it succeeded`);
  assert.equal(error.constructor, kind, `expected ${kind.name}, found ${error.constructor.name}: ${error.message}`);
  for (const [name, expected] of Object.entries(members)) assert.deepEqual(error[name], expected, name);
  return error;
}

async function get(url, key) {
  const response = await fetch(url, key ? { headers: { authorization: `Bearer ${key}` } } : {});
  assert(response.ok, `${url}: ${response.status}`);
  return response.json();
}

/** What goes wrong goes wrong at one simulator, so that the other one's counts stay clear. */
export const named = (model) => (model.startsWith('sim-') ? `faulty/${model}` : model);

/** How many requests a simulator has seen, and how many of their clients left early. */
export const counts = (sim) => get(`${facts[sim].replace(/\/v1$/, '')}/sim/stats`);

/** Asks until there is an answer; there is no event to wait for across processes. */
export async function until(what, condition) {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    const result = await condition();
    if (result) return result;
    await new Promise((resume) => setTimeout(resume, 20));
  }
  throw new Error(`${what}: not within ${patience} ms`);
}

/** The gateway's own record of a call that is over. */
export const callOf = (id) =>
  until(`the gateway's record of ${id}`, async () => (await get(`${facts.gateway}/admin/live`, facts.admin)).calls.find((call) => call.id === id));

/** Remembers how many clients have left a simulator; gives a function that waits for more of them. */
export async function leaving(sim) {
  const before = (await counts(sim)).cancelled;
  return (clients = 1) => until("the upstream's call is cancelled", async () => (await counts(sim)).cancelled - before >= clients);
}
