// Plots of numbers over numbers: lines, points, roofs, and bands over time.

// A number's place along an axis, and ticks for it.
function measure(lo, hi, from, to, log) {
  const f = log ? Math.log10 : (v) => v;
  const at = (v) => from + ((f(v) - f(lo)) / (f(hi) - f(lo) || 1)) * (to - from);
  const ticks = [];
  if (log) {
    const decades = Math.log10(hi / lo);
    const wanted = decades > 5 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
    for (let e = Math.floor(Math.log10(lo)); e <= Math.log10(hi); e++) {
      for (const d of wanted) if (d * 10 ** e >= lo * 0.999 && d * 10 ** e <= hi * 1.001) ticks.push(d * 10 ** e);
    }
  } else {
    const step = roundStep((hi - lo) / 5 || 1);
    for (let t = Math.ceil(lo / step - 1e-9) * step; t <= hi + step * 1e-6; t += step) ticks.push(Math.abs(t) < step * 1e-6 ? 0 : t);
  }
  return { at, ticks };
}

function tickNumber(value) {
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(0).replace("e+", "e")
    : Number(value.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 6 });
}

// Axes with ticks, and titles: y above the plot, x below it. Returns where a point lies.
function frame(ctx, colours, box, x, y) {
  const across = measure(x.lo, x.hi, box.left, box.right, x.log);
  const up = measure(y.lo, y.hi, box.bottom, box.top, y.log);
  ctx.lineWidth = 1;
  ctx.font = "12px " + FONT;
  ctx.textAlign = "right";
  for (const tick of up.ticks) {
    ctx.strokeStyle = colours.grid;
    ctx.beginPath();
    ctx.moveTo(box.left, up.at(tick));
    ctx.lineTo(box.right, up.at(tick));
    ctx.stroke();
    ctx.fillStyle = colours.muted;
    ctx.fillText(tickNumber(tick), box.left - 6, up.at(tick));
  }
  ctx.textAlign = "center";
  const ticks = x.ticks || across.ticks;
  const texts = ticks.map(tickNumber);
  const step = fitting(ctx, texts, (i) => across.at(ticks[i]), 10);
  ticks.forEach((tick, i) => {
    if (i % step) return;
    ctx.fillStyle = colours.muted;
    // The last one must not leave the picture.
    const most = box.right + 12 - ctx.measureText(texts[i]).width / 2;
    ctx.fillText(texts[i], Math.min(across.at(tick), most), box.bottom + 13);
  });
  ctx.strokeStyle = colours.line;
  ctx.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.fillStyle = colours.ink;
  ctx.font = "600 12px " + FONT;
  ctx.textAlign = "left";
  ctx.fillText("↑ " + y.title, 2, box.top - 13);
  ctx.fillText(x.title + " →", box.left, box.bottom + 33);
  ctx.font = "12px " + FONT;
  return (a, b) => [across.at(a), up.at(b)];
}

// A plot whose points can be explored. Each point has a place and a cell.
class PointPlot {
  constructor(choose) {
    this.choose = choose;
    this.canvas = el("canvas", { tabIndex: 0, role: "application" });
    this.ring = el("div", { className: "ring" });
    this.ring.style.borderRadius = "50%";
    this.tip = el("div", { className: "tip" });
    this.node = el("div", { className: "picture" }, this.canvas, this.ring, this.tip);
    this.points = [];
    this.at = -1;
    this.canvas.addEventListener("pointermove", (e) => e.pointerType === "mouse" && this.show(this.nearest(e), false));
    this.canvas.addEventListener("pointerleave", (e) => e.pointerType === "mouse" && this.hide());
    this.canvas.addEventListener("click", (e) => this.show(this.nearest(e), true));
    this.canvas.addEventListener("blur", () => this.hide());
    this.canvas.addEventListener("keydown", (e) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[e.key];
      if (e.key === "Escape") this.hide();
      if (!by || !this.points.length) return;
      e.preventDefault();
      this.show((this.at + by + this.points.length) % this.points.length, true);
    });
  }

  nearest(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let [best, least] = [-1, 24 * 24];
    this.points.forEach((p, i) => {
      const far = (p.x - x) ** 2 + (p.y - y) ** 2;
      if (far < least) [best, least] = [i, far];
    });
    return best;
  }

  show(i, pinned) {
    if (i < 0) return this.hide();
    this.at = i;
    const p = this.points[i];
    const ring = this.ring.style;
    [ring.left, ring.top, ring.width, ring.height, ring.display] = [p.x - 7 + "px", p.y - 7 + "px", "14px", "14px", "block"];
    const [value, about] = p.tell();
    this.tip.replaceChildren(el("b", { textContent: value }), about);
    this.tip.style.display = "block";
    const size = this.tip.getBoundingClientRect();
    const box = this.node.getBoundingClientRect();
    this.tip.style.left = Math.min(Math.max(p.x - size.width / 2, 0), box.width - size.width) + "px";
    this.tip.style.top = (p.y - size.height - 12 > 0 ? p.y - size.height - 12 : p.y + 14) + "px";
    if (this.choose) this.choose(p, pinned);
  }

  hide() {
    this.tip.style.display = "none";
    this.ring.style.display = "none";
  }
}

function legendRow(ctx, colours, items, left, top, width) {
  let [x, y] = [left, top];
  ctx.textAlign = "left";
  for (const [name, colour] of items) {
    const room = ctx.measureText(name).width + 30;
    if (x + room > left + width && x > left) [x, y] = [left, y + 18];
    ctx.fillStyle = colour;
    ctx.fillRect(x, y - 5, 10, 10);
    ctx.fillStyle = colours.ink;
    ctx.fillText(name, x + 15, y);
    x += room;
  }
  return y + 18;
}

function range(values) {
  let [lo, hi] = [Infinity, -Infinity];
  for (const v of values) if (Number.isFinite(v)) [lo, hi] = [Math.min(lo, v), Math.max(hi, v)];
  return [lo, hi];
}

// One metric along one axis, a line a kernel: medians where several cells share a place, bars for 95 % intervals.
function drawLines(plot, view, width) {
  const { run, rows, x, metric, values, scale } = view;
  const colours = theme();
  const groups = new Map();
  for (const i of rows) {
    if (!Number.isFinite(values[i])) continue;
    const name = run.name(i);
    if (!groups.has(name)) groups.set(name, new Map());
    const places = groups.get(name);
    if (!places.has(x.column[i])) places.set(x.column[i], []);
    places.get(x.column[i]).push(i);
  }
  const names = [...groups.keys()].sort();
  const height = 400;
  const ctx = pen(plot.canvas, width, height);
  plot.points = [];
  plot.hide();
  plot.at = -1;
  const by = scale.by;
  const [, most] = range(rows.filter ? Array.from(rows, (i) => values[i]) : []);
  const legendEnd = names.length > 1 ? legendRow(ctx, colours, names.slice(0, 8).map((n, i) => [n, CATEGORIES[i % 8]]), 8, 12, width - 16) : 4;
  const [least, last] = [x.values[0], x.values[x.values.length - 1]];
  const even = x.values.every((v, i) => i < 2 || v / x.values[i - 1] >= 1.5);
  const log = least > 0 && last / least > 20 && even;
  const lo = metric.even === undefined ? 0 : Math.min(scale.lo, metric.even);
  const hi = metric.even === undefined ? Math.max(most * by * 1.06, 1e-12) : scale.hi;
  const box = { left: 58, right: width - 14, top: legendEnd + 28, bottom: height - 48 };
  const title = metric.label + (scale.unit ? ", " + scale.unit : "");
  const at = frame(ctx, colours, box, { lo: least, hi: last === least ? least + 1 : last, log, title: x.title, ticks: x.values.length <= 24 ? x.values : null }, { lo, hi, title });
  const [below, above] = [run.col("median_below"), run.col("median_above")];
  names.forEach((name, series) => {
    const colour = CATEGORIES[series % 8];
    [ctx.strokeStyle, ctx.fillStyle, ctx.lineWidth] = [colour, colour, 1.5];
    const line = [...groups.get(name)].sort((a, b) => a[0] - b[0]);
    ctx.beginPath();
    for (const [place, cells] of line) {
      const value = median(cells.map((i) => values[i]));
      const [px, py] = at(place, value * by);
      ctx.lineTo(px, py);
      plot.points.push({
        x: px, y: py, run, cells,
        tell: () => [withUnit(scale.text(value), scale.unit), `${x.label} ${x.name(place)}, ${name}${cells.length > 1 ? ` · median of ${cells.length} cells` : ""}`],
      });
    }
    ctx.globalAlpha = 0.55;
    ctx.stroke();
    ctx.globalAlpha = 1;
    for (const [place, cells] of line) {
      const value = median(cells.map((i) => values[i]));
      const [px, py] = at(place, value * by);
      if (cells.length === 1 && metric.key === "tflops" && Number.isFinite(below[cells[0]])) {
        // A longer time is a lower throughput.
        ctx.beginPath();
        ctx.moveTo(px, at(place, (value * by) / (1 + above[cells[0]] / 1e4))[1]);
        ctx.lineTo(px, at(place, (value * by) / Math.max(1 - below[cells[0]] / 1e4, 0.01))[1]);
        ctx.stroke();
      }
      ctx.beginPath();
      ctx.arc(px, py, line.length > 200 ? 1.6 : 2.8, 0, 7);
      ctx.fill();
    }
  });
  plot.canvas.setAttribute("aria-label", `${title} by ${x.label} on ${run.device}. The arrow keys move from point to point; the table further down holds the same numbers.`);
}

// Throughput over arithmetic intensity, with the roofs that the record gives.
function drawRoofline(plot, run, width) {
  const colours = theme();
  const [intensity, tflops, clock, part] = ["intensity", "tflops", "clock_mhz", "part"].map((n) => run.col(n));
  const own = run.col("own_data");
  const rows = Array.from(run.all).filter((i) => tflops[i] > 0 && !own[i] && Number.isFinite(intensity[i]));
  const [, fastest] = range(rows.map((i) => clock[i]));
  const mhz = run.max_clock_mhz || fastest;
  const roof = (run.peak_flop_per_cycle * mhz * 1e6) / 1e12;
  const bandwidth = run.bandwidth_bytes_per_s;
  const by = Math.max(...range(rows.map((i) => tflops[i])), Number.isFinite(roof) ? roof : 0) < 1 ? 1000 : 1;
  const unit = by === 1 ? "TFLOP/s" : "GFLOP/s";
  const height = 380;
  const ctx = pen(plot.canvas, width, height);
  plot.points = [];
  plot.hide();
  plot.at = -1;
  if (!rows.length) return "";
  const parts = [...new Set(rows.map((i) => part[i]))];
  const colour = new Map(parts.map((p, i) => [p, CATEGORIES[i % 8]]));
  const end = parts.length > 1 ? legendRow(ctx, colours, parts.slice(0, 8).map((p) => [page.strings[p] || "(no part)", colour.get(p)]), 8, 12, width - 16) : 4;
  let [xlo, xhi] = range(rows.map((i) => intensity[i]));
  let [ylo, yhi] = range(rows.map((i) => tflops[i] * by));
  [xlo, xhi] = [xlo / 1.4, xhi * 1.4];
  yhi = Math.max(yhi, roof * by || 0) * 1.3;
  ylo = Math.min(ylo / 1.5, yhi / 30);
  const box = { left: 58, right: width - 14, top: end + 28, bottom: height - 48 };
  const at = frame(ctx, colours, box, { lo: xlo, hi: xhi, log: true, title: "FLOP per byte that must move" }, { lo: ylo, hi: yhi, log: true, title: "Throughput, " + unit });
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.clip();
  [ctx.strokeStyle, ctx.fillStyle, ctx.lineWidth] = [colours.ink, colours.ink, 1.5];
  if (roof > 0) {
    const knee = bandwidth > 0 ? (roof * 1e12) / bandwidth : xlo;
    ctx.beginPath();
    if (bandwidth > 0) ctx.moveTo(...at(xlo, ((xlo * bandwidth) / 1e12) * by));
    ctx.lineTo(...at(Math.max(knee, xlo), roof * by));
    ctx.lineTo(...at(xhi, roof * by));
    ctx.stroke();
  }
  ctx.globalAlpha = rows.length > 3000 ? 0.4 : 0.75;
  const size = rows.length > 3000 ? 1.3 : 2.6;
  const drawn = new Set();
  for (const i of rows) {
    const [x, y] = at(intensity[i], tflops[i] * by);
    // Of cells that fall on the same spot of one colour, one is drawn.
    const spot = (part[i] * 8192 + Math.round(x * 2)) * 8192 + Math.round(y * 2);
    if (drawn.has(spot)) continue;
    drawn.add(spot);
    ctx.fillStyle = colour.get(part[i]);
    if (size < 2) ctx.fillRect(x - size, y - size, 2 * size, 2 * size);
    else {
      ctx.beginPath();
      ctx.arc(x, y, size, 0, 7);
      ctx.fill();
    }
    plot.points.push({ x, y, run, cells: [i], tell: () => [`${short(tflops[i] * by)} ${unit}`, `${shapeText(run, i)}, ${short(intensity[i])} FLOP per byte`] });
  }
  ctx.restore();
  plot.canvas.setAttribute("aria-label", `Throughput over arithmetic intensity on ${run.device}, ${whole(rows.length)} cells. The table further down holds the same numbers.`);
  return roof > 0 ? `${short(roof * by, 4)} ${unit}: ${whole(run.peak_flop_per_cycle)} FLOP a cycle at ${whole(Math.round(mhz))} MHz` : "";
}

// Mean and range of clock, power or temperature over the time of one folder's run.
function drawBand(canvas, timeline, which, label, unit, width) {
  const colours = theme();
  const { lo, mean, hi } = timeline[which];
  const height = 190;
  const ctx = pen(canvas, width, height);
  const [least] = range(lo);
  const [, most] = range(hi);
  const room = Math.max((most - least) * 0.12, Math.abs(most) * 0.01, 1);
  const box = { left: 58, right: width - 14, top: 30, bottom: height - 46 };
  const end = mean.length * timeline.width_s;
  const y = { lo: Math.max(0, least - room), hi: most + room, title: `${label}, ${unit}` };
  const at = frame(ctx, colours, box, { lo: 0, hi: end, title: "Time since the run began, s" }, y);
  const x = (i) => (i + 0.5) * timeline.width_s;
  ctx.fillStyle = colours.accent;
  // Each bin's range as a bar of its own: an empty bin stays empty.
  ctx.globalAlpha = 0.25;
  mean.forEach((v, i) => {
    if (v === null) return;
    const [left, top] = at(i * timeline.width_s, hi[i]);
    const [right, bottom] = at((i + 1) * timeline.width_s, lo[i]);
    ctx.fillRect(left, top, Math.max(right - left, 1), Math.max(bottom - top, 1));
  });
  ctx.globalAlpha = 1;
  [ctx.strokeStyle, ctx.lineWidth] = [colours.accent, 1.6];
  ctx.beginPath();
  let drawing = false;
  mean.forEach((v, i) => {
    if (v === null) drawing = false;
    else {
      const point = at(x(i), v);
      if (drawing) ctx.lineTo(...point);
      else {
        ctx.moveTo(...point);
        ctx.lineTo(point[0] + 0.8, point[1]);
      }
      drawing = true;
    }
  });
  ctx.stroke();
  ctx.fillStyle = colours.bad;
  timeline.throttled.forEach((count, i) => count > 0 && ctx.fillRect(at(x(i), 0)[0] - 1, box.bottom - 6, 3, 6));
  canvas.setAttribute("role", "img");
  const held = timeline.throttled.reduce((a, b) => a + b, 0);
  canvas.setAttribute("aria-label", `${label} from ${short(least)} to ${short(most)} ${unit} over ${short(end)} s; ${plural(held, "sample")} throttled.`);
}
