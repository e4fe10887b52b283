// Numbers as people read them. Everything that is not known is a dash.

export const DASH = '–';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });
const known = (value) => typeof value === 'number' && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : DASH);

/** At most four figures: 1,234 and 12.3K. */
export const brief = (value) => (!known(value) ? DASH : value < 10_000 ? whole.format(value) : short.format(value));

export function rate(value) {
  if (!known(value)) return DASH;
  if (value === 0) return '0';
  if (value < 10) return value.toFixed(value < 1 ? 2 : 1);
  return brief(value);
}

/** Dollars with at least two significant digits, so that no cost looks like none. */
export function money(value) {
  if (!known(value)) return DASH;
  if (value === 0) return '$0.00';
  if (value >= 10_000) return `$${whole.format(value)}`;
  if (value >= 0.1) return `$${value.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  if (value < 1e-9) return '<$0.000000001';
  return `$${value.toFixed(Math.min(10, 1 - Math.floor(Math.log10(value))))}`;
}

/** A value on an axis, without zeros that say nothing. */
export const tick = (value) => short.format(value);

/** The same for a time in milliseconds. */
export const spanTick = (ms) => (ms === 0 ? '0' : ms < 1_000 ? `${short.format(ms)} ms` : `${short.format(ms / 1000)} s`);

export function share(part, all) {
  if (!all) return DASH;
  const percent = (100 * part) / all;
  if (percent > 0 && percent < 0.1) return '<0.1%';
  return `${percent >= 10 || percent === 0 ? percent.toFixed(0) : percent.toFixed(1)}%`;
}

/** A time given in milliseconds. */
export function span(ms) {
  if (!known(ms)) return DASH;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9_995 ? 2 : 1)} s`;
  return long(ms / 1000);
}

/** A long time given in seconds: its two largest parts. */
export function long(seconds) {
  const parts = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]];
  let rest = Math.max(0, Math.round(seconds));
  const first = parts.findIndex(([, size]) => rest >= size);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .map(([unit, size]) => {
      const number = Math.floor(rest / size);
      rest -= number * size;
      return number > 0 ? `${number} ${unit}` : '';
    })
    .filter(Boolean)
    .join(' ');
}

const two = (number) => String(number).padStart(2, '0');

/** The time of day here. */
export function clock(ms, seconds = true) {
  const at = new Date(ms);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return seconds ? `${time}:${two(at.getSeconds())}` : time;
}

/** A moment, as far from now as it needs: `14:20`, `Mon 1 Dec 00:00`. */
export function moment(ms, now) {
  const at = new Date(ms);
  if (at.toDateString() === new Date(now).toDateString()) return clock(ms, false);
  const day = at.toLocaleDateString('en', { weekday: 'short', day: 'numeric', month: 'short' });
  return `${day}, ${clock(ms, false)}`;
}

/** `rate_limited` as people write it. */
export const words = (name) => (name ? name.replaceAll('_', ' ') : DASH);
