// Puts the page together: what the server sends, what the viewer chooses, what is drawn.

import { visible } from "./compose.js";
import { connect } from "./connection.js";
import { tellCounts, tellSources, tellSpeed } from "./panel.js";
import { decodeScene } from "./scene.js";
import { Tile } from "./tile.js";
import { describeAll, nameOf, shortNameOf } from "./words.js";

const HISTORY = 120;
const LAYERS = ["masks", "labels", "prms", "class_maps"];
const byId = (id) => document.getElementById(id);

const view = { layers: {}, minScore: 0, watched: null, isFrozen: false, isConnected: false };
let sources = [];
let tiles = [];
let waiting = []; // results that came while the picture was frozen
let shown = Promise.resolve(); // one after the other, in the order in which they came

const line = connect({ text: onText, result: onResult, change: onChange });

function onText(message) {
  if (message.type === "hello") {
    begin(message);
  } else {
    sources = message.sources.map((source, n) => ({
      ...source,
      history: [...sources[n].history, ...source.history].slice(-HISTORY),
    }));
  }
  tellReport();
}

function onResult(result) {
  if (view.isFrozen) waiting.push(result);
  else shown = shown.then(() => show(result)).catch(console.error);
}

async function show(result) {
  try {
    const scene = await decodeScene(result);
    await new Promise(requestAnimationFrame);
    tiles[scene.source].show(scene);
    if (isWatched(scene.source)) tiles[scene.source].draw(view);
    tellCounts(byId("counts"), visibleInstances());
  } finally {
    line.next(); // hidden tabs draw nothing, so they ask for nothing and are sent nothing
  }
}

function onChange(isConnected) {
  view.isConnected = isConnected;
  waiting = [];
  tellReport();
}

/** Set the page up for the run that the server tells of; after a restart it may be another one. */
function begin({ model, version, min_score: minScore, sources: told }) {
  byId("model").textContent = `${model} · v${version}`;
  const floor = Math.round(100 * minScore);
  byId("score").min = floor;
  if (Number(byId("score").value) < floor) byId("score").value = floor;
  const names = (list) => list.map(({ name }) => name).join("\n");
  if (tiles.length === 0 || names(told) !== names(sources)) {
    tiles = told.map((source) => new Tile(source));
    byId("tiles").replaceChildren(...tiles.map(({ element }) => element));
    offerChoice(told);
    view.watched = null;
  }
  sources = told;
  if (view.watched !== null) line.watch(view.watched);
  readControls();
}

/** With several sources: all of them, or one. */
function offerChoice(told) {
  const options = [["All", null], ...told.map((source, n) => [shortNameOf(source), n])];
  byId("choice").hidden = told.length < 2;
  byId("choice").replaceChildren(
    ...options.map(([text, source]) => {
      const label = document.createElement("label");
      label.innerHTML = `<input type="radio" name="watched"><span></span>`;
      label.lastChild.textContent = text;
      label.title = source === null ? "All sources" : nameOf(told[source]);
      label.firstChild.checked = source === null;
      label.firstChild.addEventListener("change", () => {
        view.watched = source;
        line.watch(source);
        drawAll();
        tellReport();
      });
      return label;
    }),
  );
}

function readControls() {
  for (const layer of LAYERS) view.layers[layer] = byId(layer).checked;
  view.minScore = Number(byId("score").value) / 100;
  byId("score-value").textContent = `${byId("score").value} %`;
  drawAll();
}

function isWatched(n) {
  return view.watched === null || view.watched === n;
}

function drawAll() {
  const watched = tiles.filter((tile, n) => {
    tile.element.hidden = !isWatched(n);
    return isWatched(n);
  });
  document.querySelector(".stage").classList.toggle("single", watched.length === 1);
  for (const tile of watched) tile.draw(view);
  tellCounts(byId("counts"), visibleInstances());
}

function visibleInstances() {
  const scenes = tiles.filter((tile, n) => isWatched(n) && tile.isCurrent).map(({ scene }) => scene);
  return scenes.flatMap((scene) => (scene ? visible(scene, view.minScore) : []));
}

function tellReport() {
  const { tone, word } = describeAll(sources, view.isConnected, view.isFrozen);
  byId("connection").dataset.tone = tone;
  if (byId("connection").textContent !== word) byId("connection").textContent = word; // it is read aloud
  tiles.forEach((tile, n) => tile.tell(sources[n], view.isConnected));
  tellSources(byId("sources"), sources, view.isConnected);
  tellCounts(byId("counts"), visibleInstances());
  tellSpeed(sources.filter((_, n) => isWatched(n)));
}

function freeze() {
  view.isFrozen = !view.isFrozen;
  byId("freeze").setAttribute("aria-pressed", view.isFrozen);
  if (!view.isFrozen) waiting.splice(0).forEach(onResult);
  tellReport();
}

for (const id of [...LAYERS, "score"]) byId(id).addEventListener("input", readControls);
byId("freeze").addEventListener("click", freeze);
new ResizeObserver(() => {
  drawAll();
  tellReport();
}).observe(byId("tiles"));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isControl = event.target.matches("button, input[type=checkbox], input[type=radio]");
  if (event.key === " " && !isControl) {
    event.preventDefault();
    freeze();
  }
  document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`)?.click();
});
