// The pictures: what is drawn for a step. Nothing here knows of time, of people or of the page.
const DASHES = [[], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4], [12, 4], [1, 3]];
const LINE = 14, RISE = 12, NARROW = 480; // pixels between two lines of labels; of the sign of an outlier; of a phone

// Room around a picture, in pixels; a larger letter needs more.
const room = (ink) => ({ l: 3.4 * ink.size, r: 13 * ink.size, t: 1.8 * ink.size, b: 2.7 * ink.size });

function inked(canvas, ink) { // an empty canvas with the page's letters, or null where there is none
  const g = canvas.getContext?.("2d");
  if (!g) return null;
  g.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  Object.assign(g, { font: ink.font, fillStyle: ink.text, globalAlpha: 1, lineWidth: 1, textAlign: "left", textBaseline: "alphabetic" });
  g.setLineDash([]);
  return g;
}

function rule(g, x0, y0, x1, y1, color, dash = [], width = 1) {
  Object.assign(g, { strokeStyle: color, lineWidth: width });
  g.setLineDash(dash); g.beginPath(); g.moveTo(x0, y0); g.lineTo(x1, y1); g.stroke(); g.setLineDash([]);
}

const short = (value) => (value === null || !isFinite(value) ? "no number" : `${+value.toPrecision(2)}`);

function ticks(low, high) { // round values of a logarithmic axis: 1, 2, 5 times a power of ten
  const found = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.log10(high); p++)
    for (const m of [1, 2, 5]) if (m * 10 ** p >= low && m * 10 ** p <= high) found.push(m * 10 ** p);
  const round = found.filter((e) => Number.isInteger(+Math.log10(e).toFixed(9)));
  return found.length > 8 && round.length > 1 ? round : found;
}

// Where the errors of a step lie on a canvas of a size: the axes of the picture of curves.
function axes(canvas, film, ink) {
  const pad = room(ink), { clientWidth: w, clientHeight: h } = canvas;
  if (w < NARROW) pad.r = 8.5 * ink.size;
  const low = Math.log10(film.low), high = Math.log10(film.high), right = w - pad.r, foot = h - pad.b;
  const share = (e) => (Math.log10(Math.min(Math.max(e, film.low), film.high)) - low) / (high - low || 1);
  return { pad, w, h, right, foot, x: (s) => pad.l + (s / (film.steps - 1 || 1)) * (right - pad.l),
    y: (e) => foot - share(e) * (foot - pad.t), step: (px) => ((px - pad.l) / (right - pad.l)) * (film.steps - 1) };
}

function drawCurves(canvas, film, t, ink, ahead) { // ahead: whether what comes is seen, faintly
  const g = inked(canvas, ink), at = axes(canvas, film, ink);
  if (!g) return;
  grid(g, film, at, ink);
  for (const values of Object.values(film.baselines)) stroke(g, values, ahead ? film.steps - 1 : t, at, ink.faint, [], 1, 0.8);
  film.layers.forEach((layer, i) => {
    const own = i === 0, color = ink.colors[i % ink.colors.length];
    if (own) band(g, layer, t, at, color);
    if (ahead) stroke(g, layer.values, film.steps - 1, at, color, DASHES[i % DASHES.length], own ? 2 : 1.2, 0.22);
    stroke(g, layer.values, t, at, color, DASHES[i % DASHES.length], own ? 3.5 : 1.6, own ? 1 : 0.9);
  });
  rule(g, at.x(t), at.pad.t, at.x(t), at.foot, ink.text);
  film.layers.forEach((layer, i) => { // where each stands now
    const e = layer.values[Math.floor(t)];
    if (e === null || e === undefined) return;
    g.fillStyle = ink.colors[i % ink.colors.length];
    if (e > film.high) return triangle(g, at.x(t), at.pad.t);
    g.beginPath(); g.arc(at.x(t), at.y(e), i ? 3 : 5, 0, 7); g.fill();
  });
  labels(g, film, t, ahead ? film.steps - 1 : t, at, ink);
}

function triangle(g, x, y) { // an error above the axis
  g.beginPath(); g.moveTo(x, y - 2); g.lineTo(x - 6, y + RISE - 2); g.lineTo(x + 6, y + RISE - 2); g.fill();
}

function grid(g, film, at, ink) {
  g.fillText(film.title, 2, ink.size); g.textAlign = "center";
  g.fillText("step t", (at.pad.l + at.right) / 2, at.h - 4);
  for (let s = 0; s < film.steps; s += Math.max(1, Math.round(film.steps / 8))) g.fillText(s, at.x(s), at.foot + 1.3 * ink.size);
  g.textAlign = "right";
  for (const e of ticks(film.low, film.high)) {
    rule(g, at.pad.l, at.y(e), at.right, at.y(e), ink.line);
    g.fillText(+e.toPrecision(1), at.pad.l - 6, at.y(e) + 4);
  }
  if (film.switch === null) return;
  rule(g, at.x(film.switch), at.pad.t, at.x(film.switch), at.foot, ink.faint, [4, 4], 1.5);
  g.textAlign = "center"; g.fillStyle = ink.text;
  g.fillText("the rule changes here", Math.min(at.x(film.switch), at.right - 5 * ink.size), at.pad.t - 5);
}

function stroke(g, values, to, at, color, dash, width, alpha) {
  Object.assign(g, { strokeStyle: color, lineWidth: width, globalAlpha: alpha, lineJoin: "round" });
  g.setLineDash(dash); g.beginPath();
  let drawn = false; // a gap where there is no number
  for (let s = 0; s <= Math.min(to, values.length - 1); s++) {
    if (values[s] === null) { drawn = false; continue; }
    drawn ? g.lineTo(at.x(s), at.y(values[s])) : g.moveTo(at.x(s), at.y(values[s]));
    drawn = true;
  }
  g.stroke(); g.setLineDash([]); g.globalAlpha = 1;
}

function band(g, layer, t, at, color) { // one standard error to both sides
  const steps = [...Array(Math.floor(t) + 1).keys()].filter((s) => layer.values[s] !== null && layer.spread[s] !== null);
  if (steps.length < 2) return;
  Object.assign(g, { fillStyle: color, globalAlpha: 0.14 });
  g.beginPath();
  for (const s of steps) g.lineTo(at.x(s), at.y(layer.values[s] + layer.spread[s]));
  for (const s of steps.reverse()) g.lineTo(at.x(s), at.y(Math.max(layer.values[s] - layer.spread[s], layer.values[s] / 10)));
  g.fill(); g.globalAlpha = 1;
}

// A layer's label stands as high as its number says, which is of step t; a baseline has no number
// and its label stands at the end of what is drawn of it.
function labels(g, film, t, to, at, ink) {
  const last = (values, s) => values.slice(0, Math.floor(s) + 1).filter((e) => e !== null).at(-1);
  const all = film.layers.map((layer, i) => ({ name: layer.name, now: layer.values[Math.floor(t)], end: last(layer.values, t), from: t, color: ink.colors[i % ink.colors.length], own: i === 0 }));
  for (const [name, values] of Object.entries(film.baselines)) all.push({ name, end: last(values, to), from: to, color: ink.faint });
  const shown = all.filter((one) => one.end !== undefined).sort((a, b) => b.end - a.end);
  const gap = LINE * (ink.size / 12), room = at.w - at.right - 10, names = shown.map((one) => one.name);
  const two = at.w < NARROW && 2 * gap * shown.length <= at.foot - at.pad.t; // lines of a name: a phone is narrow and high
  for (const one of shown) {
    g.font = one.own ? `600 ${ink.font}` : ink.font;
    one.lines = fitted(g, film, one.name, names, room, room - (one.now === undefined ? 0 : 3.4 * ink.size), two);
    one.tall = gap * one.lines.length;
  }
  let edge = at.pad.t - gap / 2;
  for (const one of shown) edge = (one.place = Math.max(at.y(one.end), edge + one.tall / 2)) + one.tall / 2;
  edge = at.foot + gap / 2;
  for (const one of [...shown].reverse()) edge = (one.place = Math.min(one.place, edge - one.tall / 2)) - one.tall / 2;
  for (const one of shown) { // apart from each other, and led to from where the line stands
    Object.assign(g, { fillStyle: one.color, textAlign: "left", font: one.own ? `600 ${ink.font}` : ink.font });
    rule(g, at.x(one.from), at.y(one.end), at.right, at.y(one.end), one.color, [1, 4]);
    rule(g, at.right, at.y(one.end), at.right + 7, one.place, one.color);
    const first = one.place + 4 + gap / 2 - one.tall / 2, last = first + one.tall - gap;
    one.lines.forEach((text, i) => g.fillText(text, at.right + 9, first + i * gap));
    if (one.now === undefined) continue;
    g.textAlign = "right"; g.fillText(short(one.now), at.w - 1, last);
  }
  g.font = ink.font;
}

// A name in one line, or in two where there is room for them; a number may stand beside the last.
const fits = new WeakMap(); // of a film: measuring letters at every frame would cost more than drawing
function fitted(g, film, name, names, room, last, two) {
  if (!fits.has(film)) fits.set(film, new Map());
  const known = fits.get(film), asked = [g.font, room, last, two, names.length, name].join();
  if (!known.has(asked)) known.set(asked, broken(g, name, names, room, last, two));
  return known.get(asked);
}

function broken(g, name, names, room, last, two) {
  const holds = (text, width) => g.measureText(text).width <= width;
  if (!two || holds(name, last)) return [shortened(g, name, names, last)];
  const parts = [...name.matchAll(/[- ]/g)].map((m) => [name.slice(0, m.index + 1).trim(), name.slice(m.index + 1)]);
  const good = parts.filter(([head, tail]) => holds(head, room) && holds(tail, last)).at(-1);
  return good ?? [shortened(g, name, names, last)];
}

// A name cut in its middle to a width, so that what is left fits no other of the names.
function shortened(g, name, names, width) {
  if (g.measureText(name).width <= width) return name;
  const others = names.filter((one) => one !== name);
  let even = null;
  for (let kept = name.length - 1; kept > 0; kept--) {
    const heads = [...Array(kept + 1).keys()].sort((a, b) => Math.abs(a - kept / 2) - Math.abs(b - kept / 2));
    for (const head of heads) {
      const start = name.slice(0, head), end = name.slice(name.length - kept + head), text = `${start}…${end}`;
      if (g.measureText(text).width > width) continue;
      if (!others.some((one) => one.startsWith(start) && one.endsWith(end))) return text;
      even ??= text;
    }
  }
  return even ?? "…";
}

// --- maps: weights of past tokens, zero in the color of the page ----------------------------------

const strength = (weight, peak) => Math.sqrt(Math.min(1, Math.abs(weight) / (peak || 1)));

function painted(picture, map, n, peak, ink) { // n x n pixels, enlarged when drawn
  const image = new ImageData(n, n), { zero, plus, minus, gone } = ink.channels;
  for (let i = 0; i < n * n; i++) {
    if (i % n > i / n) continue; // the future stays empty
    const w = map[i], to = w < 0 ? minus : plus, share = strength(w, peak);
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = w === w ? zero[c] + (to[c] - zero[c]) * share : gone[c];
    image.data[4 * i + 3] = 255;
  }
  picture.width = picture.height = n;
  picture.getContext("2d").putImageData(image, 0, 0);
  return picture;
}

function boxOf(canvas, ink) { // where a map lies on its canvas, and the bars below it
  const { clientWidth: w, clientHeight: h } = canvas, left = 2.6 * ink.size;
  const side = Math.max(40, Math.min(w - left - 4, h - 9 * ink.size));
  return { x: left, y: 4, side, top: side + 2.6 * ink.size, foot: h - 1.5 * ink.size };
}

function drawMap(canvas, picture, map, n, t, steps, most, ink, mark, ahead) {
  const g = inked(canvas, ink);
  if (!g) return;
  const box = boxOf(canvas, ink), { x, y, side } = box, cell = side / n, row = Math.min(Math.floor(t), n - 1);
  g.imageSmoothingEnabled = false;
  g.globalAlpha = ahead ? 0.3 : 0; g.drawImage(picture, x, y, side, side); // what is yet to come
  g.clearRect(x, y, side, cell * (row + 1)); g.globalAlpha = 1;
  g.drawImage(picture, 0, 0, n, row + 1, x, y, side, cell * (row + 1));
  g.strokeStyle = ink.line; g.strokeRect(x - 0.5, y - 0.5, side + 1, side + 1);
  if (mark !== null && mark < n && (ahead || row >= mark)) { // where the rule changes, of tokens and of outputs
    rule(g, x + cell * mark, y + cell * mark, x + cell * mark, y + side, ink.faint, [4, 4]);
    rule(g, x, y + cell * mark, x + cell * mark, y + cell * mark, ink.faint, [4, 4]);
  }
  g.strokeStyle = ink.text; g.lineWidth = 1.5;
  g.strokeRect(x - 1, y + cell * row - 1, cell * (row + 1) + 2, Math.max(cell, 2) + 2);
  g.textAlign = "right"; g.fillText(row, x - 5, Math.max(y + ink.size, y + cell * row + 5));
  if (row > 2.5 * ink.size / cell) g.fillText("t", x - 5, y + ink.size * 0.8);
  g.textAlign = "left"; const part = n < steps ? `weight in output ${row} (map of the first ${n})` : `weight of token i in output ${row}`;
  g.fillText(side < 14 * ink.size ? `output ${row}` : part, x, box.top - 6);
  drawBars(g, map.subarray(row * n, row * n + row + 1), n, box, most, ink);
}

function drawBars(g, row, n, box, most, ink) {
  const height = box.foot - box.top, low = row.some((w) => w < 0), zero = low ? box.top + height / 2 : box.foot;
  const width = box.side / n, tall = low ? height / 2 : height;
  row.forEach((w, i) => {
    if (w !== w) return;
    const rise = (Math.min(Math.abs(w), most) / (most || 1)) * tall;
    g.fillStyle = w < 0 ? ink.minus : ink.plus;
    g.fillRect(box.x + i * width, w < 0 ? zero : zero - rise, Math.max(1, width - (width > 3 ? 1 : 0)), rise);
  });
  rule(g, box.x, zero, box.x + box.side, zero, ink.line);
  Object.assign(g, { fillStyle: ink.text, textAlign: "right" });
  g.fillText(short(most), box.x - 3, box.top + 6);
  g.fillText("0", box.x - 3, zero + 4);
  g.textAlign = "center"; g.fillText("past token i", box.x + box.side / 2, box.foot + ink.size + 3);
  g.textAlign = "left"; g.fillText("0", box.x, box.foot + ink.size + 3);
  g.textAlign = "right"; g.fillText(n - 1, box.x + box.side, box.foot + ink.size + 3);
}

// Without a canvas: the lines as they are in the end, as SVG, which every browser has.
function drawStill(figure, film, ink) {
  const w = 720, h = 320, low = Math.log10(film.low), span = Math.log10(film.high) - low || 1, ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
  film.layers.forEach((layer, i) => {
    const line = document.createElementNS(ns, "polyline"), text = document.createElementNS(ns, "text");
    const points = layer.values.map((e, s) => e === null ? "" : `${(s / (film.steps - 1)) * 560},${h - 10 - ((Math.log10(Math.min(Math.max(e, film.low), film.high)) - low) / span) * (h - 30)}`).filter(Boolean);
    Object.entries({ points: points.join(" "), fill: "none", stroke: ink.colors[i % ink.colors.length], "stroke-width": i ? 1.5 : 3.5, "stroke-dasharray": DASHES[i % DASHES.length].join(" ") }).forEach(([k, v]) => line.setAttribute(k, v));
    Object.entries({ x: 566, y: 20 + 18 * i, fill: ink.colors[i % ink.colors.length], "font-size": 13 }).forEach(([k, v]) => text.setAttribute(k, v));
    text.textContent = layer.name;
    svg.append(line, text);
  });
  figure.replaceChildren(svg);
}
