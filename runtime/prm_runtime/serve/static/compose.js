// Draws a scene with the layers that are switched on.

const FILL_OPACITY = 0.4;
const FONT_PX = 13;
const PAD = 5;

/** The instances that the slider lets through. */
export function visible(scene, minScore) {
  return scene.instances.filter((instance) => instance.score >= minScore);
}

/** Draw `scene` so that it fills `canvas`. `view`: { layers, minScore }. */
export function compose(canvas, scene, { layers, minScore }) {
  const scale = fitCanvas(canvas, scene);
  const context = canvas.getContext("2d");
  const shown = visible(scene, minScore);
  const worstFirst = [...shown].reverse();

  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.drawImage(scene.photo, 0, 0, scene.width, scene.height);
  if (layers.class_maps && scene.classMaps) drawClassMaps(context, scene);
  if (layers.prms) drawPrms(context, scene, worstFirst, scale);
  if (layers.masks) drawMasks(context, worstFirst, scale);
  if (layers.labels) drawLabels(context, shown, scene, scale);
}

/** Give the canvas as many pixels as the screen shows of it; returns those per pixel of the frame. */
function fitCanvas(canvas, { width, height }) {
  canvas.style.aspectRatio = `${width} / ${height}`;
  const across = Math.min(canvas.clientWidth, (canvas.clientHeight * width) / height) || width;
  const scale = (across * devicePixelRatio) / width;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  return scale;
}

function dim(context, { width, height }) {
  context.fillStyle = "rgb(8 11 14 / 55%)";
  context.fillRect(0, 0, width, height);
}

function drawClassMaps(context, scene) {
  dim(context, scene);
  for (const { map } of scene.classMaps) context.drawImage(map(), 0, 0, scene.width, scene.height);
}

function drawPrms(context, scene, instances, scale) {
  dim(context, scene);
  for (const { prm } of instances) {
    if (prm) context.drawImage(prm(), 0, 0, scene.width, scene.height);
  }
  const radius = (4 * devicePixelRatio) / scale;
  for (const { peak } of instances) {
    context.beginPath();
    context.arc(peak[0], peak[1], radius, 0, 2 * Math.PI);
    context.fillStyle = "#fff";
    context.fill();
    context.lineWidth = radius / 2;
    context.strokeStyle = "rgb(0 0 0 / 70%)";
    context.stroke();
  }
}

function drawMasks(context, instances, scale) {
  const pixel = devicePixelRatio / scale;
  context.lineJoin = "round";
  for (const { path, colour } of instances) {
    context.fillStyle = rgb(colour, FILL_OPACITY);
    context.fill(path, "evenodd");
  }
  for (const { path, colour } of instances) {
    context.lineWidth = 3 * pixel;
    context.strokeStyle = "rgb(0 0 0 / 45%)";
    context.stroke(path);
    context.lineWidth = 1.75 * pixel;
    context.strokeStyle = rgb(colour);
    context.stroke(path);
  }
}

/** Names on plates that stay inside the picture and clear of each other. */
function drawLabels(context, instances, scene, scale) {
  const pixel = devicePixelRatio / scale; // letters keep their size on the screen
  const [pad, high] = [PAD * pixel, (FONT_PX + 2 * PAD) * pixel];
  context.font = `600 ${FONT_PX * pixel}px Inter, system-ui, sans-serif`;
  context.textBaseline = "middle";
  const taken = [];
  for (const { label, score, track_id: track, box, colour } of instances) {
    const text = `${label}${track === null ? "" : ` #${track}`} ${Math.round(100 * score)} %`;
    const wide = context.measureText(text).width + 2 * pad;
    const x = Math.max(0, Math.min(box[0], scene.width - wide));
    let y = Math.max(0, Math.min(box[1] - high, scene.height - high));
    for (const other of taken.sort((a, b) => a.y - b.y)) {
      const meets = x < other.x + other.wide && x + wide > other.x && y < other.y + high && y + high > other.y;
      if (meets && other.y + 2 * high <= scene.height) y = other.y + high;
    }
    taken.push({ x, y, wide });
    context.fillStyle = rgb(colour);
    context.beginPath();
    context.roundRect(x, y, wide, high, pad);
    context.fill();
    context.fillStyle = isLight(colour) ? "#0b0f12" : "#fff";
    context.fillText(text, x + pad, y + high / 2);
  }
}

export function rgb([red, green, blue], opacity = 1) {
  return `rgb(${red} ${green} ${blue} / ${opacity})`;
}

function isLight([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 128;
}
