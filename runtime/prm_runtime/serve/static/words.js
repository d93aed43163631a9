// States in plain words.

const WORDS = { opening: "Opening", running: "Live", stalled: "Stalled", retrying: "Reconnecting" };
const NOTICES = {
  stalled: "No new picture is coming.",
  retrying: "The source was lost; trying to reach it again.",
};

/** How a source is shown: `tone` chooses its colour, `notice` lies over its picture (null for none). */
export function describe(source, isConnected) {
  if (!isConnected) return { tone: "waiting", word: "Unknown", notice: "The server does not answer." };
  if (source.condition === "finished") return { tone: "finished", word: "Finished", notice: null };
  if (source.condition === "dead") return { tone: "dead", word: "Dead", notice: errorOf(source) };
  const word = WORDS[source.state];
  if (source.condition === "waiting") return { tone: "waiting", word, notice: errorOf(source) ?? NOTICES[source.state] };
  if (!source.results) return { tone: "alive", word: "Starting", notice: "The first picture is on its way." };
  return { tone: "alive", word, notice: null };
}

/** What a source is called; a number is a camera's. */
export function nameOf(source) {
  return /^\d+$/.test(source.name) ? `Camera ${source.name}` : source.name;
}

/** The same for narrow places. */
export function shortNameOf(source) {
  return nameOf(source).replace(/^\w+:\/\//, "");
}

/** What is wrong with a source; it stands beside its name, so it need not begin with it. */
export function errorOf(source) {
  const prefix = `${source.name}: `;
  return source.error?.startsWith(prefix) ? source.error.slice(prefix.length) : source.error;
}

/** Milliseconds for people. */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

/** What the whole page is doing, for the top of it. */
export function describeAll(sources, isConnected, isFrozen) {
  if (!isConnected) return { tone: "dead", word: "No answer" };
  if (isFrozen) return { tone: "waiting", word: "Frozen" };
  const all = (condition) => sources.every((source) => source.condition === condition);
  if (sources.some((source) => source.condition === "alive")) return { tone: "alive", word: "Live" };
  if (all("dead")) return { tone: "dead", word: "All sources dead" };
  if (sources.some((source) => source.condition === "waiting")) return { tone: "waiting", word: "No picture" };
  return { tone: "finished", word: "Finished" };
}
