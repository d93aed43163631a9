// A line over the last two minutes.

const SAMPLES = 120;
const LABEL_PX = 11;

/** Draw `values` (one a second, the newest last, null for none) in `colour`; `format` writes the top of the scale. */
export function plot(canvas, values, colour, format) {
  const ratio = devicePixelRatio;
  const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(wide * ratio);
  canvas.height = Math.round(high * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);

  const top = niceTop(Math.max(...values.filter((value) => value !== null), 0));
  const y = (value) => high - 3 - (value / top) * (high - LABEL_PX - 5);
  const x = (n) => wide - ((values.length - 1 - n) / (SAMPLES - 1)) * wide;

  context.strokeStyle = "#29313a";
  context.lineWidth = 1;
  for (const level of [0, top]) {
    context.beginPath();
    context.moveTo(0, Math.round(y(level)) + 0.5);
    context.lineTo(wide, Math.round(y(level)) + 0.5);
    context.stroke();
  }
  context.fillStyle = "#9fabb6";
  context.font = `${LABEL_PX}px Inter, system-ui, sans-serif`;
  context.textBaseline = "bottom";
  context.fillText(format(top), 0, y(top) - 1);

  for (const [first, last] of runs(values)) {
    const points = values.slice(first, last + 1).map((value, n) => [x(first + n), y(value)]);
    context.beginPath();
    points.forEach(([px, py]) => context.lineTo(px, py));
    if (points.length === 1) context.lineTo(points[0][0] - 1, points[0][1]);
    context.strokeStyle = colour;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(points.at(-1)[0], y(0));
    context.lineTo(points[0][0], y(0));
    context.fillStyle = `color-mix(in srgb, ${colour} 14%, transparent)`;
    context.fill();
  }
}

/** First and last index of each stretch without gaps. */
function runs(values) {
  const found = [];
  values.forEach((value, n) => {
    if (value === null) return;
    if (n > 0 && values[n - 1] !== null) found.at(-1)[1] = n;
    else found.push([n, n]);
  });
  return found;
}

/** The next of 1, 2, 5, 10, 20 ... above `value`. */
function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((level) => level >= value);
}
