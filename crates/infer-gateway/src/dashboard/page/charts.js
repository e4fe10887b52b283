// Lines over time. What a line says is also said in words beside it.

import { h } from './dom.js';
import { clock } from './format.js';

const probe = h('i', { hidden: true });

/** The colour of a CSS variable as the theme has it now; a canvas does not know variables. */
function colour(name, opacity = 1) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `color-mix(in srgb, var(${name}) ${opacity * 100}%, transparent)`;
  return getComputedStyle(probe).color;
}

const font = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** A chart in `figure`. `lines`: name, colour, whether filled. `format` writes a value, `tick` one
 *  on the axis. */
export function chart(figure, { title, unit, lines, format, tick }) {
  const outs = lines.map(() => h('output', {}));
  const legend = lines.map((line, place) =>
    h('span', { class: 'key' }, h('i', { style: { background: `var(${line.colour})` } }), line.name, outs[place]),
  );
  const canvas = h('div', { class: 'plot', role: 'img' });
  figure.append(
    h('figcaption', {}, h('h3', {}, title, h('span', { class: 'muted' }, ` ${unit}`)), h('div', { class: 'legend' }, legend)),
    canvas,
  );

  let shown = null;
  let [end, seconds] = [1, 1];
  const tell = (place) => {
    lines.forEach((_, line) => {
      const values = shown?.[line + 1] ?? [];
      const value = place === null || place === undefined ? values.findLast((value) => value !== null) : values[place];
      outs[line].textContent = format(value ?? undefined);
    });
  };

  const axis = {
    stroke: () => colour('--muted'),
    font,
    grid: { stroke: () => colour('--line'), width: 1 },
    ticks: { show: false },
  };
  const plot = new window.uPlot(
    {
      width: 300,
      height: 150,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        sync: { key: 'infer' },
        points: { size: 6 },
      },
      scales: { x: { time: true, range: () => [end - seconds, end] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.12 : 1] } },
      axes: [
        { ...axis, size: 26, gap: 6, space: 70, grid: { show: false }, values: (_, times) => times.map((at) => clock(at * 1000, times[1] - times[0] < 60)) },
        { ...axis, size: 46, gap: 6, space: 32, values: (_, values) => values.map(tick) },
      ],
      series: [
        {},
        ...lines.map((line) => ({
          label: line.name,
          stroke: () => colour(line.colour),
          fill: line.filled ? () => colour(line.colour, 0.12) : undefined,
          width: 1.6,
          spanGaps: true,
          points: { size: 4, width: 1, fill: () => colour(line.colour) },
        })),
      ],
      hooks: { setCursor: [(self) => tell(self.cursor.idx)] },
    },
    [[], ...lines.map(() => [])],
    canvas,
  );
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width > 0) plot.setSize({ width: Math.floor(contentRect.width), height: 150 });
  }).observe(canvas);

  return {
    /** Shows `data` and `range` seconds up to its end. */
    set(data, range) {
      shown = data;
      [end, seconds] = [data[0].at(-1) ?? 1, range];
      plot.setData(data);
      tell(plot.cursor.idx);
      const words = lines.map((line, place) => `${line.name} ${outs[place].textContent}`).join(', ');
      canvas.setAttribute('aria-label', `${title} ${unit}, latest: ${words}`);
    },
    redraw: () => plot.redraw(false),
  };
}
