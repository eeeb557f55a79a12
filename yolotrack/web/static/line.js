// A WebSocket to this server, which says something every other second: one that falls silent is lost, as on a phone that
// left its network, though nobody says so.

const SILENT = 10000;
const CHECK_EVERY = 1000;
const ANSWER_WITHIN = 5000;

// `heard` gets what comes, and the socket; `lost`, once, how it ended: its code is 0 where it fell silent.
export function listen(path, { opened = () => {}, heard, lost }) {
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}${path}`);
  let heardAt = performance.now();
  const end = ({ code, reason }) => {
    clearInterval(timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    lost({ code, reason });
  };
  const check = () => performance.now() - heardAt > SILENT && end({ code: 0, reason: "" });
  const timer = setInterval(check, CHECK_EVERY);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => opened(socket);
  socket.onclose = end;
  socket.onmessage = ({ data }) => {
    heardAt = performance.now();
    heard(data, socket);
  };
  return socket;
}

// Whether it makes sense to try again. A server that began anew asks for the token, as the page does then.
export async function isWelcome() {
  const signal = AbortSignal.timeout(ANSWER_WITHIN);
  const asked = fetch(location.pathname, { method: "HEAD", headers: { Accept: "text/html" }, signal });
  const refused = (await asked.catch(() => null))?.status === 401;
  if (refused) location.reload();
  return !refused;
}
