// The cards beside the picture: counts, speed, sources.

import { rgb } from "./compose.js";
import { plot } from "./plot.js";
import { describe, duration, errorOf, nameOf } from "./words.js";

const COUNTS = { frames: "frames", dropped: "dropped", skipped: "unreadable", reconnects: "reconnected" };

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

/** How many of each class are shown, most first. */
export function tellCounts(list, instances) {
  const classes = new Map();
  for (const { label, colour } of instances) {
    const entry = classes.get(label) ?? { count: 0, colour };
    entry.count += 1;
    classes.set(label, entry);
  }
  const rows = [...classes].sort(([a, x], [b, y]) => y.count - x.count || a.localeCompare(b));
  list.replaceChildren(
    ...rows.map(([label, { count, colour }]) => {
      const row = make("li", "");
      const dot = make("span", "dot");
      dot.style.background = rgb(colour);
      row.append(dot, make("span", "label", label), make("b", "", count));
      row.dataset.label = label;
      return row;
    }),
  );
  if (rows.length === 0) list.append(make("li", "nothing", "Nothing found"));
}

/** Rates of some sources over time: frames of all together, latency of the slowest. */
export function tellSpeed(sources) {
  const length = Math.max(0, ...sources.map(({ history }) => history.length));
  const at = (n, side) => sources.map(({ history }) => history.at(n - length)?.[side] ?? null);
  const fps = Array.from({ length }, (_, n) => at(n, 0).reduce((sum, value) => sum + (value ?? 0), 0));
  const latency = Array.from({ length }, (_, n) => {
    const known = at(n, 1).filter((value) => value !== null);
    return known.length ? 1000 * Math.max(...known) : null;
  });
  tellPlot("fps", fps, "#63d3b8", (value) => value.toFixed(1), String);
  tellPlot("latency", latency, "#f0b957", duration, duration);
}

function tellPlot(id, values, colour, format, formatTop) {
  const now = values.at(-1) ?? null;
  const text = now === null ? "–" : format(now);
  const canvas = document.getElementById(`${id}-plot`);
  document.getElementById(id).textContent = text;
  canvas.setAttribute("aria-label", `Over the last two minutes; now ${text}`);
  plot(canvas, values, colour, formatTop);
}

/** State, counts and trouble of every source. */
export function tellSources(list, sources, isConnected) {
  sources.forEach((source, n) => {
    const row = list.children[n] ?? list.appendChild(make("li", ""));
    const { history, results, ...shown } = source;
    const content = JSON.stringify([shown, isConnected]);
    if (row.dataset.content === content) return; // what is selected to be copied stays selected
    row.dataset.content = content;
    tellSource(row, source, isConnected);
  });
  while (list.children.length > sources.length) list.lastChild.remove();
}

function tellSource(row, source, isConnected) {
  const { tone, word } = describe(source, isConnected);
  row.dataset.tone = tone;
  const pill = make("span", "pill", word);
  pill.dataset.tone = tone;
  const head = make("div", "head");
  head.append(make("span", "name", nameOf(source)), pill);
  const numbers = make("dl", "");
  for (const [key, text] of Object.entries(COUNTS)) {
    if (key !== "frames" && source[key] === 0) continue;
    const pair = make("div", "");
    pair.append(make("dd", "", source[key].toLocaleString("en")), make("dt", "", text));
    numbers.append(pair);
  }
  row.replaceChildren(head);
  if (source.error) row.append(make("p", "error", errorOf(source)));
  row.append(numbers);
}
