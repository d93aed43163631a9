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
  if (source.condition === "dead") return { tone: "dead", word: "Dead", notice: source.error };
  const word = WORDS[source.state];
  if (source.condition === "waiting") return { tone: "waiting", word, notice: source.error ?? NOTICES[source.state] };
  return { tone: "alive", word, notice: source.results ? null : "The first picture is on its way." };
}

/** What a source is called; a number is a camera's. */
export function nameOf(source) {
  return /^\d+$/.test(source.name) ? `Camera ${source.name}` : source.name;
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
