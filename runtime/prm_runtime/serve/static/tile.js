// One source on the page: its picture, its name, its state.

import { compose } from "./compose.js";
import { describe, duration, nameOf, shortNameOf } from "./words.js";

export class Tile {
  constructor(source) {
    this.scene = null;
    this.element = document.createElement("figure");
    this.element.className = "tile";
    this.element.innerHTML = `
      <div class="screen"><canvas role="img"></canvas><p class="notice" hidden><strong></strong><span></span></p></div>
      <figcaption><span class="name"></span><span class="rate"></span><span class="pill"></span></figcaption>`;
    this.canvas = this.element.querySelector("canvas");
    const name = nameOf(source);
    this.part("name").textContent = shortNameOf(source);
    this.part("name").title = name;
    this.canvas.setAttribute("aria-label", `Picture of ${name}`);
  }

  part(name) {
    return this.element.querySelector(`.${name}`);
  }

  /** Show what the server says about the source. `isConnected`: whether it still says anything. */
  tell(source, isConnected) {
    const { tone, word, notice } = describe(source, isConnected);
    const [fps, latency] = source.history.at(-1) ?? [0, null];
    this.element.dataset.tone = tone;
    this.part("pill").dataset.tone = tone;
    this.part("pill").textContent = word;
    this.part("rate").textContent =
      tone === "alive" && latency !== null ? `${fps.toFixed(1)} fps · ${duration(1000 * latency)}` : "";
    this.part("notice").hidden = notice === null;
    this.part("notice").firstChild.textContent = word;
    this.part("notice").lastChild.textContent = notice ?? "";
  }

  /** Whether its picture is what the source shows, not what it showed before it was lost. */
  get isCurrent() {
    return ["alive", "finished"].includes(this.element.dataset.tone);
  }

  /** Show a scene of scene.js. */
  show(scene) {
    this.scene?.photo.close();
    this.scene = scene;
    this.element.dataset.sequence = scene.sequence;
  }

  draw(view) {
    if (this.scene && !this.element.hidden) compose(this.canvas, this.scene, view);
  }
}
