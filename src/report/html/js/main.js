// Puts the page together and draws again what a new width, theme or sheet of paper changes.

const runs = page.groups.map((raw, i) => new Run(raw, i));
for (const run of runs) {
  // A name of nothing but spaces and marks of direction would leave a heading without a word.
  if (!/[\p{L}\p{N}]/u.test(run.device)) run.label = run.device = "(device without a name)";
  const alike = runs.filter((r) => r.device === run.device).length > 1;
  if (alike) run.label = `${run.device} (${run.folders[0].name}${run.folders.length > 1 ? " …" : ""})`;
}

const section = (id) => document.getElementById(id);
let visible = runs.slice(0, 4);

function header() {
  if (!page.title) document.title = "gemmscope: " + runs.map((r) => r.device).filter((d, i, all) => all.indexOf(d) === i).join(", ");
  section("title").textContent = page.title || "What shape and alignment cost: " + runs.map((r) => r.label).join(" and ");
  const started = runs[0].folders[0].facts.find(([name]) => name === "Started");
  const cells = runs.reduce((sum, r) => sum + r.counts.reduce((a, b) => a + b, 0), 0);
  const samples = runs.reduce((sum, r) => sum + r.samples, 0);
  const types = [...new Set(runs.flatMap((run) => [...new Set(run.col("dtype"))].map((t) => page.strings[t])))].filter(Boolean);
  section("subtitle").textContent = `${types.join(", ")} GEMMs, ${plural(cells, "cell")}, ${plural(samples, "sample")}, ${runs.length > 1 ? plural(runs.length, "run") + " side by side, " : ""}begun ${started ? started[1].replace("T", " ").replace(/(:\d\d)(\.\d+)?Z$/, "$1 UTC") : "at an unknown time"}. Made by ${page.made_by}.`;
  section("footer").textContent = `${page.made_by}. One file: it needs no network and asks for nothing. Times are medians with distribution-free 95 % intervals; docs/METHODOLOGY.md says how they come about.`;
}

function contents() {
  const nav = section("contents");
  nav.replaceChildren();
  for (const part of document.querySelectorAll("main > section")) {
    if (!part.hidden) nav.append(el("a", { href: "#" + part.id, textContent: part.querySelector("h2").textContent }));
  }
}

// Which runs are in view, where there are several.
function chooser() {
  if (runs.length < 2) return;
  const boxes = runs.map((run) => {
    const box = el("input", { type: "checkbox", checked: visible.includes(run), on: { change: () => {
      visible = runs.filter((_, i) => boxes[i].firstChild.checked);
      if (!visible.length) {
        visible = [run];
        box.checked = true;
      }
      drawAll();
    } } });
    return el("label", {}, box, run.label);
  });
  section("summary").append(el("div", { className: "controls" }, el("fieldset", {}, el("legend", { textContent: "Runs in view. They stand side by side; no number is made of two of them." }), el("div", { className: "choices" }, ...boxes))));
}

const bodies = new Map();

// The part of a section that is made again for the runs in view.
function body(id) {
  if (!bodies.has(id)) {
    bodies.set(id, el("div", { className: "runs" }));
    section(id).append(bodies.get(id));
  }
  bodies.get(id).replaceChildren();
  return bodies.get(id);
}

function perRun(id, make) {
  const host = body(id);
  for (const run of visible) {
    const content = make(run);
    if (content) host.append(el("div", {}, visible.length > 1 ? runHeading(run) : null, ...[content].flat()));
  }
  section(id).hidden = !host.children.length;
}

const redraws = [];

// A picture with the evidence of what is chosen in it: beside it, or below it where runs stand side by side.
function withEvidence(node) {
  const panel = el("aside", { className: "evidence" });
  panel.setAttribute("aria-live", "polite");
  panel.setAttribute("aria-label", "Evidence for the chosen cell");
  const hint = el("p", { className: "muted noprint", textContent: "Point at the picture, or tap it, for the evidence of a cell." });
  panel.append(hint);
  let held = false;
  const show = (run, cells, pinned) => {
    if (held && !pinned) return;
    held = pinned;
    panel.replaceChildren(...evidenceOf(run, cells, false));
  };
  const box = el("div", { className: visible.length > 1 ? "stacked" : "explorer" }, node, panel);
  return { box, show };
}

function drawSummary() {
  const host = body("summary");
  for (const run of visible) host.append(summaryOf(run));
}

function drawAlignment() {
  perRun("alignment", (run) => {
    const timed = ["aligned_ratio", "equal_work"].map((key) => METRICS.find((m) => m.key === key));
    const counted = METRICS.find((m) => m.key === "count_sector_use");
    const metric = (run.emulated ? [counted] : timed).find((m) => metricOf(run, m).some(Number.isFinite));
    const align = run.col("bytes_abc");
    const values = metric && metricOf(run, metric);
    const rows = metric ? Array.from(run.all).filter((i) => Number.isFinite(values[i]) && Number.isFinite(align[i])) : [];
    // Where sizes keep every row aligned there is nothing to compare, unless strides are what was swept.
    const classes = new Set(rows.map((i) => align[i]));
    if (classes.size < 2 || (metric.key !== "aligned_ratio" && Math.min(...classes) >= 16)) return null;
    const pick = (key) => {
      const spec = AXES.find((a) => a.key === key);
      const axis = { ...spec, column: run.col(key), title: spec.label, name: (v) => (v >= TOP_ALIGN ? "≥" + TOP_ALIGN : String(v)) };
      axis.values = [...new Set(rows.map((i) => axis.column[i]))].sort((a, b) => a - b);
      return axis;
    };
    const told = {
      aligned_ratio: "Each comparison has the same sizes on both sides and was measured in turn, A B B A: only strides and offsets differ, so this is the cost of alignment and of nothing else.",
      equal_work: "No ratio of aligned pairs is on record. Cells are held against fully aligned ones with about 5 % more or fewer FLOP at most, so sizes differ as well: this shows alignment and tails together. A sweep with --paired separates them.",
      count_sector_use: "What alignment changes without a clock: how much of each 32-byte sector that was moved had been asked for.",
    };
    const map = new HeatMap((m, square, pin) => evidence.show(run, Array.from(m.grid.cellsOf(square)), pin));
    const evidence = withEvidence(el("div", {}, map.node, alignmentTable(run, metric)));
    const scale = new Scale(rows.map((i) => values[i]), metric);
    redraws.push(() => map.draw({ run, rows, x: pick("bytes_bc"), y: pick("bytes_a"), metric, values, scale }, Math.floor(map.node.getBoundingClientRect().width) || 320));
    return [el("p", { className: "caption", textContent: told[metric.key] }), evidence.box];
  });
}

function drawRooflines() {
  perRun("roofline", (run) => {
    if (run.emulated || !run.col("tflops").some(Number.isFinite) || !run.col("intensity").some(Number.isFinite)) return null;
    const plot = new PointPlot((p, pin) => evidence.show(p.run, p.cells, pin));
    const evidence = withEvidence(plot.node);
    const note = el("p", { className: "caption" });
    redraws.push(() => {
      const peak = drawRoofline(plot, run, Math.floor(plot.node.getBoundingClientRect().width) || 320);
      const clock = run.max_clock_mhz ? "its highest clock" : "the highest clock that a cell's samples had";
      const roof = peak ? `The roof is ${peak}, ${clock}. ` : "The record gives no peak. ";
      const others = [...new Set(Array.from(run.all).filter((i) => !run.hasPeak(i)).map((i) => run.text("dtype", i)))].filter(Boolean);
      const other = peak && others.length ? `It is the roof of f16 and bf16; ${others.join(", ")} ${others.length > 1 ? "have others" : "has another"}, which the record does not hold. ` : "";
      note.textContent = roof + other + (run.bandwidth_bytes_per_s ? `The slope is the memory's bandwidth of ${short(run.bandwidth_bytes_per_s / 1e9, 4)} GB/s by the data sheet; hot cells find operands in the cache and may lie above it.` : "The bandwidth of the memory is not known, so there is no slope.");
    });
    return [evidence.box, note];
  });
}

function drawConditions() {
  perRun("conditions", (run) => {
    const parts = [];
    for (const folder of run.folders) {
      if (!folder.timeline) continue;
      if (run.folders.length > 1) parts.push(el("h3", { textContent: folder.name }));
      for (const [which, label, unit] of [["clock_mhz", "Clock", "MHz"], ["power_w", "Power", "W"], ["temperature_c", "Temperature", "°C"]]) {
        if (!folder.timeline[which]) continue;
        const canvas = el("canvas");
        parts.push(el("div", { className: "picture" }, canvas));
        redraws.push(() => drawBand(canvas, folder.timeline, which, label, unit, Math.floor(canvas.parentNode.getBoundingClientRect().width) || 320));
      }
      if (parts.length > 24) break;
    }
    if (!parts.length) return run.emulated ? null : el("p", { className: "muted", textContent: "This run recorded no clock, power or temperature." });
    const { width_s } = run.folders.find((f) => f.timeline).timeline;
    parts.push(el("p", { className: "caption", textContent: `Line: mean of the samples in ${short(width_s)} s; band: their lowest and highest. Marks at the bottom: throttled samples.` }));
    return parts;
  });
}

function drawAll() {
  redraws.length = 0;
  drawSummary();
  perRun("gaps", gapsOf);
  perRun("verdicts", (run) => (run.verdicts.length ? verdictsOf(run) : null));
  drawAlignment();
  drawRooflines();
  drawConditions();
  explorer.visible = visible;
  redraws.forEach((draw) => draw());
  contents();
}

function redraw() {
  explorer.render();
  redraws.forEach((draw) => draw());
}

header();
chooser();
const explorer = new Explorer(section("explore"), runs);
new CellTable(section("table"), runs);
section("provenance").append(el("div", { className: "runs" }, ...runs.map(provenanceOf)));
drawAll();

let lastWidth = document.documentElement.clientWidth;
let waiting = 0;
new ResizeObserver(() => {
  if (document.documentElement.clientWidth === lastWidth) return;
  lastWidth = document.documentElement.clientWidth;
  clearTimeout(waiting);
  waiting = setTimeout(redraw, 60);
}).observe(document.documentElement);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
// Paper is light whatever the screen was, and as wide as it is.
const onPaper = (is) => {
  document.documentElement.classList.toggle("print", is);
  // Paper cannot be unfolded; lists that would fill sheets stay folded.
  for (const box of document.querySelectorAll(is ? "details:not([open])" : "details.unfolded")) {
    if (is && box.textContent.split("\n").length > 60) continue;
    box.open = is;
    box.classList.toggle("unfolded", is);
  }
  redraw();
};
matchMedia("print").addEventListener("change", (e) => onPaper(e.matches));
addEventListener("beforeprint", () => onPaper(true));
addEventListener("afterprint", () => onPaper(false));
document.documentElement.dataset.ready = "yes";
