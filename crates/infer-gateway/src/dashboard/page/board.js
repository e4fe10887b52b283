// What was received, put together: each answer brings only what is new.

const SECONDS = 900;
const CALLS = 100;
const NAMES = ['requests', 'errors', 'input_tokens', 'output_tokens', 'cost_usd'];

export class Board {
  constructor() {
    this.clear();
  }

  clear() {
    this.started = null;
    this.live = null;
    this.overview = null;
    this.from = 0;
    this.series = Object.fromEntries(NAMES.map((name) => [name, []]));
    this.calls = [];
  }

  /** The query that says what is here already. */
  since() {
    if (!this.live) return '';
    const last = this.from + this.series.requests.length - 1;
    return `?second=${last}&call=${this.calls[0]?.number ?? 0}`;
  }

  takeOverview(overview) {
    const taken = this.take(overview.live);
    if (taken) this.overview = overview;
    return taken;
  }

  /** False, with nothing kept, for an answer of another process than before: it lacks what that one had told. */
  take(live) {
    if (this.started !== null && live.started !== this.started) {
      this.clear();
      return false;
    }
    this.started = live.started;
    this.live = live;
    const known = live.series.from - this.from;
    const joins = known >= 0 && known <= this.series.requests.length;
    for (const name of NAMES) {
      const values = joins ? this.series[name].slice(0, known) : [];
      this.series[name] = values.concat(live.series[name]).slice(-SECONDS);
    }
    const end = live.series.from + live.series.requests.length;
    this.from = end - this.series.requests.length;
    const last = this.calls[0]?.number ?? 0;
    this.calls = [...live.calls.filter((call) => call.number > last), ...this.calls].slice(0, CALLS);
    return true;
  }

  /** The mean a second over the last `seconds` that are over. */
  rate(name, seconds) {
    const values = this.series[name].slice(0, -1).slice(-seconds);
    return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
  }

  /** Means a second of `names` over steps of `step` seconds, for the last `seconds`: times, then values of each name. */
  steps(names, seconds, step) {
    const end = this.from + this.series.requests.length - 1;
    const last = end - (end % step);
    const times = [];
    const columns = names.map(() => []);
    for (let at = last - seconds; at < last; at += step) {
      times.push(at + step);
      names.forEach((name, place) => {
        let sum = 0;
        for (let second = at; second < at + step; second += 1) sum += this.series[name][second - this.from] ?? 0;
        columns[place].push(sum / step);
      });
    }
    return [times, ...columns];
  }
}
