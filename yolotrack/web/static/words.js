// Numbers and names as the page writes them, and small helpers for its elements.

export const $ = (id) => document.getElementById(id);

export const STATUS = {
  live: "live",
  waiting: "waiting for a worker",
  silent: "silent",
  running: "running elsewhere",
  complete: "complete",
  interrupted: "interrupted",
};

const ANSWER_WITHIN = 30000;

export const whole = new Intl.NumberFormat("en");

export const ageText = (ages) => (ages ? ages.map((age) => Math.round(age)).join(" / ") : "–");

export function clock(seconds) {
  const tenths = Math.round(10 * seconds);
  const minutes = Math.floor(tenths / 600);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function moment(milliseconds) {
  return new Date(milliseconds).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
}

export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

export function setPill(element, status) {
  element.dataset.status = status;
  setText(element, STATUS[status] ?? status);
}

export function cells(row, texts) {
  texts.forEach((text, number) => setText(row.cells[number] ?? row.insertCell(), text));
}

// A list of `[name, value, note, wide]` as the pairs of a <dl>, changed in place.
export function setFigures(list, figures) {
  while (list.children.length > figures.length) list.lastElementChild.remove();
  figures.forEach(([name, value, note = "", wide = false], number) => {
    const pair = list.children[number] ?? list.appendChild(document.createElement("div"));
    if (!pair.children.length) pair.append(...["dt", "dd", "small"].map((kind) => document.createElement(kind)));
    pair.classList.toggle("wide", wide);
    [name, value, note].forEach((text, part) => setText(pair.children[part], text));
  });
}

export async function ask(path) {
  const signal = AbortSignal.timeout(ANSWER_WITHIN);
  const answer = await fetch(path, { headers: { Accept: "application/json" }, signal }).catch(() => null);
  if (!answer) return { error: "The server does not answer." };
  return answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
}
