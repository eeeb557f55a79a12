// The live demo page. Its job is named after the # of its address, so that a reload goes on watching.

import { isWelcome, listen } from "./line.js";
import { decode, draw } from "./stage.js";
import { $, setText } from "./words.js";

const CHECK_EVERY = 2000;
const RECONNECT_AFTER = 1000;
const GONE = 4404;

let limits = null;
let refused = false;
let chosen = null;
let sending = null;
let socket = null;
let job = null;

function show(id, visible) {
  $(id).hidden = !visible;
}

function tell(id, text) {
  setText($(id), text);
  show(id, text !== "");
}

async function learn() {
  let offer;
  try {
    offer = await (await fetch("/try/offer")).json();
  } catch {
    setTimeout(learn, CHECK_EVERY);
    return;
  }
  limits = offer.limits;
  const megabytes = Math.round(limits.upload_bytes / 2 ** 20);
  $("limits").textContent =
    `At most ${megabytes} MB; of a longer video the first ${limits.video_seconds} s. ` +
    "It is deleted as soon as it is tracked.";
  refused = offer.refusal !== "";
  tell("refusal", refused ? `Videos cannot be tracked here: ${offer.refusal}` : "");
  $("file").disabled = refused;
  choose(chosen);
  if (!offer.checked) setTimeout(learn, CHECK_EVERY);
}

function choose(file) {
  chosen = file;
  const large = file !== null && limits !== null && file.size > limits.upload_bytes;
  setText($("file-name"), file ? file.name : "Choose a video, or drop one here");
  $("upload").disabled = file === null || large || refused;
  if (!refused) tell("refusal", large ? "This video is too large." : "");
}

function post(address, body) {
  return new Promise((resolve, reject) => {
    sending = new XMLHttpRequest();
    sending.open("POST", address);
    sending.responseType = "json";
    sending.upload.onprogress = (event) => {
      if (event.lengthComputable) uploading(event.loaded / event.total);
    };
    sending.onload = () => {
      if (sending.status === 201) resolve(sending.response.job);
      else reject(new Error(sending.response?.error ?? `The server answered ${sending.status}.`));
    };
    sending.onerror = () => reject(new Error("The connection broke off. Try again."));
    sending.onabort = () => reject(new Error("Cancelled."));
    sending.send(body);
  });
}

function uploading(share) {
  setText($("state"), share < 1 ? `Uploading: ${Math.floor(100 * share)} %` : "Uploaded");
  $("progress").value = share;
}

async function start(address, body = null) {
  open_stage();
  setText($("state"), "Starting");
  try {
    job = await post(address, body);
  } catch (error) {
    leave();
    tell("failure", error.message);
    return;
  }
  history.replaceState(null, "", `#${job}`);
  watch();
}

function open_stage() {
  tell("failure", "");
  tell("note", "");
  show("choose", false);
  show("job", true);
  show("results", false);
  show("again", false);
  show("cancel", true);
  show("video", false);
  show("picture", true);
  $("picture").getContext("2d").clearRect(0, 0, $("picture").width, $("picture").height);
  $("progress").removeAttribute("value");
  for (const figure of ["frames", "fps", "objects", "tracks"]) setText($(figure), "–");
}

function leave() {
  socket?.close();
  job = null;
  history.replaceState(null, "", location.pathname);
  $("video").removeAttribute("src");
  show("job", false);
  show("choose", true);
}

function watch() {
  const watched = job;
  let ended = false;
  const heard = async (data, target) => {
    const bytes = new Uint8Array(data);
    const end = bytes.indexOf(10);
    const status = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
    if (end + 1 < bytes.length) await show_picture(bytes.subarray(end + 1));
    if (target !== socket || job !== watched) return;
    ended = present(status);
    if (target.readyState === WebSocket.OPEN) target.send("drawn");
  };
  const lost = async ({ code }) => {
    if (ended || job !== watched) return;
    if (code === GONE) {
      leave();
      tell("failure", "There is no such job, or its time is over.");
    } else {
      setText($("state"), "The connection is lost; trying again");
      if (await isWelcome()) setTimeout(() => job === watched && watch(), RECONNECT_AFTER);
    }
  };
  socket = listen(`/try/jobs/${watched}`, { heard, lost });
}

async function show_picture(jpeg) {
  const bitmap = await decode(jpeg);
  draw($("picture"), bitmap);
  bitmap.close();
}

function sentence(status) {
  switch (status.state) {
    case "waiting":
      return status.ahead === 0 ? "Your turn comes now" : `Waiting: ${status.ahead} ahead of yours`;
    case "running":
      return status.frames === 0 ? "Getting the model ready" : "Tracking";
    case "done":
      return "Done";
    case "failed":
      return "This did not work";
    default:
      return "Cancelled";
  }
}

function present(status) {
  setText($("state"), sentence(status));
  if (status.frames > 0) {
    setText($("frames"), status.expected ? `${status.frames} of ${status.expected}` : status.frames);
    setText($("fps"), status.fps.toFixed(1));
    setText($("objects"), status.objects);
    setText($("tracks"), status.tracks);
  }
  if (status.expected && status.frames > 0) $("progress").value = Math.min(1, status.frames / status.expected);
  else $("progress").removeAttribute("value");
  if (status.state === "done") done(status);
  else if (status.state === "failed" || status.state === "cancelled") failed(status);
  else return false;
  return true;
}

function done(status) {
  const left = `The results can be had for ${Math.round((limits?.kept_seconds ?? 1800) / 60)} minutes.`;
  tell("note", status.message ? `Note: ${status.message}. ${left}` : left);
  $("progress").value = 1;
  $("get-video").href = `/try/jobs/${job}/annotated.mp4`;
  $("get-table").href = `/try/jobs/${job}/tracks.csv`;
  const video = $("video");
  video.src = $("get-video").href;
  video.autoplay = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  show("picture", false);
  show("video", true);
  show("results", true);
  show("cancel", false);
  show("again", true);
}

function failed(status) {
  const why = status.state === "cancelled" ? "Cancelled; nothing was kept." : `This did not work: ${status.message}.`;
  leave();
  tell("failure", why);
}

function cancel() {
  if (job === null) sending?.abort();
  else fetch(`/try/jobs/${job}`, { method: "DELETE" });
}

$("file").addEventListener("change", () => choose($("file").files[0] ?? null));
$("upload-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (chosen !== null) start("/try/jobs", chosen);
});
$("street-form").addEventListener("submit", (event) => {
  event.preventDefault();
  start(`/try/jobs?seed=${Number($("seed").value)}`);
});
$("drop").addEventListener("dragover", (event) => event.preventDefault());
$("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  if (!refused && event.dataTransfer.files.length > 0) choose(event.dataTransfer.files[0]);
});
$("cancel").addEventListener("click", cancel);
$("again").addEventListener("click", leave);

learn();
if (location.hash.length > 1) {
  job = location.hash.slice(1);
  open_stage();
  watch();
}
