// The learning curves of a cohort, drawn from the page's own data: choose what lies across, log or linear, and which arms; read
// values by pointer, touch or arrow keys. The still drawing that the page came with is what stands there without this script.

/** What may lie across, and in which unit a largest value is written: [divisor, name]. */
const ACROSS = {
  step: { name: "steps", unit: () => [1, "training steps"] },
  tokens: { name: "tokens", unit: (largest) => byThousands(largest, "tokens") },
  flops: { name: "FLOPs", unit: (largest) => byThousands(largest, "training FLOPs") },
  seconds: {
    name: "time (indicative)",
    unit: (largest) => (largest < 180 ? [1, "seconds, indicative"] : largest < 10800 ? [60, "minutes, indicative"] : [3600, "hours, indicative"]),
  },
};
const PIECES = { step: "Steps", tokens: "Tokens", flops: "FLOPs", seconds: "Seconds" };
const KEYS = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };

function byThousands(largest, noun) {
  const power = 3 * Math.floor(Math.log10(largest || 1) / 3);
  const raised = [...String(power)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
  return power < 3 ? [1, noun] : [10 ** power, `${noun}, 10${raised}`];
}

/** A node of HTML, or of SVG where its name is one of SVG's. Text is only ever set as text. */
function make(name, attributes = {}, ...inside) {
  const isSvg = ["svg", "g", "path", "line", "circle", "text", "rect"].includes(name);
  const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...inside);
  return node;
}

/** A name, with places to break a long one at. */
function nameOf(curve) {
  const pieces = curve.name.split(/(?<=[_=/, ])|(?<=\.)(?!\d)/);
  return make("bdi", {}, ...pieces.flatMap((piece, index) => (index ? [make("wbr"), piece] : [piece])));
}

const fixed = (value) => value.toFixed(4);
const signed = (value) => (value < 0 ? "" : "+") + fixed(value);
const exact = (value) => (value >= 1e7 ? value.toPrecision(4) : String(Number(value.toPrecision(7))));

class Chart {
  constructor(figure, curves) {
    this.figure = figure;
    this.curves = curves;
    this.shown = new Set(curves.keys());
    this.cursor = null; // a value of what lies across; null reads the end of each curve
    this.across = "step";
    this.chosen = { logX: false, logY: false, late: false, bands: true };
    this.svg = make("svg", { class: "plot reading-plot", tabindex: "0", role: "slider", "aria-label": "Place to read the curves at" });
    this.readout = this.makeReadout();
    figure.querySelector(".still").replaceWith(this.makeControls(), this.svg, this.readout);
    this.listen();
    this.draw();
  }

  makeControls() {
    const select = make("select");
    for (const [key, { name }] of Object.entries(ACROSS)) {
      const option = make("option", { value: key }, name);
      option.disabled = !this.curves.some((curve) => curve[key].some((value) => value !== null));
      select.append(option);
    }
    select.addEventListener("change", () => { this.across = select.value; this.cursor = null; this.draw(); });
    const controls = make("div", { class: "controls" }, make("label", {}, "x axis", select));
    for (const [key, words] of [["logX", "log x"], ["logY", "log y"], ["late", "second half only"], ["bands", "seeds' bands"]]) {
      const box = make("input", { type: "checkbox", "data-choice": key });
      box.checked = this.chosen[key];
      box.addEventListener("change", () => { this.chosen[key] = box.checked; this.draw(); });
      controls.append(make("label", {}, box, words));
    }
    return controls;
  }

  makeReadout() {
    const headings = ["arm", "mean", "lowest to highest seed", "vs baseline, same seeds"];
    const head = make("tr", {}, ...headings.map((text, index) =>
      make("th", { scope: "col", class: ["", "right", "right seeds-range", "right"][index] }, text)));
    const body = make("tbody");
    this.curves.forEach((curve, index) => {
      const box = make("input", { type: "checkbox" });
      box.checked = true;
      box.addEventListener("change", () => { this.shown[box.checked ? "add" : "delete"](index); this.draw(); });
      const swatch = make("svg", { class: "swatch", "aria-hidden": "true" }, make("line", { class: `curve ${curve.look}`, x1: 1, x2: 27, y1: 7, y2: 7 }));
      const label = make("label", {}, box, swatch, nameOf(curve));
      const row = make("tr", { "data-curve": index }, make("th", { scope: "row" }, label),
        make("td", { class: "right mean" }), make("td", { class: "right seeds-range" }), make("td", { class: "right difference" }));
      row.addEventListener("pointerenter", () => this.emphasise(index));
      row.addEventListener("pointerleave", () => this.emphasise(null));
      body.append(row);
    });
    return make("table", { class: "readout" }, make("caption"), make("thead", {}, head), body);
  }

  listen() {
    const move = (event) => { this.cursor = this.nearestTo(event.clientX - this.svg.getBoundingClientRect().left); this.read(); };
    this.svg.addEventListener("pointermove", move);
    this.svg.addEventListener("pointerdown", move);
    // a mouse that leaves ends the reading; a lifted finger leaves too, and its reading is meant to stay
    this.svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") { this.cursor = null; this.read(); } });
    this.svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { this.cursor = null; this.read(); }
      if (!(event.key in KEYS) || !this.stops.length) return;
      event.preventDefault();
      const now = this.cursor === null ? this.stops.length - 1 : this.stops.indexOf(this.cursor);
      this.cursor = this.stops[Math.min(this.stops.length - 1, Math.max(0, now + KEYS[event.key]))];
      this.read();
    });
    new ResizeObserver(() => { if (this.figure.clientWidth !== this.width) this.draw(); }).observe(this.figure);
  }

  /** The points of a curve that the chosen axes can show, each with its place across as `x`. */
  pointsOf(curve) {
    const points = curve[this.across].map((x, index) => ({ x, mean: curve.mean[index], low: curve.low[index], high: curve.high[index], n: curve.n[index], difference: curve.difference[index] }));
    const known = points.filter(({ x, low }) => x !== null && (!this.chosen.logX || x > 0) && (!this.chosen.logY || low > 0));
    const half = known.length ? known[known.length - 1].x / 2 : 0;
    return this.chosen.late ? known.filter(({ x }) => x >= half) : known;
  }

  draw() {
    this.width = this.figure.clientWidth;
    this.height = this.width < 560 ? 260 : 380;
    this.lines = new Map([...this.shown].sort((a, b) => a - b).map((index) => [index, this.pointsOf(this.curves[index])]).filter(([, points]) => points.length));
    const all = [...this.lines.values()].flat();
    this.stops = [...new Set(all.map(({ x }) => x))].sort((a, b) => a - b);
    if (!this.stops.includes(this.cursor)) this.cursor = null;
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("height", this.height);
    this.svg.replaceChildren();
    if (all.length) this.drawPlot(all);
    else this.svg.append(make("text", { x: 10, y: 30 }, "Choose an arm to see its curve."));
    this.read();
  }

  drawPlot(all) {
    const { logX, logY, bands } = this.chosen;
    const [bottom, right] = [this.height - 44, this.width - 10];
    const [divisor, title] = ACROSS[this.across].unit(this.stops[this.stops.length - 1]);
    const [low, high] = withRoom(all.flatMap((point) => (bands ? [point.low, point.high] : [point.mean])), logY, 0.03);
    const ends = this.stops.length > 1 ? [this.stops[0], this.stops[this.stops.length - 1]] : withRoom(this.stops, logX, 0);
    const up = makeAxis(low, high, bottom, 8, logY, 6);
    const left = 10 + 7.5 * Math.max(...up.ticks.map(({ text }) => text.length), 1);
    const across = makeAxis(ends[0] / divisor, ends[1] / divisor, left, right, logX, this.width < 560 ? 4 : 8);
    this.place = { x: (value) => across.place(value / divisor), y: up.place, bottom };
    for (const { value, text } of up.ticks) {
      const y = up.place(value);
      this.svg.append(make("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }), make("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, text));
    }
    for (const { value, text } of across.ticks) {
      const x = across.place(value);
      this.svg.append(make("line", { class: "tick", x1: x, x2: x, y1: bottom, y2: bottom + 5 }), make("text", { x, y: bottom + 19, "text-anchor": x > right - 12 ? "end" : "middle" }, text));
    }
    this.svg.append(make("text", { class: "across", x: right, y: this.height - 6, "text-anchor": "end" }, title));
    if (bands) for (const [index, points] of this.lines) this.svg.append(this.band(index, points));
    // the baseline last, so that it lies above
    const order = [...this.lines].sort(([a], [b]) => this.curves[a].baseline - this.curves[b].baseline);
    for (const [index, points] of order) {
      this.svg.append(make("path", { class: `curve ${this.curves[index].look}`, "data-curve": index, d: this.path(points, "mean") }));
    }
    this.marks = make("g");
    this.svg.append(this.marks);
  }

  path(points, field) {
    const end = points.length === 1 ? "h0" : "";  // a line of no length, which its round ends show as a dot
    return `M${points.map((point) => `${this.place.x(point.x).toFixed(1)} ${this.place.y(point[field]).toFixed(1)}`).join("L")}${end}`;
  }

  band(index, points) {
    const back = this.path([...points].reverse(), "low").replace("M", "L");
    return make("path", { class: `seeds ${this.curves[index].look}`, "data-curve": index, d: `${this.path(points, "high")}${back}Z` });
  }

  nearestTo(pixel) {
    const far = (value) => Math.abs(this.place.x(value) - pixel);
    return this.stops.length ? this.stops.reduce((best, value) => (far(value) < far(best) ? value : best)) : null;
  }

  /** The values at the cursor, in the table and as dots on the curves: of each curve its point that is nearest. */
  read() {
    this.marks?.replaceChildren();
    const at = new Map([...this.lines].map(([index, points]) => [index, this.nearestPoint(points)]));
    for (const row of this.readout.tBodies[0].rows) {
      const index = Number(row.dataset.curve);
      const point = at.get(index);
      row.className = point ? "" : "off";
      row.querySelector(".mean").textContent = point ? fixed(point.mean) : "-";
      row.querySelector(".seeds-range").textContent = point ? `${fixed(point.low)} to ${fixed(point.high)} (${point.n})` : "-";
      row.querySelector(".difference").textContent = point && point.difference !== null ? signed(point.difference) : "-";
      if (point && this.cursor !== null) {
        this.marks.append(make("circle", { class: `at ${this.curves[index].look}`, cx: this.place.x(point.x), cy: this.place.y(point.mean), r: 4 }));
      }
    }
    this.say();
  }

  nearestPoint(points) {
    if (this.cursor === null) return points[points.length - 1];
    return points.reduce((best, point) => (Math.abs(point.x - this.cursor) < Math.abs(best.x - this.cursor) ? point : best));
  }

  /** The cursor's line, and the same reading in words for who doesn't see the drawing. */
  say() {
    const where = this.cursor === null ? "At the end" : `${PIECES[this.across]}: ${exact(this.cursor)}`;
    this.readout.caption.textContent = `${where}, in ${this.figure.dataset.unit}. Point at the curves, or use the arrow keys, to read them elsewhere.`;
    const index = this.cursor === null ? this.stops.length - 1 : this.stops.indexOf(this.cursor);
    const told = [...this.lines.keys()].map((each) => `${this.curves[each].name} ${this.readout.tBodies[0].rows[each].querySelector(".mean").textContent}`);
    this.svg.setAttribute("aria-valuemin", 0);
    this.svg.setAttribute("aria-valuemax", Math.max(0, this.stops.length - 1));
    this.svg.setAttribute("aria-valuenow", Math.max(0, index));
    this.svg.setAttribute("aria-valuetext", `${where}: ${told.join(", ")}`);
    if (this.cursor !== null && this.stops.length) {
      const x = this.place.x(this.cursor);
      this.marks.prepend(make("line", { class: "cursor", x1: x, x2: x, y1: 8, y2: this.place.bottom }));
    }
  }

  emphasise(chosen) {
    for (const path of this.svg.querySelectorAll("path[data-curve]")) {
      path.classList.toggle("faded", chosen !== null && this.shown.has(chosen) && Number(path.dataset.curve) !== chosen);
    }
  }
}

for (const { anchor, curves } of JSON.parse(document.getElementById("curves").textContent)) {
  const figure = document.querySelector(`figure.curves[data-section="${anchor}"]`);
  if (figure) new Chart(figure, curves);
}
