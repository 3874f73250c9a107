// A heatmap: cells laid out over two axes, drawn, and explored by pointer, finger and keyboard.

// Positions of an axis: its values, or bins of `perBin` neighbouring ones.
function positions(axis, perBin) {
  const count = Math.ceil(axis.values.length / perBin);
  const place = new Map(axis.values.map((v, i) => [v, Math.floor(i / perBin)]));
  const name = (i) => {
    const first = axis.values[i * perBin];
    const last = axis.values[Math.min((i + 1) * perBin, axis.values.length) - 1];
    return first === last ? axis.name(first) : axis.name(first) + "–" + axis.name(last);
  };
  return { count, perBin, place, name, tick: (i) => axis.name(axis.values[i * perBin]) };
}

// Values in a bin for at most `most` positions. Where alignment comes and goes along the axis, bins are long enough for each to hold the
// best of it, if that takes no more than sixteen times as much.
function binSize(axis, numbered, bytes, most) {
  const { values, column } = axis;
  const least = Math.ceil(values.length / most);
  if (least === 1) return 1;
  const place = new Map(values.map((v, i) => [v, i]));
  const best = new Float64Array(values.length);
  for (const row of numbered) {
    const i = place.get(column[row]);
    best[i] = Math.max(best[i], bytes[row]);
  }
  const top = best.reduce((a, b) => Math.max(a, b), 0);
  const holds = (size) => {
    for (let from = 0; from + size <= best.length; from += size) if (!best.subarray(from, from + size).includes(top)) return false;
    return true;
  };
  for (let size = least; size <= 16 * least; size++) if (holds(size)) return size;
  return least;
}

// Squares row by row. Each knows the cells that it shows; its value is their median. A bin may hold cells of several alignments, and their
// median would be the number of neither: `which` says whether it shows the most aligned ones, the least aligned ones or all.
function layOut(run, rows, x, y, values, most, which) {
  const bytes = run.col("row_bytes");
  const numbered = Array.from(rows).filter((row) => Number.isFinite(values[row]));
  const sizes = [binSize(x, numbered, bytes, most.x), binSize(y, numbered, bytes, most.y)];
  const [xs, ys] = [positions(x, sizes[0]), positions(y, sizes[1])];
  const squares = xs.count * ys.count;
  const at = new Int32Array(rows.length);
  const starts = new Int32Array(squares + 1);
  rows.forEach((row, i) => {
    at[i] = ys.place.get(y.column[row]) * xs.count + xs.place.get(x.column[row]);
    starts[at[i] + 1]++;
  });
  for (let i = 0; i < squares; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  const cells = new Int32Array(rows.length);
  rows.forEach((row, i) => (cells[next[at[i]]++] = row));
  const status = run.col("status");
  const medians = new Float64Array(squares).fill(NaN);
  const lacks = new Int8Array(squares).fill(-1);
  const binned = sizes.some((size) => size > 1);
  const mixed = new Set();
  const shown = new Map();
  for (let s = 0; s < squares; s++) {
    let found = [];
    for (let i = starts[s]; i < starts[s + 1]; i++) {
      if (Number.isFinite(values[cells[i]])) found.push(cells[i]);
      // A failure outweighs a skipped cell, and both a cell that has no such number.
      lacks[s] = Math.max(lacks[s], status[cells[i]]);
    }
    if (!found.length) continue;
    const classes = binned ? [...new Set(found.map((row) => bytes[row]))] : [];
    if (classes.length > 1) {
      classes.forEach((c) => mixed.add(c));
      if (which !== "all") {
        const kept = which === "least" ? Math.min(...classes) : Math.max(...classes);
        found = found.filter((row) => bytes[row] === kept);
        shown.set(s, Int32Array.from(found));
      }
    }
    medians[s] = found.length === 1 ? values[found[0]] : median(found.map((row) => values[row]));
  }
  const cellsOf = (s) => shown.get(s) || cells.subarray(starts[s], starts[s + 1]);
  return { xs, ys, medians, lacks, cellsOf, mixed: [...mixed].sort((a, b) => a - b) };
}

class HeatMap {
  // `choose(map, square, pinned)` is told of the square under the pointer or the cursor keys.
  constructor(choose) {
    this.choose = choose;
    this.canvas = el("canvas", { tabIndex: 0, role: "application" });
    this.ring = el("div", { className: "ring" });
    this.tip = el("div", { className: "tip" });
    this.node = el("div", { className: "picture" }, this.canvas, this.ring, this.tip);
    this.at = -1;
    const place = (event) => this.squareAt(event.clientX, event.clientY);
    this.canvas.addEventListener("pointermove", (e) => e.pointerType === "mouse" && this.show(place(e), false));
    this.canvas.addEventListener("pointerleave", (e) => e.pointerType === "mouse" && this.hide());
    this.canvas.addEventListener("click", (e) => this.show(place(e), true));
    this.canvas.addEventListener("keydown", (e) => this.key(e));
    this.canvas.addEventListener("focus", () => this.canvas.matches(":focus-visible") && this.at < 0 && this.step(0, 0));
    this.canvas.addEventListener("blur", () => this.hide());
  }

  // `view`: run, rows, x, y, metric, values, scale, which.
  draw(view, width) {
    Object.assign(this, view);
    this.hide();
    this.at = -1;
    const colours = theme();
    const probe = this.canvas.getContext("2d");
    probe.font = "12px " + FONT;
    const room = { x: Math.floor((width - 70) / 3), y: 160 };
    this.grid = layOut(this.run, this.rows, this.x, this.y, this.values, { x: Math.max(room.x, 8), y: room.y }, this.which);
    const { xs, ys } = this.grid;
    const names = Array.from({ length: ys.count }, (_, i) => ys.tick(i));
    const left = Math.ceil(Math.max(...names.map((n) => probe.measureText(n).width))) + 28;
    const plotWidth = width - left - 8;
    // Squares are at most so wide and so high, and a tall map still fits on a screen.
    this.w = Math.min(plotWidth / xs.count, 90);
    this.h = Math.min(Math.max(620 / ys.count, 3), 30, Math.max(this.w * 1.6, 15));
    this.left = left;
    this.top = 70;
    const height = Math.ceil(this.top + this.h * ys.count + 44);
    const ctx = pen(this.canvas, width, height);
    this.drawLegend(ctx, colours, left, Math.min(plotWidth, 420));
    this.drawSquares(ctx, colours);
    this.drawAxes(ctx, colours, names);
    const missing = this.rows.length ? "" : " There is no cell.";
    this.canvas.setAttribute(
      "aria-label",
      `${this.metric.label} by ${this.y.label} and ${this.x.label} on ${this.run.device}.${missing} The arrow keys move from cell to cell; the table further down holds the same numbers.`
    );
  }

  drawLegend(ctx, colours, left, width) {
    const { scale } = this;
    ctx.textAlign = "left";
    ctx.fillStyle = colours.ink;
    ctx.font = "600 12px " + FONT;
    ctx.fillText(this.metric.label + (scale.unit ? ", " + scale.unit : ""), left, 9);
    ctx.font = "11px " + FONT;
    if (scale.empty) {
      ctx.fillStyle = colours.muted;
      ctx.fillText("no cell here has this number", left, 28);
      return;
    }
    const span = (scale.hi - scale.lo) / scale.by;
    for (let i = 0; i < width; i++) {
      ctx.fillStyle = scale.css(scale.lo / scale.by + (span * (i + 0.5)) / width);
      ctx.fillRect(left + i, 19, 1.5, 11);
    }
    const ticks = scale.ticks();
    const x = (i) => left + ((ticks[i] - scale.lo) / (scale.hi - scale.lo)) * width;
    const step = fitting(ctx, ticks.map((t) => scale.tickText(t)), x);
    ctx.fillStyle = colours.muted;
    ticks.forEach((tick, i) => {
      if (i % step) return;
      ctx.textAlign = i === 0 ? "left" : i === ticks.length - 1 ? "right" : "center";
      ctx.fillText(scale.tickText(tick), x(i), 39);
    });
  }

  drawSquares(ctx, colours) {
    const { grid, scale, w, h } = this;
    const { medians, lacks } = grid;
    const gap = w >= 9 && h >= 9 ? 1 : 0;
    const numbers = w >= 38 && h >= 15;
    const width = this.run.col("width");
    this.marks = { skipped: 0, failed: 0, none: 0, uncertain: 0 };
    ctx.textAlign = "center";
    ctx.font = "11px " + FONT;
    for (let s = 0; s < medians.length; s++) {
      const [left, top] = this.corner(s);
      if (Number.isFinite(medians[s])) {
        ctx.fillStyle = scale.css(medians[s]);
        // A little overlap closes the seams that rounding leaves between squares without a gap.
        ctx.fillRect(left, top, w - gap + (gap ? 0 : 0.5), h - gap + (gap ? 0 : 0.5));
        const ink = scale.ink(medians[s]);
        const cells = grid.cellsOf(s);
        const wide = cells.length === 1 ? width[cells[0]] : median(Array.from(cells, (i) => width[i]).filter(Number.isFinite));
        const uncertain = this.metric.timed && wide;
        if (uncertain > 0.05) {
          this.marks.uncertain++;
          if (w >= 9 && h >= 9) {
            ctx.fillStyle = ink;
            ctx.beginPath();
            ctx.moveTo(left + w - gap, top);
            ctx.lineTo(left + w - gap, top + 5);
            ctx.lineTo(left + w - gap - 5, top);
            ctx.fill();
          }
        }
        if (numbers) {
          ctx.fillStyle = ink;
          ctx.fillText(scale.text(medians[s]), left + (w - gap) / 2, top + (h - gap) / 2 + 0.5);
        }
      } else if (lacks[s] >= 0) {
        this.drawGap(ctx, colours, left, top, w - gap, h - gap, lacks[s]);
      }
    }
  }

  drawGap(ctx, colours, left, top, w, h, lack) {
    const kind = lack === 0 ? "none" : lack === 1 ? "skipped" : "failed";
    this.marks[kind]++;
    ctx.fillStyle = colours.panel;
    ctx.fillRect(left, top, w, h);
    ctx.strokeStyle = kind === "failed" ? colours.bad : colours.muted;
    ctx.lineWidth = kind === "failed" ? 1.6 : 1;
    if (w < 4 || h < 4) {
      ctx.fillStyle = kind === "failed" ? colours.bad : colours.line;
      ctx.fillRect(left, top, w + 0.5, h + 0.5);
      return;
    }
    ctx.beginPath();
    const size = Math.min(w, h, 12) / 2 - 1;
    const [x, y] = [left + w / 2, top + h / 2];
    if (kind === "none") {
      ctx.moveTo(x - size / 2, y);
      ctx.lineTo(x + size / 2, y);
    } else {
      ctx.moveTo(x - size, y + size);
      ctx.lineTo(x + size, y - size);
      if (kind === "failed") {
        ctx.moveTo(x - size, y - size);
        ctx.lineTo(x + size, y + size);
      }
    }
    ctx.stroke();
  }

  drawAxes(ctx, colours, names) {
    const { xs, ys } = this.grid;
    ctx.font = "12px " + FONT;
    ctx.fillStyle = colours.muted;
    ctx.textAlign = "right";
    const every = Math.max(1, Math.ceil(15 / this.h));
    names.forEach((name, i) => {
      if (i % every === 0) ctx.fillText(name, this.left - 6, this.top + this.h * (ys.count - 1 - i + 0.5));
    });
    ctx.textAlign = "center";
    const ticks = Array.from({ length: xs.count }, (_, i) => xs.tick(i));
    const centre = (i) => this.left + this.w * (i + 0.5);
    const step = fitting(ctx, ticks, centre);
    const bottom = this.top + this.h * ys.count;
    ticks.forEach((tick, i) => i % step === 0 && ctx.fillText(tick, Math.max(centre(i), this.left + ctx.measureText(tick).width / 2 - 4), bottom + 11));
    ctx.fillStyle = colours.ink;
    ctx.font = "600 12px " + FONT;
    const binned = (axis, side) => (side.perBin > 1 ? `${axis.title} (${side.perBin} values a step)` : axis.title);
    ctx.textAlign = "left";
    ctx.fillText(binned(this.x, xs) + " →", this.left, bottom + 31);
    ctx.fillText("↑ " + binned(this.y, ys), 2, this.top - 11);
  }

  corner(square) {
    const { xs, ys } = this.grid;
    return [this.left + (square % xs.count) * this.w, this.top + (ys.count - 1 - Math.floor(square / xs.count)) * this.h];
  }

  squareAt(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const { xs, ys } = this.grid;
    const x = Math.floor((clientX - box.left - this.left) / this.w);
    const y = ys.count - 1 - Math.floor((clientY - box.top - this.top) / this.h);
    return x >= 0 && y >= 0 && x < xs.count && y < ys.count ? y * xs.count + x : -1;
  }

  show(square, pinned) {
    if (square < 0 || this.grid.lacks[square] < 0) return this.hide();
    this.at = square;
    const [left, top] = this.corner(square);
    const ring = this.ring.style;
    [ring.left, ring.top, ring.width, ring.height, ring.display] = [left - 2 + "px", top - 2 + "px", this.w + 3 + "px", this.h + 3 + "px", "block"];
    const value = this.grid.medians[square];
    const cells = this.grid.cellsOf(square);
    const { xs, ys } = this.grid;
    const where = `${this.y.label} ${ys.name(Math.floor(square / xs.count))}, ${this.x.label} ${xs.name(square % xs.count)}`;
    const lack = STATUS[this.grid.lacks[square]];
    const told = Number.isFinite(value) ? withUnit(this.scale.text(value), this.scale.unit) : lack === "ok" ? "no such number" : lack;
    this.tip.replaceChildren(el("b", { textContent: told }), where, cells.length > 1 ? el("span", { textContent: ` · median of ${whole(cells.length)} cells` }) : "", this.aligned(cells));
    this.tip.style.display = "block";
    const box = this.node.getBoundingClientRect();
    const size = this.tip.getBoundingClientRect();
    const x = Math.min(Math.max(left + this.w / 2 - size.width / 2, 0), box.width - size.width);
    this.tip.style.left = x + "px";
    this.tip.style.top = (top - size.height - 8 > 0 ? top - size.height - 8 : top + this.h + 8) + "px";
    this.choose(this, square, pinned);
  }

  // The alignment of a square's cells, where other squares or the rest of its bin have another.
  aligned(cells) {
    const bytes = this.run.col("row_bytes");
    const classes = this.grid.mixed.length ? new Set(Array.from(cells, (i) => bytes[i])) : [];
    return classes.size === 1 ? el("span", { textContent: ` · rows at multiples of ${whole([...classes][0])} bytes` }) : "";
  }

  hide() {
    this.tip.style.display = "none";
    this.ring.style.display = "none";
  }

  // Moves to the next square that holds a cell.
  step(dx, dy) {
    const { xs, ys, lacks } = this.grid;
    if (this.at < 0) {
      const first = lacks.findIndex((l) => l >= 0);
      if (first >= 0) this.show(first, true);
      return;
    }
    let [x, y] = [this.at % xs.count, Math.floor(this.at / xs.count)];
    for (;;) {
      [x, y] = [x + dx, y + dy];
      if (x < 0 || y < 0 || x >= xs.count || y >= ys.count || (!dx && !dy)) return this.show(this.at, true);
      if (lacks[y * xs.count + x] >= 0) return this.show(y * xs.count + x, true);
    }
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key === "Escape") return this.hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.step(...moves[event.key]);
  }

  // What the marks mean that are in the picture.
  legend() {
    const { skipped, failed, none, uncertain } = this.marks;
    const told = [];
    if (uncertain) told.push(`${plural(uncertain, "square")} with a dark or light corner: the interval is wider than 5 %`);
    if (skipped) told.push(`/ ${plural(skipped, "square")} skipped`);
    if (failed) told.push(`✕ ${plural(failed, "square")} failed`);
    if (none) told.push(`– ${plural(none, "square")} without this number`);
    return told.join("; ");
  }
}
