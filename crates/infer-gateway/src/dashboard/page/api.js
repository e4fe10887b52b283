// Asking the gateway. Keys live in this tab only and go nowhere but to it.

const ADMIN = 'infer.admin';
const API = 'infer.api';

function kept(name) {
  try {
    return sessionStorage.getItem(name) ?? '';
  } catch {
    return '';
  }
}

function keep(name, value) {
  try {
    if (value) sessionStorage.setItem(name, value);
    else sessionStorage.removeItem(name);
  } catch {
    // Without a store the key holds until the page is left.
  }
}

let admin = kept(ADMIN);
let api = kept(API);

export const keys = {
  get admin() {
    return admin;
  },
  set admin(key) {
    admin = key;
    keep(ADMIN, key);
  },
  get api() {
    return api;
  },
  set api(key) {
    api = key;
    keep(API, key);
  },
};

/** An answer that is an error, or none. `status` is 0 where the gateway was not reached. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Reads the error out of an answer, whatever shape it has. */
export async function refusal(response) {
  let told = {};
  try {
    told = (await response.json()).error ?? {};
  } catch {
    // Something between us and the gateway answered.
  }
  const message = typeof told === 'string' ? told : told.message;
  return new Refused(response.status, told.code ?? told.type, message || `the gateway answered ${response.status}`);
}

const bearer = (key) => (key ? { authorization: `Bearer ${key}` } : {});

/** Asks as the operator and reads JSON. */
export async function ask(path, { method = 'GET', body, signal } = {}) {
  const limit = AbortSignal.timeout(10_000);
  let response;
  try {
    response = await fetch(path, {
      method,
      cache: 'no-store',
      headers: { ...bearer(admin), ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body && JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (error) {
    throw new Refused(0, 'unreachable', error.name === 'TimeoutError' ? 'no answer within 10 s' : 'not reached');
  }
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json().catch(() => null);
}

/** Asks as a client, with the key of the playground; the answer is not read. */
export async function call(path, { method = 'GET', body, signal } = {}) {
  try {
    return await fetch(path, {
      method,
      cache: 'no-store',
      headers: { ...bearer(api || admin), ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body && JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'unreachable', 'the gateway was not reached');
  }
}
