// The explorer: which cells, which axes, which number.

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

  // Choices offered are those of all runs in view, in the order of the plan; where a part is given, those of its cells.
  names(column, part) {
    const first = new Map();
    for (const run of this.shown) {
      const [values, cell, parts] = [run.col(column), run.col("cell"), run.col("part")];
      for (let i = 0; i < run.rows; i++) {
        if (part !== undefined && page.strings[parts[i]] !== part) continue;
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
    const [parts, regimes, own] = ["part", "regime", "own_data"].map((name) => run.col(name));
    const number = (text) => new Set(page.strings.flatMap((s, i) => (s === text ? [i] : [])));
    const [inPart, inRegime] = [number(part), number(regime)];
    const held = Object.entries(hold).filter(([, value]) => value !== "");
    const rows = Array.from(run.all).filter(
      (i) =>
        inPart.has(parts[i]) &&
        (regime === "" ? !own[i] : inRegime.has(regimes[i])) &&
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
    const some = this.shown.some((run) => run.rows);
    this.controls.hidden = this.evidence.hidden = !some;
    if (!some) return void this.maps.replaceChildren(el("p", { textContent: "No cell was recorded." }));
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
    const regimes = this.names("regime", part);
    if (regimes.length > 1) state.regime = regimes.includes("cold") ? "cold" : regimes.find((r) => !r.includes(",")) || regimes[0];
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
        // Where all pairs differ in strides alone, the plainer name says more.
        const known = metric.key === "ratio" ? run.col("aligned_ratio") : null;
        return this.rowsOf(run).some((i) => Number.isFinite(values[i]) && !(known && Number.isFinite(known[i])));
      })
    );
  }

  defaultMetric() {
    const found = this.metrics();
    return found.length ? (found.find((m) => m.key === "aligned_ratio") || found.find((m) => m.key === "ratio") || found[0]).key : METRICS[0].key;
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
    const regimes = this.names("regime", state.part);
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

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// The cells of a square that has a number and is not at the edge: something to begin with.
function middle(grid) {
  const found = [];
  grid.medians.forEach((v, s) => Number.isFinite(v) && found.push(s));
  const square = found.length ? found[found.length >> 1] : grid.lacks.findIndex((l) => l >= 0);
  return square < 0 ? [] : Array.from(grid.cellsOf(square));
}
