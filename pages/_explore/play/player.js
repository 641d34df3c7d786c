// Time and people: plays and scrubs what one message of the server holds; asks for nothing more.
const SHOWN = 0.99; // of the weights of a map: those that are larger have the color of the end
const SECONDS = 12, FIRST_SECONDS = 8, BLEND_MS = 600, REST_MS = 300, LEAP = 10;
const players = new WeakMap(); // the module is loaded once, so this outlives the calls below
let greeted = false; // and this, too: until the app is loaded anew, a picture plays by itself once

// Streamlit calls this at the first mount and again for new data and for a new theme, on the same
// parent; it does not call the old cleanup in between. So: one player per parent, told the news.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".play");
  let player = players.get(parentElement);
  if (player?.root !== root) {
    player?.end();
    players.set(parentElement, (player = new Player(root)));
  }
  player.update(data);
  return () => root.isConnected || player.end(); // an overtaken call is cleaned up too: not us
}

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;

function unpacked({ tokens: n, weights, scale }) { // -128 stands for what is no number
  const past = new Int8Array(bytes(weights)), rows = new Float32Array(bytes(scale)), map = new Float32Array(n * n);
  for (let t = 0, at = 0; t < n; t++)
    for (let i = 0; i <= t; i++, at++) map[t * n + i] = past[at] === -128 ? NaN : (past[at] / 127) * rows[t];
  const sizes = map.map(Math.abs).filter((w) => w > 0).sort();
  return { map, n, peak: sizes[Math.floor(SHOWN * (sizes.length - 1))] ?? 0 };
}

class Player {
  constructor(root) {
    Object.assign(this, { root, t: 0, visit: null, playing: false, frames: 0, other: "" });
    const find = (selector) => root.querySelector(selector);
    const [own, other] = root.querySelectorAll(".map");
    this.ui = { time: find(".time"), first: find(".first"), t: find(".t"), at: find(".at"), speed: find(".speed"),
      full: find(".full"), guess: find(".guess"), curves: find(".curves"), own, other, name: find(".own"), beside: find(".beside"),
      said: find("output"), less: find(".less"), more: find(".more"), key: find(".key i") };
    this.canvas = Object.fromEntries(["curves", "own", "other"].map((n) => [n, this.ui[n].querySelector("canvas")]));
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.still = !this.canvas.curves.getContext?.("2d");
    this.listen();
    this.watch = new ResizeObserver(() => this.restyle());
    this.watch.observe(root);
  }

  listen() {
    const { ui } = this;
    ui.time.onclick = () => this.play(!this.playing);
    ui.first.onclick = () => this.seek(0);
    ui.t.oninput = () => this.seek(+ui.t.value);
    ui.beside.onchange = () => { this.other = ui.beside.value; this.paint(); this.wake(); this.rest(); };
    ui.full.onclick = () => (document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen?.());
    ui.guess.onclick = () => this.predict(!this.guessing);
    this.root.onkeydown = (e) => this.key(e);
    this.anywhere = (e) => { // P plays from wherever one is, but where one types
      const at = e.composedPath()[0];
      if (e.key !== "p" || e.ctrlKey || e.metaKey || e.altKey || at.isContentEditable || /INPUT|TEXTAREA|SELECT/.test(at.tagName) && at.type !== "range") return;
      this.play(!this.playing);
    };
    document.addEventListener("keydown", this.anywhere);
    this.touched = (e) => this.hush(e);
    for (const kind of ["click", "keydown"]) document.addEventListener(kind, this.touched, true);
    this.drag(this.canvas.curves, (x) => axes(this.canvas.curves, this.film, this.ink).step(x));
    for (const name of ["own", "other"]) this.drag(this.canvas[name], (x, y) => {
      const box = boxOf(this.canvas[name], this.ink);
      return y < box.top ? ((y - box.y) / box.side) * (this.shown[name]?.n ?? this.n) - 0.5 : this.t;
    });
  }

  drag(canvas, step) {
    canvas.onpointerdown = canvas.onpointermove = (e) => {
      if (!e.buttons || !this.film) return;
      canvas.setPointerCapture(e.pointerId);
      this.seek(step(e.offsetX, e.offsetY));
    };
  }

  key(e) { // a list and a button have keys of their own
    const leap = e.shiftKey ? LEAP : 1;
    const to = { ArrowLeft: this.t - leap, ArrowRight: this.t + leap, Home: 0, End: this.n - 1 }[e.key];
    if (e.target.tagName === "SELECT" || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === " " && e.target.tagName !== "BUTTON") this.play(!this.playing);
    else if (to !== undefined) this.seek(to);
    else return;
    e.preventDefault();
  }

  end() {
    cancelAnimationFrame(this.request); clearTimeout(this.later); this.watch.disconnect(); this.sight?.disconnect();
    document.removeEventListener("keydown", this.anywhere);
    for (const kind of ["click", "keydown"]) document.removeEventListener(kind, this.touched, true);
  }

  update(film) {
    if (this.film !== film) { // else only the theme is new
      const before = this.film, from = this.shown?.own;
      this.film = film;
      this.n = film.steps;
      if (this.visit !== film.start.visit) { // a visit, or Back
        if (this.greeting) this.greeted(false);
        [this.t, this.other] = [film.start.step ?? this.n - 1, film.start.beside];
        if (film.start.step === null) this.greet();
      }
      else if (before && before.steps !== this.n && this.t >= before.steps - 1) this.t = this.n - 1;
      this.visit = film.start.visit;
      this.t = Math.max(0, Math.min(this.t, this.n - 1));
      this.maps = film.layers.map((layer) => (layer.map ? unpacked(layer.map) : null));
      this.ui.t.max = this.n - 1;
      this.choices();
      const to = this.maps[0];
      this.blend = !this.calm.matches && from && to && from.n === to.n ? { from: from.map, since: null, share: 0 } : null;
    }
    this.restyle();
  }

  choices() { // of the second map: the other layers that have one
    const names = this.film.layers.flatMap((layer, i) => (i && this.maps[i] ? [layer.name] : []));
    this.usual = names[0] ?? "";
    if (!names.includes(this.other)) this.other = this.usual;
    const said = (name) => { // an estimated map says how far it may be off
      const missed = this.film.layers.find((layer) => layer.name === name).map?.missed;
      return missed ? `${name} (estimated, ± ${Math.round(100 * missed)} %)` : name;
    };
    this.ui.beside.replaceChildren(...names.map((name) => new Option(said(name), name, false, name === this.other)));
    this.ui.name.textContent = this.ui.name.title = said(this.film.layers[0].name); // as text: a name is data
    this.root.classList.toggle("alone", !names.length);
  }

  // --- the first seconds ---
  greet() { // plays once by itself as soon as it is seen, unless no motion is wished for
    if (greeted || this.greeting || this.still || this.calm.matches) return;
    this.greeting = true;
    this.sight = new IntersectionObserver((seen) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      this.sight.disconnect();
      this.afterwards();
    }, { threshold: 0.4 });
    this.sight.observe(this.ui.curves);
  }
  afterwards() { // once the rest of the page stands, which drawing would hold up
    if (!this.greeting || this.playing || !this.root.isConnected) return;
    if (document.querySelector('[data-test-script-state="running"]')) setTimeout(() => this.afterwards(), REST_MS);
    else this.play(true);
  }
  greeted(finished) { // or somebody came between
    [greeted, this.greeting] = [true, false];
    this.sight.disconnect();
    if (!finished && this.playing) this.play(false);
  }
  hush(e) { // whoever begins with something else sees all of it; what belongs to the player stops it itself
    const own = e.composedPath().includes(this.root), mod = e.ctrlKey || e.metaKey || e.altKey || /^(Control|Meta|Alt|Shift)$/.test(e.key);
    if (!this.greeting || mod || e.key === "p" || own && (e.type === "keydown" || e.composedPath().includes(this.ui.time))) return;
    this.t = this.n - 1;
    this.greeted(false);
    this.wake();
  }

  // --- what people do ---
  play(on) {
    if (on && this.calm.matches) return this.seek(this.t + 1); // no motion is wished for: a step
    if (on && this.t >= this.n - 1) [this.t, this.asked] = [0, null];
    this.playing = on;
    if (!on && this.greeting) this.greeted(true);
    this.ui.time.textContent = on ? "Pause" : this.calm.matches ? "Step" : "Play";
    on ? this.wake() : this.rest();
  }
  predict(on) { // for teachers: nothing of what comes is seen, and time waits at the change
    this.guessing = on;
    this.ui.guess.setAttribute("aria-pressed", on);
    if (on && this.t >= this.n - 1) this.seek(0);
    this.wake();
  }
  seek(t) {
    if (this.playing || this.greeting) this.play(false);
    this.t = Math.max(0, Math.min(this.n - 1, Math.round(t)));
    this.wake(); this.rest();
  }
  rest() { // the address says the step; the history gets no entry, the server no message
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      const here = new URL(location.href), t = Math.floor(this.t);
      const say = (name, value, usual) => (value === usual ? here.searchParams.delete(name) : here.searchParams.set(name, value));
      say("t", t, this.film.last); say("beside", this.other, this.usual);
      if (here.href !== location.href) history.replaceState(history.state, "", here);
    }, REST_MS);
  }

  // --- time ---
  wake() { this.request ??= requestAnimationFrame((now) => this.tick(now)); }
  tick(now) {
    this.request = null;
    if (!this.film || !this.ink) return;
    const passed = Math.min(100, now - (this.before ?? now)); // a tab in the background does not leap
    if (this.playing) {
      this.t = Math.min(this.n - 1, this.t + (passed / 1000) * (this.n / (this.greeting ? FIRST_SECONDS : SECONDS)) * +this.ui.speed.value);
      const change = this.film.switch;
      if (this.guessing && change !== null && this.asked !== change && this.t >= change) {
        [this.asked, this.t] = [change, change];
        this.play(false);
      }
      if (this.t >= this.n - 1) this.play(false);
    }
    if (this.blend) {
      this.blend.since ??= now;
      this.blend.share = Math.min(1, (now - this.blend.since) / BLEND_MS);
      if (this.blend.share === 1) this.blend = null;
      this.paint();
    }
    this.draw();
    const moving = this.playing || this.blend;
    this.before = moving ? now : null;
    if (moving) this.wake();
  }

  // --- pictures ---
  restyle() { // new size, theme or data: what stays the same while t moves is prepared once
    if (!this.film || !this.root.clientWidth) return;
    const css = getComputedStyle(this.root), value = (name) => css.getPropertyValue(`--st-${name}`).trim();
    const set = value("chart-categorical-colors").split(/,(?![^(]*\))/).map((c) => c.trim()); // not within rgb(...)
    const size = document.fullscreenElement ? 18 : 12, text = value("text-color"), page = value("background-color");
    this.ink = { text, size, line: value("border-color"), faint: "#7F8A96", plus: set[0], minus: set[1],
      colors: [text, ...set.slice(0, 6)], font: `${size}px ${value("font")}` };
    if (this.still) return drawStill(this.ui.curves, this.film, this.ink), this.tell();
    this.ink.channels = { zero: channels(page), plus: channels(set[0]), minus: channels(set[1]), gone: channels(this.ink.line) };
    for (const canvas of Object.values(this.canvas)) {
      const ratio = devicePixelRatio;
      canvas.width = canvas.clientWidth * ratio; canvas.height = canvas.clientHeight * ratio;
      canvas.getContext("2d").scale(ratio, ratio);
    }
    if (!this.playing) this.ui.time.textContent = this.calm.matches ? "Step" : "Play";
    this.paint();
    this.wake();
  }

  paint() { // the pixels of the maps on the screen, all on one scale
    const at = this.film.layers.findIndex((layer, i) => i && layer.name === this.other);
    this.shown = { own: this.maps[0], other: at > 0 ? this.maps[at] : null };
    const peak = Math.max(...this.maps.map((one) => one?.peak ?? 0)) || 1, { from, share } = this.blend ?? {};
    this.pictures ??= { own: document.createElement("canvas"), other: document.createElement("canvas") };
    for (const [name, one] of Object.entries(this.shown)) {
      if (!one) continue;
      const map = name === "own" && from ? one.map.map((w, i) => from[i] + (w - from[i]) * share) : one.map;
      painted(this.pictures[name], map, one.n, peak, this.ink);
    }
    const stops = [-1, -0.5, -0.2, -0.05, 0, 0.05, 0.2, 0.5, 1].map((w) =>
      `color-mix(in srgb, ${w < 0 ? this.ink.minus : this.ink.plus} ${100 * strength(w, 1)}%, var(--st-background-color)) ${50 + 50 * w}%`);
    this.ui.key.style.background = `linear-gradient(90deg, ${stops})`;
    this.ui.less.textContent = `≤ −${short(peak)}`; this.ui.more.textContent = `≥ ${short(peak)}`;
  }

  draw() {
    const t = Math.floor(this.t), { ink, film, shown, pictures } = this;
    drawCurves(this.canvas.curves, film, this.t, ink, !this.guessing);
    const row = (one) => { const at = Math.min(t, one.n - 1); return one.map.subarray(at * one.n, at * one.n + at + 1); };
    const two = [shown.own, shown.other].filter(Boolean); // bars of one step on one scale
    const most = Math.max(...two.map((one) => row(one).reduce((m, w) => Math.max(m, Math.abs(w) || 0), 0)), 1e-12);
    for (const name of ["own", "other"])
      if (shown[name]) drawMap(this.canvas[name], pictures[name], shown[name].map, shown[name].n, t, film.steps, most, ink, film.switch, !this.guessing);
      else inked(this.canvas[name], ink)?.fillText(name === "own" ? "This layer has no map" : "", 8, 20);
    this.frames++;
    this.tell(t);
  }

  tell(t = Math.floor(this.t)) {
    const { film, ui } = this, own = film.layers[0], now = own.values[t], one = this.shown?.own;
    let drawn = "";
    if (one && t < one.n) {
      const row = one.map.subarray(t * one.n, t * one.n + t + 1);
      const top = row.reduce((best, w, i) => (Math.abs(w) > Math.abs(row[best]) ? i : best), 0);
      drawn = `; draws most on token ${top} (${film.words[top] ? `“${film.words[top]}”, ` : ""}${short(row[top])})`;
    }
    const waits = this.guessing && !this.playing && t === film.switch ? " The rule changes now: what will happen? Play shows it." : "";
    const said = `At step ${t}${film.words[t] ? `, after “${film.words[t]}”,` : ""} the squared error of ${own.name} is ${short(now)}${drawn}.${waits}`, moving = this.playing || !!this.blend;
    ui.said.setAttribute("aria-live", moving ? "off" : "polite"); // no chatter while it moves
    if (ui.said.textContent !== said) ui.said.textContent = said;
    ui.at.textContent = `step ${t} / ${this.n - 1}`;
    ui.t.value = t;
    ui.t.setAttribute("aria-valuetext", said);
    if (!moving) {
      ui.curves.ariaLabel = film.alt.curves;
      ui.own.ariaLabel = `${film.alt.map}, ${own.name}; row ${t} is marked and drawn as bars`;
      ui.other.ariaLabel = `The same of ${this.other}`;
    }
    Object.assign(this.root.dataset, { t, moving, frames: this.frames, layers: film.layers.length }); // for tests
  }
}

function channels(color) { // of any CSS color, as the browser reads it
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const g = canvas.getContext("2d");
  g.fillStyle = color; g.fillRect(0, 0, 1, 1);
  return g.getImageData(0, 0, 1, 1).data;
}
