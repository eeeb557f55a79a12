// One stream, large: its picture, its tracks, one track's path and history, its runs.

import { Ages, draw, drawPath, trackAt } from "./stage.js";
import { $, STATUS, ageText, ask, cells, clock, moment, setFigures, setPill, setText, whole } from "./words.js";

const TABLE_EVERY = 200;
const HISTORY_EVERY = 2000;
const HISTORIC = ["complete", "interrupted", "running"]; // no picture will come
const MOST_SEEN = 100;
const LONGEST_PATH = 1000; // points; of what is older the database knows

export class Detail {
  name = null;
  ages = new Ages();
  noHistory = ""; // why the database cannot be asked
  #palette;
  #choose;
  #status = null;
  #header = null;
  #chosen = null;
  #all = false;
  #seen = new Map(); // id -> {first, path}, of the run that is shown
  #stored = null; // what the database says of the chosen track
  #focusLostAt = -1;
  #tableAt = 0;
  #historyAt = -Infinity; // when it was told last
  #asking = 0;

  // `choose` is told the id of a track that was chosen, or null.
  constructor(palette, choose) {
    this.#palette = palette;
    this.#choose = choose;
    $("stage").onclick = (event) => this.#click(event);
    $("track-close").onclick = () => choose(null);
    $("tracks-now").onclick = () => this.#setAll(false);
    $("tracks-all").onclick = () => this.#setAll(true);
    $("runs").ontoggle = () => this.#listRuns();
    $("tracks").onclick = (event) => this.#pick(event.target.closest("tr[data-track]"));
    $("tracks").onkeydown = (event) => this.#keyInTable(event);
    new ResizeObserver(() => this.#drawPath()).observe($("stage"));
  }

  open(name) {
    this.name = name;
    this.ages = new Ages();
    this.#status = this.#header = this.#chosen = null;
    this.#runChanged();
    setText($("name"), name);
    $("picture").setAttribute("aria-label", `Newest picture of ${name}`);
    $("picture").getContext("2d").clearRect(0, 0, $("picture").width, $("picture").height);
    $("runs").open = false;
    this.#setAll(false);
  }

  get width() {
    return Math.round($("stage").clientWidth * (window.devicePixelRatio || 1));
  }

  choose(track) {
    if (track === this.#chosen) return;
    this.#chosen = track;
    this.#stored = null;
    this.#historyAt = -Infinity;
    this.#ask();
    this.#fillTrack();
    this.#fillTable();
    this.#drawPath();
  }

  update(status) {
    if (this.#status && this.#status.run_id !== status.run_id) this.#runChanged();
    if (!this.#status && HISTORIC.includes(status.status)) this.#setAll(true);
    this.#status = status;
    setPill($("status"), status.status);
    setText($("stage-note"), this.#header ? "" : note(status));
    if (!this.#header && status.width) this.#setSize(status);
    this.#fillFigures();
    if (!this.#asking && performance.now() - this.#historyAt > HISTORY_EVERY) this.#ask();
  }

  show(header, bitmap) {
    if (this.#header && this.#header.run_id !== header.run_id) this.#runChanged();
    this.#header = header;
    draw($("picture"), bitmap);
    setText($("stage-note"), "");
    this.#remember(header);
    this.#drawPath();
    if (performance.now() - this.#tableAt > TABLE_EVERY) {
      this.#fillTable();
      this.#fillTrack();
    }
  }

  get #live() {
    return ["live", "waiting"].includes(this.#status?.status);
  }

  #runChanged() {
    this.#header = null;
    this.#seen.clear();
    this.#stored = null;
    $("tracks").tBodies[0].replaceChildren();
    if (this.#chosen !== null) this.#choose(null);
  }

  #setSize({ width, height }) {
    const canvas = $("picture");
    if (canvas.width * height === canvas.height * width) return;
    canvas.width = 960;
    canvas.height = Math.round((960 * height) / width);
  }

  #remember({ tracks, frame, media_time: time }) {
    for (const [id, name, , [x1, y1, x2, y2]] of tracks) {
      const seen = this.#seen.get(id) ?? { first: time, path: [] };
      this.#seen.delete(id); // so that the one seen longest ago comes first
      this.#seen.set(id, Object.assign(seen, { name, last: time }));
      seen.path.push([frame, time, (x1 + x2) / 2, (y1 + y2) / 2]);
      if (seen.path.length > LONGEST_PATH) seen.path.shift();
    }
    const most = Math.max(MOST_SEEN, tracks.length);
    while (this.#seen.size > most) this.#seen.delete(this.#seen.keys().next().value);
  }

  #color(id) {
    return this.#palette[id % this.#palette.length];
  }

  // the figures under the picture

  #fillFigures() {
    const status = this.#status;
    const ofRun = status.counted === "run";
    const lasting = ofRun ? "in this run" : "since you look";
    const [objects, named] = this.#objects();
    const figures = [
      ["fps", this.#live ? status.fps.toFixed(1) : "–", status.rate ? `of ${Number(status.rate.toFixed(2))}` : ""],
      ["objects", objects, named],
      ["age on this screen", ageText(this.ages.percentiles()), "ms: p50 / p95 / p99"],
      ["age when tracked", ageText(status.ages?.map((age) => 1000 * age)), "ms: p50 / p95 / p99"],
      ["dropped", whole.format(status.dropped), lasting],
      ["failed", whole.format(status.failed), lasting],
    ];
    if (ofRun) {
      figures.push(["tracked", whole.format(status.tracked), `of ${whole.format(status.published)} frames`]);
      figures.push(["tracks", whole.format(status.tracks), lasting]);
    }
    figures.push(["run", `${status.run_id}, ${status.mode}, began ${moment(status.started_at)}, from ${status.source}`, "", true]);
    setFigures($("figures"), figures);
  }

  #objects() {
    if (!this.#live) return ["–", ""];
    const names = new Map();
    for (const [, name] of this.#header?.tracks ?? []) names.set(name, (names.get(name) ?? 0) + 1);
    const told = [...names].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${count} ${name}`);
    return [this.#header?.tracks.length ?? this.#status.objects, told.join(", ")];
  }

  // the table of tracks

  #setAll(all) {
    this.#all = all;
    $("tracks-now").setAttribute("aria-pressed", !all);
    $("tracks-all").setAttribute("aria-pressed", all);
    $("tracks").tBodies[0].replaceChildren();
    $("tracks-note").hidden = true;
    $("tracks").tHead.rows[0].cells[3].textContent = all ? "seen at" : "seen";
    setText($("count"), "");
    this.#historyAt = -Infinity;
    if (this.#status) this.#ask();
    this.#fillTable();
  }

  #fillTable() {
    this.#tableAt = performance.now();
    if (this.#all) return this.#mark();
    const tracks = [...(this.#header?.tracks ?? [])].sort(([a], [b]) => a - b);
    this.#fillRows(
      tracks.map(([id, name, confidence]) => {
        const seen = this.#seen.get(id);
        return [id, name, confidence.toFixed(2), `${(seen.last - seen.first).toFixed(1)} s`];
      }),
    );
    setText($("count"), this.#header ? tracks.length : "");
  }

  #fillRows(rows) {
    const body = $("tracks").tBodies[0];
    const wanted = new Set(rows.map(([id]) => id));
    const focused = [...body.rows].indexOf(document.activeElement);
    const there = new Map([...body.rows].map((row) => [Number(row.dataset.track), row]));
    for (const [id, row] of there) if (!wanted.has(id)) row.remove(); // first: a row that is moved loses the focus
    rows.forEach(([id, ...texts], number) => {
      const row = there.get(id) ?? this.#newRow(id);
      if (body.rows[number] !== row) body.insertBefore(row, body.rows[number] ?? null);
      texts.forEach((text, column) => setText(row.cells[column + 1], text));
    });
    this.#keepFocus(body, focused);
    this.#mark();
  }

  // Where the row that had the focus left, the one in its place has it, once there is one.
  #keepFocus(body, focused) {
    if (document.activeElement !== document.body) this.#focusLostAt = -1;
    else if (focused >= 0) this.#focusLostAt = focused;
    if (this.#focusLostAt < 0 || !body.rows.length) return;
    body.rows[Math.min(this.#focusLostAt, body.rows.length - 1)].focus({ preventScroll: true });
    this.#focusLostAt = -1;
  }

  #newRow(id) {
    const row = document.createElement("tr");
    row.dataset.track = id;
    row.tabIndex = 0;
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = this.#color(id);
    row.insertCell().append(swatch, `#${id}`);
    for (const kind of ["", "number", "number"]) row.insertCell().className = kind;
    return row;
  }

  #mark() {
    for (const row of $("tracks").tBodies[0].rows)
      row.setAttribute("aria-selected", Number(row.dataset.track) === this.#chosen);
  }

  #pick(row) {
    if (row) this.#choose(Number(row.dataset.track));
  }

  #keyInTable(event) {
    const row = event.target.closest("tr[data-track]");
    const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
    if (event.key === "Enter") this.#pick(row);
    else if (next) next.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #click({ clientX, clientY }) {
    if (!this.#header) return;
    const place = $("picture").getBoundingClientRect();
    const [width, height] = this.#size();
    const x = ((clientX - place.left) / place.width) * width;
    const y = ((clientY - place.top) / place.height) * height;
    this.#choose(trackAt(this.#header.tracks, x, y));
  }

  #size() {
    return [this.#status?.width || 1, this.#status?.height || 1];
  }

  // the chosen track

  #fillTrack() {
    const id = this.#chosen;
    $("track").hidden = id === null;
    if (id === null) return;
    const seen = this.#seen.get(id);
    const stored = this.#stored?.summary;
    setText($("track-name"), `#${id} ${stored?.class_name ?? seen?.name ?? ""}`);
    $("track-swatch").style.background = this.#color(id);
    const figures = stored
      ? [
          ["first seen", clock(stored.first_time)],
          ["last seen", clock(stored.last_time)],
          ["frames", whole.format(stored.observations)],
          ["confidence", stored.mean_confidence.toFixed(2)],
          ["way", `${whole.format(Math.round(stored.path_length))} px`],
          ["lasted", `${(stored.last_time - stored.first_time).toFixed(1)} s`],
        ]
      : [["first seen here", seen ? clock(seen.first) : "–"], ["last seen", seen ? clock(seen.last) : "–"]];
    setFigures($("track-figures"), figures);
    setText($("track-note"), this.#stored?.error ? `Only what this page saw: ${this.#stored.error}` : "");
    $("track-rows").hidden = !this.#stored?.rows?.length;
  }

  #path() {
    const stored = this.#stored?.path ?? [];
    const last = stored.at(-1)?.[0] ?? -1;
    return [...stored, ...(this.#seen.get(this.#chosen)?.path ?? []).filter(([frame]) => frame > last)];
  }

  #drawPath() {
    const chosen = this.#chosen;
    const path = chosen === null ? [] : this.#path();
    const now = this.#header?.tracks.find(([id]) => id === chosen);
    $("path").dataset.points = path.length;
    drawPath($("path"), this.#size(), path, now?.[3], chosen === null ? "" : this.#color(chosen));
  }

  // what the database knows

  async #ask() {
    const run = this.#status?.run_id;
    if (!run) return;
    this.#asking += 1;
    try {
      await Promise.all([this.#askTrack(run, this.#chosen), this.#askTracks(run)]);
    } finally {
      this.#asking -= 1;
      this.#historyAt = performance.now();
    }
  }

  async #known(path) {
    return this.noHistory ? { error: this.noHistory } : ask(path);
  }

  async #askTrack(run, track) {
    if (track === null || (this.#stored?.path && !this.#live)) return;
    const stored = await this.#known(`/api/runs/${run}/tracks/${track}`);
    if (track !== this.#chosen || run !== this.#status?.run_id) return;
    if (!stored.error || !this.#stored?.path) this.#stored = stored;
    const rows = (stored.rows ?? []).map((row) => [
      row.frame,
      clock(row.media_time),
      row.confidence.toFixed(2),
      row.box.map(Math.round).join(", "),
    ]);
    fill($("track-rows").querySelector("tbody"), rows);
    this.#fillTrack();
    this.#drawPath();
  }

  async #askTracks(run) {
    if (!this.#all) return;
    const { tracks = [], count, error } = await this.#known(`/api/runs/${run}/tracks`);
    if (!this.#all || run !== this.#status?.run_id) return;
    this.#fillRows(tracks.map((t) => [t.track_id, t.class_name, t.mean_confidence.toFixed(2), clock(t.first_time)]));
    setText($("count"), count ? whole.format(count) : "");
    $("tracks-note").hidden = !error && tracks.length === (count ?? 0);
    setText($("tracks-note"), error ?? `The newest ${tracks.length} of ${whole.format(count)}.`);
  }

  async #listRuns() {
    if (!$("runs").open) return;
    const { runs = [], error } = await this.#known(`/api/streams/${this.name}/runs`);
    $("runs-note").hidden = !error && runs.length > 0;
    setText($("runs-note"), error ?? "The database holds none.");
    const rows = runs.map((run) => [
      moment(run.started_at),
      STATUS[run.status] ?? run.status,
      whole.format(run.published),
      whole.format(run.tracks),
      whole.format(run.dropped + run.failed),
    ]);
    fill($("runs").querySelector("tbody"), rows);
  }
}

export function note(status) {
  if (status.status === "waiting") return "Frames come in. Waiting for a worker to track them.";
  if (status.status === "running") return "It runs without this broker: no pictures, only its history.";
  if (status.status === "live") return "Waiting for the next picture.";
  return "No picture of this run is left to show.";
}

function fill(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((texts, number) => cells(body.rows[number] ?? body.insertRow(), texts));
}
