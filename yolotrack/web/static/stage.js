// Pictures on canvases, paths over them, and how old pictures were when they came.

const NEWEST = 250;
const STALE = 10000;

export function decode(jpeg) {
  return createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
}

export function draw(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

export class Ages {
  #ages = [];

  add(age) {
    this.#ages.push([performance.now(), age]);
    if (this.#ages.length > NEWEST) this.#ages.shift();
  }

  // p50, p95 and p99 in ms of the newest pictures; null where none came lately.
  percentiles() {
    const since = performance.now() - STALE;
    const ages = this.#ages.filter(([at]) => at > since).map(([, age]) => age);
    if (!ages.length) return null;
    ages.sort((a, b) => a - b);
    return [50, 95, 99].map((percent) => ages[Math.min(Math.floor((ages.length * percent) / 100), ages.length - 1)]);
  }
}

// Which of the tracks `[id, class, confidence, box]` is at a point: the smallest box around it.
export function trackAt(tracks, x, y) {
  const area = ([, , , [x1, y1, x2, y2]]) => (x2 - x1) * (y2 - y1);
  const around = tracks.filter(([, , , [x1, y1, x2, y2]]) => x >= x1 && x <= x2 && y >= y1 && y <= y2);
  return around.sort((a, b) => area(a) - area(b))[0]?.[0] ?? null;
}

// The path `[[frame, seconds, x, y], ...]` of a track, oldest first, in a picture of `size`; `box` is where it is now.
export function drawPath(canvas, size, path, box, color) {
  canvas.hidden = !path.length; // an empty canvas over the picture costs as much as a full one
  if (canvas.hidden) return;
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const place = ([, , x, y]) => [(x * width) / size[0], (y * height) / size[1]];
  const points = path.map(place);
  context.lineJoin = context.lineCap = "round";
  stroke(context, points, 6 * scale, "rgb(0 0 0 / 65%)");
  stroke(context, points, 3 * scale, color);
  dot(context, points[0], 5 * scale, "#fff", color);
  dot(context, points.at(-1), 6 * scale, color, "#fff");
  if (box) frame(context, box, [width / size[0], height / size[1]], scale);
}

function stroke(context, points, width, color) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.lineWidth = width;
  context.strokeStyle = color;
  context.stroke();
}

function dot(context, [x, y], radius, fill, line) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
  context.lineWidth = radius / 3;
  context.strokeStyle = line;
  context.stroke();
}

function frame(context, [x1, y1, x2, y2], [across, down], scale) {
  context.setLineDash([6 * scale, 4 * scale]);
  context.lineWidth = 2 * scale;
  context.strokeStyle = "#fff";
  context.strokeRect(x1 * across, y1 * down, (x2 - x1) * across, (y2 - y1) * down);
  context.setLineDash([]);
}
