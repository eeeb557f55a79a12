// The page that shows streams: the grid, which stream is open, how pictures are drawn, the keys.

import { Detail, note } from "./detail.js";
import { Live } from "./live.js";
import { Ages, draw } from "./stage.js";
import { $, ageText, setPill, setText } from "./words.js";

const MOST_STREAMS = 100;
const live = new Live();
const tiles = new Map(); // stream -> {element, ages, visible, drawn}
const style = { labels: true, traces: true, classes: new Set() };
const classes = new Set();
let streams = [];
let detail = null;
let paused = false;
let left = null; // the stream that Escape came from

const route = () => {
  const [name, track] = location.hash.slice(1).split("/");
  return { name: name || null, track: /^\d+$/.test(track ?? "") ? Number(track) : null };
};

const go = (name, track = null) => {
  location.hash = name ? (track === null ? name : `${name}/${track}`) : "";
};

// what is looked at

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) tiles.get(target.dataset.stream).visible = isIntersecting;
  look();
});

function look() {
  const { name } = route();
  const shown = [...tiles].filter(([, tile]) => tile.visible).map(([stream]) => stream);
  const wanted = document.hidden || paused ? [] : name ? [name] : shown.slice(0, MOST_STREAMS);
  const tile = tiles.values().next().value?.element;
  const width = name ? detail?.width : Math.round((tile?.clientWidth ?? 0) * (window.devicePixelRatio || 1));
  live.look({
    streams: wanted,
    width: Math.max(width || 1, 1),
    labels: style.labels,
    traces: style.traces,
    classes: [...style.classes].sort(),
  });
}

// the grid

function newTile(stream) {
  const element = $("tile").content.firstElementChild.cloneNode(true);
  element.dataset.stream = stream;
  element.href = `#${stream}`;
  element.querySelector("canvas").setAttribute("aria-label", `Newest picture of ${stream}`);
  setText(element.querySelector(".tile-name"), stream);
  watcher.observe(element);
  const tile = { element, ages: new Ages(), visible: false, drawn: false };
  tiles.set(stream, tile);
  return tile;
}

function fillTile(status, place) {
  const { element, ages, drawn } = tiles.get(status.stream) ?? newTile(status.stream);
  const grid = $("grid");
  if (grid.children[place] !== element) grid.insertBefore(element, grid.children[place] ?? null);
  const set = (name, text) => setText(element.querySelector(`.${name}`), text);
  setPill(element.querySelector(".pill"), status.status);
  const alive = status.status === "live";
  set("fps", alive ? status.fps.toFixed(1) : "–");
  set("objects", alive ? status.objects : "–");
  set("age", ageText(alive && (ages.percentiles() ?? status.ages?.map((age) => 1000 * age))));
  set("dropped", status.dropped);
  set("failed", status.failed);
  set("stage-note", drawn ? "" : note(status));
  element.querySelector(".lost").toggleAttribute("data-some", status.dropped + status.failed > 0);
}

function fillGrid() {
  const names = new Set(streams.map(({ stream }) => stream));
  for (const [stream, { element }] of tiles) {
    if (names.has(stream)) continue;
    watcher.unobserve(element);
    element.remove();
    tiles.delete(stream);
  }
  streams.forEach(fillTile);
  $("empty").hidden = streams.length > 0 || Boolean(route().name);
}

function fillSummary() {
  const count = streams.filter(({ status }) => status === "live").length;
  setText($("summary"), `${count} live of ${streams.length} ${streams.length === 1 ? "stream" : "streams"}`);
}

// which stream is open

function turn() {
  const { name, track } = route();
  const turned = detail?.name !== name;
  $("grid").hidden = Boolean(name);
  $("stream").hidden = !name;
  $("empty").hidden = Boolean(name) || streams.length > 0;
  document.title = name ? `${name} - yolotrack` : "yolotrack";
  if (turned) setPaused(false);
  if (turned && name) {
    detail?.open(name);
    window.scrollTo(0, 0);
  }
  if (!name && detail) detail.name = null;
  if (!name && left) tiles.get(left)?.element.focus();
  left = null;
  if (name) update();
  if (name) detail?.choose(track);
  look();
}

function update() {
  const { name } = route();
  const status = streams.find(({ stream }) => stream === name);
  if (status) detail?.update(status);
  else if (name) setText($("stage-note"), `There is no stream ${name} yet.`);
}

function step(by) {
  const names = streams.map(({ stream }) => stream);
  const { name } = route();
  const place = name === null && by < 0 ? 0 : names.indexOf(name);
  if (names.length) go(names[(place + by + names.length) % names.length]);
}

function setPaused(now) {
  paused = now;
  $("paused").hidden = !now;
  look();
}

// how pictures are drawn

function toggle(what) {
  style[what] = !style[what];
  $(what).setAttribute("aria-pressed", style[what]);
  look();
}

function noteClasses(tracks) {
  const added = tracks.map(([, name]) => name).filter((name) => !classes.has(name));
  for (const name of added) classes.add(name);
  if (added.length) fillClasses();
}

function fillClasses() {
  const choice = (name) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = style.classes.has(name);
    box.value = name;
    box.onchange = () => {
      style.classes[box.checked ? "add" : "delete"](name);
      tellClasses();
      look();
    };
    label.append(box, name);
    return label;
  };
  $("classes-list").replaceChildren(...[...classes].sort().map(choice));
  tellClasses();
}

function tellClasses() {
  const chosen = style.classes.size;
  $("classes").toggleAttribute("data-chosen", chosen > 0);
  setText($("classes-chosen"), chosen ? `(${chosen})` : "");
}

function setTheme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  root.dataset.theme = (root.dataset.theme ?? system) === "light" ? "dark" : "light";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {} // it may keep nothing
}

function restoreTheme() {
  try {
    const theme = localStorage.getItem("theme");
    if (theme) document.documentElement.dataset.theme = theme;
  } catch {}
}

// keys

const KEYS = {
  l: () => toggle("labels"),
  t: () => toggle("traces"),
  c: () => ($("classes").open = !$("classes").open),
  d: setTheme,
  n: () => step(1),
  p: () => step(-1),
  "?": () => $("help").showModal(),
  " ": () => route().name && setPaused(!paused),
  Escape: back,
};

function back() {
  const { name, track } = route();
  if ($("classes").open) $("classes").open = false;
  else if (track !== null) go(name);
  else if (name) {
    left = name;
    go(null);
  }
}

function key(event) {
  const typing = event.target.closest("input, button, summary") && [" ", "Enter"].includes(event.key);
  if (event.ctrlKey || event.metaKey || event.altKey || typing || $("help").open) return;
  const act = KEYS[event.key];
  if (!act || (event.key === " " && !route().name)) return;
  event.preventDefault();
  act();
}

// what the server says

function tell(...lines) {
  const told = lines.filter(([text]) => text);
  while ($("problems").children.length > told.length) $("problems").lastElementChild.remove();
  told.forEach(([text, kind], number) => {
    const line = $("problems").children[number] ?? $("problems").appendChild(document.createElement("p"));
    line.className = kind;
    setText(line, text);
  });
}

live.addEventListener("hello", ({ detail: hello }) => {
  if (detail) return; // it came back
  Object.assign(style, { labels: hello.labels, traces: hello.traces });
  for (const what of ["labels", "traces"]) $(what).setAttribute("aria-pressed", style[what]);
  detail = new Detail(hello.palette, (track) => go(route().name, track));
  turn();
});

live.addEventListener("streams", ({ detail: heard }) => {
  streams = heard.streams;
  fillGrid();
  fillSummary();
  if (detail) detail.noHistory = heard.no_history;
  tell(
    [heard.broker_away && "The broker does not answer. Waiting for it.", "problem"],
    [heard.no_history && `No history: ${heard.no_history}`, "note"],
  );
  update();
  look();
});

live.addEventListener("picture", ({ detail: { header, bitmap } }) => {
  const tile = tiles.get(header.stream);
  const open = detail?.name === header.stream;
  if (open && !paused) detail.show(header, bitmap);
  else if (tile && !route().name) {
    draw(tile.element.querySelector("canvas"), bitmap);
    tile.drawn = true;
    setText(tile.element.querySelector(".stage-note"), "");
  }
  const alive = streams.some(({ stream, status }) => stream === header.stream && status === "live");
  if (alive) (open ? detail : tile)?.ages.add(live.age(header.captured_at)); // others show their last picture again
  noteClasses(header.tracks);
});

live.addEventListener("lost", ({ detail: reason }) => {
  setText($("summary"), "not connected");
  const text = reason ? `The server says: ${reason}.` : "The connection to yolotrack is lost. Trying again.";
  tell([text, "problem"]);
});

for (const what of ["labels", "traces"]) $(what).onclick = () => toggle(what);
$("theme").onclick = setTheme;
$("help-button").onclick = KEYS["?"];
document.addEventListener("keydown", key);
document.addEventListener("click", (event) => {
  if (!event.target.closest("#classes")) $("classes").open = false;
});
document.addEventListener("visibilitychange", look);
window.addEventListener("hashchange", turn);
window.addEventListener("resize", look);
restoreTheme();
tellClasses();
live.connect();
turn();
