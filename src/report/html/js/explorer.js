// The explorer: which cells, which axes, which number; and the evidence for what is under the pointer.

function shapeText(run, i) {
  return ["m", "n", "k"].map((name) => whole(run.col(name)[i])).join(" × ");
}

// The axes along which these cells differ. Sizes that are always equal are one axis, and what repeats another axis is left out.
function axesOf(run, rows) {
  if (!axesKnown.has(rows)) axesKnown.set(rows, findAxes(run, rows));
  return axesKnown.get(rows).map((axis) => ({ ...axis }));
}

const axesKnown = new WeakMap();

function findAxes(run, rows) {
  const axes = [];
  for (const spec of AXES) {
    const column = run.col(spec.key);
    const distinct = new Set();
    for (const i of rows) distinct.add(column[i]);
    distinct.delete(NaN);
    if (distinct.size < 2) continue;
    const same = axes.find((a) => a.values.length === distinct.size && every(rows, (i) => a.column[i] === column[i]));
    if (same) {
      if (!spec.derived) same.label += " = " + spec.label;
      continue;
    }
    const sign = spec.key.startsWith("pad_") ? "+" : "";
    axes.push({
      ...spec,
      column,
      values: [...distinct].sort((a, b) => a - b),
      name: (v) => (spec.top && v >= spec.top ? "≥" + spec.top : (v > 0 ? sign : "") + v),
    });
  }
  for (const axis of axes) axis.title = axis.long ? `${axis.long} (${axis.label})` : axis.label;
  return axes;
}

function every(rows, test) {
  for (const i of rows) if (!test(i)) return false;
  return true;
}

// The two axes that most combinations of values were measured of, or one where there is no second.
function mainAxes(axes, rows) {
  const free = axes.filter((a) => !a.derived);
  const choice = free.length ? free : axes;
  let best = { y: null, x: choice[0] || null, count: 0 };
  for (let a = 0; a < choice.length; a++) {
    for (let b = a + 1; b < choice.length; b++) {
      const pairs = new Set();
      for (const i of rows) pairs.add(choice[a].column[i] * 4194304 + choice[b].column[i]);
      const filled = pairs.size / (choice[a].values.length * choice[b].values.length);
      // Two sizes that move together fill a diagonal; that is a line and no map.
      if (filled > 0.2 && pairs.size * filled > best.count) best = { y: choice[a], x: choice[b], count: pairs.size * filled };
    }
  }
  if (!best.y && choice.length > 1) best.x = choice.reduce((a, b) => (b.values.length > a.values.length ? b : a));
  return best;
}

class Explorer {
  constructor(host, runs) {
    this.host = host;
    this.runs = runs;
    this.state = { part: null, kernel: "", regime: null, metric: null, x: null, y: null, hold: {} };
    this.controls = el("div", { className: "controls" });
    this.maps = el("div", { className: "runs" });
    this.frame = el("div", { className: "explorer" });
    this.note = el("p", { className: "caption" });
    this.evidence = el("aside", { className: "evidence", id: "evidence", tabIndex: -1 });
    this.evidence.setAttribute("aria-live", "polite");
    this.evidence.setAttribute("aria-label", "Evidence for the chosen cell");
    host.append(
      el("p", { className: "lead", textContent: "Point at a square, tap it, or use the arrow keys: its evidence is by the map. A click holds it." }),
      this.controls,
      this.frame
    );
    this.frame.append(el("div", {}, this.maps, this.note), this.evidence);
    this.views = new Map();
    this.rowsKnown = new Map();
    this.shown = [];
    this.update();
  }

  set visible(runs) {
    this.shown = runs;
    this.update();
  }

  // Choices offered are those of all runs in view, in the order of the plan.
  names(column) {
    const first = new Map();
    for (const run of this.shown) {
      const [values, cell] = [run.col(column), run.col("cell")];
      for (let i = 0; i < run.rows; i++) {
        const name = page.strings[values[i]] || "";
        if (!(first.get(name) <= cell[i])) first.set(name, Number.isNaN(cell[i]) ? Infinity : cell[i]);
      }
    }
    return [...first].sort((a, b) => a[1] - b[1]).map(([name]) => name);
  }

  rowsOf(run) {
    const { part, kernel, regime, hold } = this.state;
    const key = JSON.stringify([run.index, part, kernel, regime, hold]);
    if (this.rowsKnown.has(key)) return this.rowsKnown.get(key);
    const [parts, regimes] = [run.col("part"), run.col("regime")];
    const number = (text) => new Set(page.strings.flatMap((s, i) => (s === text ? [i] : [])));
    const [inPart, inRegime] = [number(part), number(regime)];
    const held = Object.entries(hold).filter(([, value]) => value !== "");
    const rows = Array.from(run.all).filter(
      (i) =>
        inPart.has(parts[i]) &&
        (regime === "" || inRegime.has(regimes[i])) &&
        (kernel === "" || run.name(i) === kernel || run.text("kernel", i) === kernel) &&
        held.every(([key, value]) => String(run.col(key)[i]) === value)
    );
    if (this.rowsKnown.size > 40) this.rowsKnown.clear();
    this.rowsKnown.set(key, rows);
    return rows;
  }

  // A dispatcher's choices make one map; kernels that were measured side by side do not.
  sideBySide(run, part) {
    const [parts, kernels] = [run.col("part"), run.col("kernel")];
    const seen = new Map();
    for (let i = 0; i < run.rows; i++) {
      if (page.strings[parts[i]] !== part) continue;
      const key = SHAPE.map((name) => run.col(name)[i]).join() + run.col("regime")[i];
      const name = kernels[i];
      if (seen.has(key) && seen.get(key) !== name && Number.isNaN(run.col("pair")[i])) return true;
      seen.set(key, name);
    }
    return false;
  }

  update() {
    if (!this.shown.length) return;
    const { state } = this;
    const parts = this.names("part");
    if (!parts.includes(state.part)) this.choosePart(parts);
    this.render();
  }

  choosePart(parts) {
    // The part with the most measured combinations of two axes tells the most; strides before all where they are there.
    const run = this.shown[0];
    const column = run.col("part");
    const weight = (part) => {
      const rows = Array.from(run.all).filter((i) => page.strings[column[i]] === part);
      const { y, count } = mainAxes(axesOf(run, rows), rows);
      return (y ? 1e9 : 0) + count;
    };
    this.setPart(parts.length > 1 ? parts.reduce((a, b) => (weight(b) > weight(a) ? b : a)) : parts[0]);
  }

  setPart(part) {
    const { state } = this;
    const run = this.shown.find((r) => this.has(r, part)) || this.shown[0];
    Object.assign(state, { part, kernel: "", regime: "", hold: {} });
    const regimes = this.names("regime");
    if (regimes.length > 1) state.regime = regimes.includes("cold") ? "cold" : regimes[0];
    const names = this.kernelsOf(part);
    this.several = names.length > 1 && this.sideBySide(run, part);
    const rows = this.rowsOf(run);
    this.chooseAxes(axesOf(run, rows), rows);
    if (this.several && state.y !== "") state.kernel = names[0];
    if (!this.metrics().some((m) => m.key === state.metric)) state.metric = this.defaultMetric();
  }

  has(run, part) {
    return run.col("part").some((p) => page.strings[p] === part);
  }

  // Kernels of a part, or kernels with their variants.
  kernelsOf(part, variants = false) {
    const found = new Set();
    for (const run of this.shown) {
      const [parts, kernels, kinds] = ["part", "kernel", "variant"].map((name) => run.col(name));
      const seen = new Map();
      for (const i of run.all) {
        if (page.strings[parts[i]] === part) seen.set(kernels[i] * 1048576 + (variants ? kinds[i] : 0), i);
      }
      for (const i of seen.values()) found.add(variants ? run.name(i) : run.text("kernel", i));
    }
    return [...found].sort();
  }

  chooseAxes(axes, rows) {
    const { x, y } = mainAxes(axes, rows);
    Object.assign(this.state, { x: x ? x.key : "", y: y ? y.key : "" });
  }

  metrics() {
    return METRICS.filter((metric) =>
      this.shown.some((run) => {
        const values = metricOf(run, metric);
        return this.rowsOf(run).some((i) => Number.isFinite(values[i]));
      })
    );
  }

  defaultMetric() {
    const found = this.metrics();
    return found.length ? (found.find((m) => m.key === "ratio") || found[0]).key : METRICS[0].key;
  }

  render() {
    const { state } = this;
    const metrics = this.metrics();
    if (!metrics.some((m) => m.key === state.metric) && metrics.length) state.metric = metrics[0].key;
    const metric = METRICS.find((m) => m.key === state.metric) || METRICS[0];
    const lead = this.shown.find((r) => this.has(r, state.part)) || this.shown[0];
    const rows = this.rowsOf(lead);
    const axes = axesOf(lead, rows);
    if (!axes.some((a) => a.key === state.x)) this.chooseAxes(axes, rows);
    const x = axes.find((a) => a.key === state.x);
    const y = axes.find((a) => a.key === state.y && a !== x);
    this.renderControls(metrics, metric, axes, x, y, lead);

    // One scale for all maps, so that colours can be compared across them.
    const values = this.shown.map((run) => metricOf(run, metric));
    const chosen = this.shown.map((run) => this.rowsOf(run));
    const scale = new Scale(
      (function* () {
        for (let r = 0; r < chosen.length; r++) for (const i of chosen[r]) yield values[r][i];
      })(),
      metric
    );
    this.maps.replaceChildren();
    this.frame.className = this.shown.length > 1 ? "stacked" : "explorer";
    this.pinned = null;
    const told = [];
    let first = null;
    // All stand in their places before the first is drawn: only then is its width known.
    const figures = this.shown.map((run) => el("figure", {}, this.shown.length > 1 ? el("h3", { textContent: run.label }) : null));
    this.maps.append(...figures);
    this.shown.forEach((run, r) => {
      const found = this.draw(figures[r], { run, rows: chosen[r], metric, values: values[r], scale }, x, y);
      first = first || (found && { run, cells: found });
    });
    const free = axes.filter((a) => !a.derived && a !== x && a !== y && !(state.hold[a.key] || ""));
    if (y && free.length) told.push(`each square is the median over ${free.map((a) => a.label).join(", ")} where several cells share it`);
    this.note.textContent = told.length ? capital(told.join(". ")) + "." : "";
    if (first && first.cells.length) this.show(first.run, first.cells, false);
    else this.evidence.replaceChildren(el("p", { className: "muted", textContent: "No cell is chosen." }));
  }

  // One run's map or lines. Returns cells whose evidence is worth showing first.
  draw(figure, view, x, y) {
    const { run, rows } = view;
    const say = (text) => figure.append(el("p", { className: "muted", textContent: text }));
    if (!rows.length) return void say("This run has no such cells.");
    const axes = axesOf(run, rows);
    const on = (axis) => axis && (axes.find((a) => a.key === axis.key) || single(run, axis, rows));
    Object.assign(view, { x: on(x), y: on(y) });
    if (!view.x) {
      say("All these cells have the same shape; the table further down lists them.");
      return rows;
    }
    const key = run.index + (view.y ? "map" : "lines");
    if (!this.views.has(key)) {
      const map = () => new HeatMap((m, square, pin) => this.show(m.run, m.grid.cellsOf(square), pin));
      this.views.set(key, view.y ? map() : new PointPlot((p, pin) => this.show(p.run, p.cells, pin)));
    }
    const picture = this.views.get(key);
    figure.append(picture.node);
    const width = Math.floor(picture.node.getBoundingClientRect().width) || 320;
    if (view.y) {
      picture.draw(view, width);
      const legend = picture.legend();
      if (legend) figure.append(el("p", { className: "caption", textContent: legend }));
      return middle(picture.grid);
    }
    drawLines(picture, view, width);
    return picture.points.length ? picture.points[picture.points.length >> 1].cells : null;
  }

  renderControls(metrics, metric, axes, x, y, lead) {
    const { state } = this;
    const change = (name, act) => (value) => {
      state[name] = value;
      if (act) act(value);
      this.render();
    };
    const list = (names, all) => [...(all ? [{ value: "", label: all }] : []), ...names.map((n) => ({ value: n, label: n || "(none)" }))];
    const parts = this.names("part");
    const boxes = [];
    if (parts.length > 1) boxes.push(select("Part of the plan", list(parts), state.part, (v) => { this.setPart(v); this.render(); }));
    boxes.push(select("Number", metrics.map((m) => ({ value: m.key, label: m.label })), metric.key, change("metric")));
    const offered = axes.map((a) => ({ value: a.key, label: a.title }));
    if (axes.length) {
      boxes.push(select("Down", [{ value: "", label: "nothing: draw lines" }, ...offered.filter((o) => o.value !== state.x)], y ? y.key : "", change("y")));
      boxes.push(select("Across", offered, x ? x.key : "", (v) => {
        if (v === state.y) state.y = state.x;
        state.x = v;
        this.render();
      }));
    }
    const kernels = this.kernelsOf(state.part);
    const variants = this.kernelsOf(state.part, true);
    const choices = [...new Set([...kernels, ...variants])].sort();
    if (variants.length > 1) boxes.push(select("Kernel", list(choices, this.several ? "all of them, median" : "whichever ran"), state.kernel, change("kernel")));
    const regimes = this.names("regime");
    if (regimes.length > 1) boxes.push(select("Regime", list(regimes, "all, median"), state.regime, change("regime")));
    // A parameter that varies besides the two axes can be held at one value.
    const all = this.state.hold;
    this.state.hold = {};
    const free = axesOf(lead, this.rowsOf(lead)).filter((a) => !a.derived && a.key !== state.x && a.key !== state.y);
    this.state.hold = all;
    for (const axis of free.slice(0, 5)) {
      if (axis.values.length > 400) continue;
      boxes.push(select("Hold " + axis.label, [{ value: "", label: "all, median" }, ...axis.values.map((v) => ({ value: String(v), label: axis.name(v) }))], all[axis.key] || "", (v) => {
        state.hold[axis.key] = v;
        this.render();
      }));
    }
    this.controls.replaceChildren(...boxes);
  }

  // A held cell stays until another one is clicked.
  show(run, cells, pinned) {
    if (this.pinned && !pinned) return;
    this.pinned = pinned;
    this.evidence.replaceChildren(...evidenceOf(run, Array.from(cells), this.shown.length > 1));
  }
}

const SHAPE = ["m", "n", "k", "lda", "ldb", "ldc", "offset_a", "offset_b", "offset_c"];

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// An axis on which all of a run's cells have one value.
function single(run, axis, rows) {
  const column = run.col(axis.key);
  const values = [...new Set(Array.from(rows, (i) => column[i]))].filter((v) => !Number.isNaN(v)).sort((a, b) => a - b);
  return values.length ? { ...axis, column, values } : null;
}

// The cells of a square that has a number and is not at the edge: something to begin with.
function middle(grid) {
  const found = [];
  grid.medians.forEach((v, s) => Number.isFinite(v) && found.push(s));
  const square = found.length ? found[found.length >> 1] : grid.lacks.findIndex((l) => l >= 0);
  return square < 0 ? [] : Array.from(grid.cellsOf(square));
}

// All that is known of a cell, with the means to step through the others of its square.
function evidenceOf(run, cells, named, at = 0) {
  const parts = [];
  if (!cells.length) return [el("p", { className: "muted", textContent: "No cell is chosen." })];
  const i = cells[at];
  parts.push(el("h3", { textContent: shapeText(run, i) + (named ? " on " + run.device : "") }));
  if (cells.length > 1) {
    const hold = (to) => el("button", { textContent: to < at ? "‹" : "›", ariaLabel: to < at ? "Previous cell" : "Next cell", disabled: to < 0 || to >= cells.length,
      on: { click: (e) => { const box = e.target.closest("aside"); box.replaceChildren(...evidenceOf(run, cells, named, to)); } } });
    parts.push(el("div", { className: "step" }, hold(at - 1), el("span", { textContent: `cell ${whole(at + 1)} of ${whole(cells.length)} here` }), hold(at + 1)));
  }
  const list = el("dl");
  const put = (name, text, tone) => {
    if (text) list.append(el("dt", { textContent: name }), el("dd", { textContent: text, className: tone || "" }));
  };
  const of = (name) => run.col(name)[i];
  const status = STATUS[of("status")];
  put("Status", status === "ok" ? "" : status, "bad");
  put("Reason", status === "ok" ? "" : run.text("reason", i));
  const ns = of("median_ns");
  if (Number.isFinite(ns) && !run.emulated) {
    const [lo, hi] = [ns * (1 - of("median_below") / 1e4), ns * (1 + of("median_above") / 1e4)];
    const tflops = of("tflops");
    put("Throughput", Number.isFinite(tflops) ? (tflops < 1 ? short(tflops * 1000, 4) + " GFLOP/s" : short(tflops, 4) + " TFLOP/s") : "");
    put("Per cycle", Number.isFinite(of("flop_per_cycle")) ? `${short(of("flop_per_cycle"), 4)} FLOP${Number.isFinite(of("peak_share")) ? `, ${short(100 * of("peak_share"))} % of peak` : ""}` : "");
    put("Median time", `${time(ns)}${Number.isFinite(lo) ? ` [${time(lo)}, ${time(hi)}]` : ""}`);
    put("Samples", `${whole(of("samples"))}${run.text("stop", i) ? `, stopped by ${run.text("stop", i)}` : ""}${of("warm") === 0 ? "; the warm-up ran out of time" : ""}`);
    if (Number.isFinite(of("ratio"))) {
      put("Over its pair", `${short(100 * of("ratio"), 4)} % [${short(100 * of("ratio") * (1 - of("ratio_below") / 1e4), 4)}, ${short(100 * of("ratio") * (1 + of("ratio_above") / 1e4), 4)}]`);
    }
    if (Number.isFinite(of("model_ns"))) put("Model", `${time(of("model_ns"))}; the measured throughput is ${short(100 * of("residual"))} % of the model's`);
    put("Clock", Number.isFinite(of("clock_mhz")) ? short(of("clock_mhz"), 4) + " MHz" : "");
    put("Power", Number.isFinite(of("power_w")) ? short(of("power_w")) + " W" : "");
    put("Temperature", Number.isFinite(of("temperature_c")) ? short(of("temperature_c")) + " °C" : "");
    put("Throttled", of("throttled") > 0 ? `${plural(of("throttled"), "sample")}, bits 0x${of("throttle_bits").toString(16)}` : "no sample");
    put("Began at", Number.isFinite(of("at_s")) ? short(of("at_s"), 4) + " s of the run" : "");
  }
  if (Number.isFinite(of("issued_macs"))) {
    put("Blocks", whole(of("blocks")));
    put("Multiply-adds", `${whole(of("macs"))} useful, ${whole(of("issued_macs"))} issued (${short(of("mac_ratio"), 4)}×)`);
    const traffic = (sectors, requests, bytes) => `${whole(sectors)} sectors, ${whole(requests)} requests, ${whole(bytes)} bytes asked for`;
    put("Loads", traffic(of("load_sectors"), of("load_requests"), of("load_bytes")));
    put("Stores", traffic(of("store_sectors"), of("store_requests"), of("store_bytes")));
    if (of("bulk_load_bytes") + of("bulk_store_bytes") > 0) put("Bulk copies", `${whole(of("bulk_load_bytes"))} bytes in, ${whole(of("bulk_store_bytes"))} bytes out`);
    put("Zero filled", of("zero_filled_bytes") > 0 ? whole(of("zero_filled_bytes")) + " bytes" : "");
    put("Shared memory", `${whole(of("shared_wavefronts"))} wavefronts, ${whole(of("shared_ideal"))} without conflicts`);
    put("Instructions", `${whole(of("warp_instructions"))} by warps, ${whole(of("mma_instructions"))} of them matrix`);
  }
  put("Strides", `lda ${whole(of("lda"))}, ldb ${whole(of("ldb"))}, ldc ${whole(of("ldc"))}`);
  put("Offsets", SHAPE.slice(6).some((n) => of(n) > 0) ? `A ${whole(of("offset_a"))}, B ${whole(of("offset_b"))}, C ${whole(of("offset_c"))}` : "none");
  if (Number.isFinite(of("bytes_a"))) put("Row alignment", ["a", "b", "c"].map((o) => `${o.toUpperCase()} ${bytesText(of("bytes_" + o))}`).join(", "));
  put("Type, layout", `${run.text("dtype", i)}, ${run.text("layout", i)}${of("alpha") !== 1 || of("beta") !== 0 ? `, alpha ${of("alpha")}, beta ${of("beta")}` : ""}`);
  put("Kernel", run.name(i));
  put("Workspace", of("workspace_bytes") > 0 ? whole(of("workspace_bytes")) + " bytes" : "");
  put("Chosen because", run.text("dispatch", i));
  put("Regime", run.text("regime", i) + (of("copies") > 1 ? `, ${plural(of("copies"), "copy", "copies")} of the operands` : ""));
  if (Number.isFinite(of("checked"))) {
    put("Checked", `${whole(of("checked"))} of ${whole(of("checked_of"))} elements against ${run.text("reference", i)}; worst error ${short(100 * of("worst"), 2)} % of its bound`);
  }
  const pair = of("pair");
  put("Cell", `${whole(of("cell"))} of part ${run.text("part", i) || "(none)"}${Number.isFinite(pair) ? `, ${of("role") === 0 ? "baseline" : "variant"} of pair ${whole(pair)}` : ""}`);
  parts.push(list);
  return parts;
}
