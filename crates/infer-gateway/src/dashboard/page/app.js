// The page as a whole: which view, which theme, who is let in, and asking again while somebody looks.

import { ask, keys } from './api.js';
import { Board } from './board.js';
import * as calls from './calls.js';
import { $, say } from './dom.js';
import { clock } from './format.js';
import * as overview from './overview.js';
import * as playground from './playground.js';
import * as upkeep from './upkeep.js';

/** How often what goes on is asked for, in milliseconds, and every how many times what is configured as well. */
const EVERY = 1_500;
const WHOLE = 4;
/** The longest wait after failures. */
const LONGEST = 15_000;

const VIEWS = ['overview', 'calls', 'playground'];
const board = new Board();
let isIn = false;
let asked = 0;
let failures = 0;
let lastGood = null;
let timer = null;
let asking = false;

function view() {
  const named = location.hash.slice(1);
  return VIEWS.includes(named) ? named : 'overview';
}

function show() {
  const now = view();
  $('login').hidden = isIn;
  $('nav').hidden = !isIn;
  $('leave').hidden = !isIn || !keys.admin;
  for (const name of VIEWS) $(name).hidden = !isIn || name !== now;
  for (const link of $('nav').children) {
    if (link.hash === `#${now}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${now[0].toUpperCase()}${now.slice(1)} – infer gateway`;
  if (isIn && now === 'playground') playground.open();
  draw();
}

function draw() {
  if (!isIn || !board.live) return;
  const now = view();
  if (now === 'overview') {
    overview.draw(board);
    upkeep.draw(board);
  } else if (now === 'calls') {
    calls.draw(board);
  } else {
    playground.learn(board.calls);
  }
  $('simulator').hidden = !board.overview?.simulator;
}

function tell(state, words) {
  $('dot').dataset.state = state;
  say($('status'), words);
}

/** Asks now, and then again and again; what is asked already counts. */
async function poll(whole = false) {
  clearTimeout(timer);
  timer = null;
  if (asking || document.hidden || (!isIn && failures === -1)) return;
  asking = true;
  let wait = EVERY;
  try {
    const since = board.since();
    const all = whole || asked % WHOLE === 0 || !board.overview;
    const taken = all ? board.takeOverview(await ask(`admin/overview${since}`)) : board.take(await ask(`admin/live${since}`));
    if (!taken) board.takeOverview(await ask('admin/overview'));
    asked += 1;
    failures = 0;
    lastGood = Date.now();
    $('stale').hidden = true;
    tell('live', 'Live');
    if (!isIn) enter();
    draw();
  } catch (refused) {
    wait = fail(refused);
  }
  asking = false;
  if (wait && !document.hidden) timer = setTimeout(poll, wait);
}

/** Says what failed, and how long to wait before asking again; 0 for never. */
function fail(refused) {
  if (refused.status === 401 || refused.status === 403) {
    const words = refused.status === 403 ? `${refused.message}.` : keys.admin ? 'This key is not accepted here.' : '';
    say($('login-error'), words);
    leave();
    return 0;
  }
  failures += 1;
  tell('bad', 'Not connected');
  const since = lastGood ? `What you see is from ${clock(lastGood)}. ` : '';
  const why = refused.status ? refused.message : 'the gateway does not answer';
  say($('stale'), `${since}Trying again: ${why}.`);
  $('stale').hidden = failures < 2 && lastGood !== null;
  return Math.min(LONGEST, EVERY * 2 ** Math.min(failures - 1, 5));
}

function enter() {
  isIn = true;
  const hadFocus = $('login').contains(document.activeElement);
  show();
  if (hadFocus) $('main').focus({ preventScroll: true });
}

/** Back to the form; nothing of what was shown stays. */
function leave() {
  isIn = false;
  failures = -1;
  lastGood = null;
  board.clear();
  calls.forget();
  $('stale').hidden = true;
  $('simulator').hidden = true;
  tell('wait', 'Logged out');
  show();
  $('admin-key').focus();
}

function theme() {
  const chosen = document.documentElement.dataset.theme ?? 'auto';
  $('theme').value = chosen;
  $('theme').addEventListener('change', () => {
    const value = $('theme').value;
    if (value === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
    try {
      localStorage.setItem('infer.theme', value);
    } catch {
      // It holds until the page is left.
    }
    overview.redraw();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', overview.redraw);
}

$('login-form').addEventListener('submit', (event) => {
  event.preventDefault();
  keys.admin = $('admin-key').value.trim();
  $('admin-key').value = '';
  say($('login-error'), '');
  failures = 0;
  poll(true);
});
$('leave').addEventListener('click', () => {
  keys.admin = '';
  keys.api = '';
  $('api-key').value = '';
  playground.forget();
  say($('login-error'), '');
  leave();
});
// The address says which view is shown, so the link must not change it.
$('skip').addEventListener('click', (event) => {
  event.preventDefault();
  $('main').focus();
});
addEventListener('hashchange', show);
document.addEventListener('visibilitychange', () => {
  if (document.hidden) clearTimeout(timer);
  else poll();
});

theme();
overview.start(draw);
calls.start(draw);
playground.start();
upkeep.start(() => poll(true));
show();
$('login').hidden = true;
poll(true);
