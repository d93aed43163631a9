// The line to the server: opens it, opens it again when it breaks, and takes messages apart.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;

/** Call `on.text(message)`, `on.result(result)` and `on.change(isOpen)` for what happens on the line. */
export function connect(on) {
  let socket = null;
  let delay = FIRST_DELAY_MS;

  const open = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/watch`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      delay = FIRST_DELAY_MS;
      if (typeof data === "string") on.text(JSON.parse(data));
      else on.result(takeApart(data));
    };
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      on.change(true);
    };
    socket.onclose = async () => {
      on.change(false);
      if (!wasOpen && (await isTokenMissing())) location.reload(); // to the form that asks for it
      setTimeout(open, delay);
      delay = Math.min(2 * delay, LONGEST_DELAY_MS);
    };
  };
  const send = (message) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };

  open();
  return {
    next: () => send({ type: "next" }),
    watch: (source) => send({ type: "watch", source }),
  };
}

/** Whether the server is there but does not let us in, as after a restart with another token. */
async function isTokenMissing() {
  try {
    return (await fetch("/", { method: "HEAD" })).status === 401;
  } catch {
    return false;
  }
}

/** A binary message: the header's length (uint32, little-endian), the header as JSON, then its parts. */
function takeApart(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let start = 4 + length;
  const [picture, prms, classMaps] = header.parts.map((size) => {
    const part = new Uint8Array(buffer, start, size);
    start += size;
    return part;
  });
  return { header, picture, prms, classMaps };
}
