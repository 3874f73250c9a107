// Tables: the summary, alignment, verdicts, reasons, all cells, and provenance.

function figureCard(what, figure, unit, about) {
  return el("div", { className: "card" },
    el("div", { className: "what", textContent: what }),
    el("div", { className: "figure" }, figure, unit ? el("span", { className: "unit", textContent: (unit === "%" ? " " : " ") + unit }) : null),
    el("div", { className: "about", textContent: about || "" }));
}

const KINDS = { cuda: "GPU", cpu: "CPU", emulated: "emulated: counters, no time" };

function runHeading(run, tag = "h3") {
  return el(tag, {}, run.label, el("span", { className: "badge", textContent: KINDS[run.kind] }));
}

function summaryOf(run) {
  const cards = el("div", { className: "cards" });
  const box = el("div", {}, runHeading(run), cards);
  const [ok, skipped, failed, unknown] = run.counts;
  const best = (values, better) => {
    let at = -1;
    for (let i = 0; i < run.rows; i++) if (Number.isFinite(values[i]) && (at < 0 || better(values[i], values[at]))) at = i;
    return at;
  };
  if (!run.emulated) {
    // Zeros are no data that anybody multiplies.
    const own = run.col("own_data");
    const tflops = run.col("tflops").map((t, i) => (own[i] ? NaN : t));
    const at = best(tflops, (a, b) => a > b);
    if (at >= 0) {
      const [by, unit] = tflops[at] < 1 ? [1000, "GFLOP/s"] : [1, "TFLOP/s"];
      const share = run.col("peak_share")[at];
      const peak = Number.isFinite(share) && share > 0 ? `; ${short(100 * share)} % of peak per cycle` : "";
      cards.append(figureCard("Highest throughput", short(tflops[at] * by), unit, `at ${shapeText(run, at)}, ${run.name(at)}, ${run.text("regime", at)}${peak}`));
    }
    const cost = alignmentCost(run);
    if (cost) cards.append(figureCard("Rows off 16 bytes, same sizes", short(100 * cost.value, 4), "%", `of the aligned throughput: median of ${plural(cost.count, "pair")}, half of them from ${short(100 * cost.q1, 4)} to ${short(100 * cost.q3, 4)} %`));
    const width = run.col("width").filter(Number.isFinite);
    if (width.length) cards.append(figureCard("Half of the intervals are narrower than", short(100 * median(width)), "%", `95 % intervals of the median, ${whole(run.samples)} samples`));
  } else {
    for (const metric of METRICS.filter((m) => ["count_issued", "count_sector_use", "count_wavefronts"].includes(m.key))) {
      const values = metricOf(run, metric).filter(Number.isFinite);
      if (!values.length) continue;
      const [lo, hi] = range(values);
      cards.append(figureCard(metric.label, short(median(values)), metric.unit, `median; from ${short(lo)} to ${short(hi)}`));
    }
  }
  const rest = [skipped && `${whole(skipped)} skipped`, failed && `${whole(failed)} failed`, unknown && `${whole(unknown)} unknown`].filter(Boolean);
  cards.append(figureCard("Cells with a result", whole(ok), "", rest.length ? rest.join(", ") : ok ? "none skipped, none failed" : "no cell was recorded"));
  if (run.notes.length) {
    box.append(el("div", { className: "note", role: "note" }, el("ul", {}, ...run.notes.map((n) => el("li", { textContent: n })))));
  }
  return box;
}

// Throughput over the aligned pair's, of the pairs in which some row lies off 16 bytes.
function alignmentCost(run) {
  const [ratio, align] = [run.col("aligned_ratio"), run.col("bytes_abc")];
  const found = Array.from(run.all).filter((i) => Number.isFinite(ratio[i]) && align[i] < 16).map((i) => ratio[i]);
  if (run.emulated || !found.length) return null;
  return { value: median(found), q1: quantile(found, 0.25), q3: quantile(found, 0.75), count: found.length };
}

// By the lowest alignment of any row: one line a class.
function alignmentTable(run, metric) {
  const [values, align] = [metricOf(run, metric), run.col("bytes_abc")];
  const classes = new Map();
  for (const i of run.all) {
    if (!Number.isFinite(values[i]) || !Number.isFinite(align[i])) continue;
    if (!classes.has(align[i])) classes.set(align[i], []);
    classes.get(align[i]).push(values[i]);
  }
  const rows = [...classes].sort((a, b) => a[0] - b[0]).map(([bytes, list]) => [
    bytesText(bytes), whole(list.length), withUnit(short(median(list), 4), metric.unit),
    `${short(quantile(list, 0.25), 4)} to ${withUnit(short(quantile(list, 0.75), 4), metric.unit)}`,
  ]);
  const heads = [{ label: "Lowest row alignment" }, { label: metric.even ? "Comparisons" : "Cells", number: true }, { label: "Median", number: true }, { label: "Half of them", number: true }];
  return rows.length ? tableOf(heads, rows, metric.label) : null;
}

const FINDINGS = {
  supported: ["✓ supported", "good"],
  contradicted: ["✕ contradicted", "bad"],
  unclear: ["? unclear", "muted"],
  not_measurable: ["– not measurable here", "muted"],
};

function effectText(effect) {
  if (!effect || effect.value === null) return "";
  const share = effect.unit === "share";
  const of = (v) => (v === null ? "?" : share ? short(100 * v) + " %" : short(v, 4) + "×");
  return `${of(effect.value)} [${of(effect.lo)}, ${of(effect.hi)}]`;
}

function questionNode(question) {
  const [finding] = FINDINGS[question.finding] || [question.finding || "no finding"];
  const box = el("div", {}, el("p", {}, el("b", { textContent: question.asks + " " }), `${finding}. ${question.reason}`));
  if (question.comparisons.length) {
    const rows = question.comparisons.map((c) => [
      c.first, c.second,
      c.ratio.length === 3 && c.ratio[0] !== null ? `${short(c.ratio[0], 4)} [${short(c.ratio[1], 4)}, ${short(c.ratio[2], 4)}]` : c.note || "–",
      whole(c.samples),
    ]);
    const more = question.compared > rows.length ? `the first ${rows.length} of ${whole(question.compared)} comparisons; the others are in verdicts.json` : "";
    box.append(tableOf([{ label: "First" }, { label: "Second" }, { label: "Cost of the second over the first" }, { label: "Samples", number: true }], rows, more));
  }
  return box;
}

function verdictsOf(run) {
  return run.verdicts.map(({ folder, verdicts }) => {
    const counts = {};
    for (const v of verdicts.list) counts[v.verdict] = (counts[v.verdict] || 0) + 1;
    const order = ["contradicted", "supported", "unclear", "not_measurable"];
    const rank = (v) => (order.includes(v.verdict) ? order.indexOf(v.verdict) : order.length);
    const sorted = verdicts.list.map((v, i) => [v, i]).sort((a, b) => rank(a[0]) - rank(b[0]) || a[1] - b[1]).map(([v]) => v);
    const rows = sorted.map((v) => {
      const [told, tone] = FINDINGS[v.verdict] || [v.verdict || "no verdict", "muted"];
      const about = el("div", {}, el("b", { textContent: v.title || v.claim }), el("div", { textContent: v.sentence }));
      if (v.reason) about.append(el("div", { className: "muted", textContent: v.reason }));
      const source = v.source ? el("p", { className: "muted", textContent: "Source: " + v.source }) : null;
      if (source || v.questions.length) about.append(el("details", {}, el("summary", { textContent: "Source and evidence" }), source, ...v.questions.map(questionNode)));
      return [el("span", { className: "whole", textContent: v.claim }), about, el("span", { className: "verdict " + tone, textContent: told }), effectText(v.effect) || v.needs || "–", v.effect ? v.effect.what : "", whole(v.samples), v.p === null ? "–" : short(v.p, 2)];
    });
    const heads = [{ label: "Claim" }, { label: "What is claimed", wide: true }, { label: "Verdict" }, { label: "Effect, 95 % interval" }, { label: "Effect of" }, { label: "Samples", number: true }, { label: "p, corrected", number: true }];
    const told = Object.entries(counts).map(([name, n]) => `${n} ${(FINDINGS[name] || [name])[0].replace(/^\S /, "")}`).join(", ");
    const more = verdicts.total > verdicts.list.length ? ` The first ${verdicts.list.length} of ${verdicts.total}.` : "";
    return el("div", {}, run.verdicts.length > 1 ? el("h3", { textContent: folder }) : null, tableOf(heads, rows, `${told}. ${verdicts.correction}.${more}`));
  });
}

function gapsOf(run) {
  if (!run.reasons.length) return el("p", { textContent: run.counts[0] ? "Every cell of this run has a result." : "No cell was recorded." });
  const rows = run.reasons.map((r) => [
    el("span", { className: r.status === "skipped" ? "" : "bad", textContent: r.status }), whole(r.count), r.text || "(no reason is recorded)",
    `${r.shape.slice(0, 3).map(whole).join(" × ")}, ld ${r.shape.slice(3, 6).join(" ")}`,
  ]);
  const more = run.reasons_total > rows.length ? ` The ${rows.length} most frequent of ${whole(run.reasons_total)} kinds.` : "";
  return tableOf([{ label: "Status" }, { label: "Cells", number: true }, { label: "Reason", wide: true }, { label: "First such cell" }], rows, "Reasons that differ in numbers alone are counted together." + more);
}

function factsList(facts) {
  const list = el("dl", { className: "facts" });
  for (const [name, text] of facts) {
    const long = text.includes("\n") || text.length > 400;
    const value = long ? el("details", {}, el("summary", { textContent: `${plural(text.split("\n").length, "line")}` }), el("pre", { textContent: text })) : el("span", { textContent: text });
    list.append(el("dt", { textContent: name }), el("dd", {}, name === "Command" ? el("code", { textContent: text }) : value));
  }
  return list;
}

function provenanceOf(run) {
  const model = run.model ? [["Model", run.model]] : [];
  const box = el("div", {}, runHeading(run), factsList([...run.facts, ...model]));
  for (const folder of run.folders) {
    const title = run.folders.length > 1 ? el("h3", { textContent: folder.name }) : null;
    const facts = factsList(run.folders.length > 1 ? folder.facts : [["Folder", folder.name], ...folder.facts]);
    box.append(...(run.folders.length > 4 ? [el("details", {}, el("summary", { textContent: folder.name }), facts)] : [title, facts].filter(Boolean)));
  }
  if (run.folders_total > run.folders.length) box.append(el("p", { className: "muted", textContent: `and ${whole(run.folders_total - run.folders.length)} more folders` }));
  return box;
}

// All cells, sorted, filtered, a page at a time.
class CellTable {
  constructor(host, runs) {
    Object.assign(this, { runs, run: runs[0], status: "", search: "", at: 0, sort: "cell", down: false });
    this.body = el("div");
    this.host = host;
    const controls = el("div", { className: "controls" });
    if (runs.length > 1) controls.append(select("Run", runs.map((r) => ({ value: String(r.index), label: r.label })), String(runs[0].index), (v) => this.set({ run: runs[Number(v)] })));
    controls.append(select("Status", [{ value: "", label: "all" }, ...STATUS.map((s) => ({ value: s, label: s }))], "", (v) => this.set({ status: v })));
    const search = el("input", { type: "search", placeholder: "kernel, part, reason or m×n×k", on: { input: () => this.set({ search: search.value }) } });
    controls.append(el("label", {}, "Find", search));
    controls.append(el("button", { type: "button", textContent: "Save these rows as CSV", className: "noprint", on: { click: () => this.save() } }));
    host.append(controls, this.body);
    this.draw();
  }

  set(change) {
    Object.assign(this, change, { at: 0 });
    this.draw();
  }

  columns() {
    const run = this.run;
    const number = (name, label, text = whole) => ({ label, name, number: true, value: (i) => run.col(name)[i], text: (i) => text(run.col(name)[i]) });
    const word = (name, label) => ({ label, name, value: (i) => run.text(name, i), text: (i) => run.text(name, i) });
    const out = [number("cell", "Cell"), word("part", "Part"), ...SHAPE.slice(0, 6).map((n) => number(n, n))];
    const offsets = SHAPE.slice(6).filter((n) => run.col(n).some((v) => v > 0));
    out.push(...offsets.map((n) => number(n, n.replace("_", " "))));
    out.push({ label: "Kernel", name: "kernel", whole: true, value: (i) => run.name(i), text: (i) => run.name(i) }, word("regime", "Regime"));
    if (run.emulated) {
      for (const metric of METRICS.filter((m) => m.key.startsWith("count_") && run.col(m.key).some(Number.isFinite))) {
        out.push(number(metric.key, metric.key.slice("count_".length).replace("_", " ") + (metric.unit ? `, ${metric.unit}` : ""), (v) => short(v, 4)));
      }
    } else {
      const ns = run.col("median_ns");
      out.push(number("median_ns", "Median", time));
      out.push({ label: "95 % interval", name: "width", number: true, value: (i) => run.col("width")[i], text: (i) => (Number.isFinite(run.col("width")[i]) ? `${time(ns[i] * (1 - run.col("median_below")[i] / 1e4))} – ${time(ns[i] * (1 + run.col("median_above")[i] / 1e4))}` : "–") });
      out.push(number("tflops", "TFLOP/s", (v) => short(v)), number("flop_per_cycle", "FLOP / cycle", (v) => short(v, 4)));
      if (run.col("ratio").some(Number.isFinite)) out.push(number("ratio", "Over its pair", (v) => (Number.isFinite(v) ? short(100 * v, 4) + " %" : "–")));
      out.push(number("samples", "Samples"), number("clock_mhz", "Clock, MHz", (v) => short(v, 4)));
    }
    out.push({ label: "Status", name: "status", value: (i) => run.col("status")[i], text: (i) => STATUS[run.col("status")[i]] }, { ...word("reason", "Reason"), wide: true });
    return out;
  }

  rows(columns) {
    const { run } = this;
    const status = run.col("status");
    const wanted = this.search.trim().toLowerCase();
    const digits = wanted.replace(/\s*[x×*]\s*/g, "×");
    const hit = (i) =>
      [run.name(i), run.text("part", i), run.text("reason", i), run.text("regime", i)].some((t) => t.toLowerCase().includes(wanted)) ||
      ["m", "n", "k"].map((n) => run.col(n)[i]).join("×").includes(digits);
    const rows = Array.from(run.all).filter((i) => (this.status === "" || STATUS[status[i]] === this.status) && (wanted === "" || hit(i)));
    const column = columns.find((c) => c.name === this.sort);
    if (column) {
      const sign = this.down ? -1 : 1;
      const last = (v) => typeof v === "number" && Number.isNaN(v);
      // What has no number comes last either way.
      rows.sort((a, b) => {
        const [x, y] = [column.value(a), column.value(b)];
        return last(x) || last(y) ? last(x) - last(y) : x < y ? -sign : x > y ? sign : a - b;
      });
    }
    return rows;
  }

  draw() {
    const SIZE = 40;
    const columns = this.columns();
    const rows = this.rows(columns);
    const heads = columns.map((c) => {
      const on = this.sort === c.name;
      const act = () => this.set({ sort: c.name, down: on ? !this.down : Boolean(c.number) && c.name !== "cell" });
      const th = el("th", { scope: "col", className: c.number ? "number" : "" }, el("button", { type: "button", textContent: c.label + (on ? (this.down ? " ▼" : " ▲") : ""), on: { click: act } }));
      th.setAttribute("aria-sort", on ? (this.down ? "descending" : "ascending") : "none");
      return th;
    });
    const shown = rows.slice(this.at, this.at + SIZE).map((i) => el("tr", {}, ...columns.map((c) => el("td", { className: c.number ? "number" : c.whole ? "whole" : c.wide && c.text(i) ? "wide" : "", textContent: c.text(i) }))));
    const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...shown));
    const go = (by, text) => el("button", { type: "button", textContent: text, disabled: this.at + by < 0 || this.at + by >= rows.length, on: { click: () => { this.at += by; this.draw(); } } });
    const span = rows.length ? `${whole(this.at + 1)} to ${whole(Math.min(this.at + SIZE, rows.length))} of ${plural(rows.length, "cell")}` : "no cell";
    this.body.replaceChildren(el("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Cells" }, table), el("div", { className: "controls" }, go(-SIZE, "‹ Previous"), el("span", { textContent: span }), go(SIZE, "Next ›")));
  }

  save() {
    const columns = this.columns();
    // A quote in front keeps a spreadsheet from taking a text for a formula.
    const field = (v) => {
      const text = typeof v === "number" ? (Number.isNaN(v) ? "" : String(v)) : /^[=+\-@\t\r]/.test(v) ? "'" + v : v;
      return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    const names = columns.map((c) => c.name).join(",");
    const lines = this.rows(columns).map((i) => columns.map((c) => field(c.name === "status" ? c.text(i) : c.value(i))).join(","));
    const url = URL.createObjectURL(new Blob([[names, ...lines].join("\n") + "\n"], { type: "text/csv" }));
    const link = el("a", { href: url, download: "gemmscope-cells.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
}
