// Elements and numbers as text. Text only ever goes in as textContent, so a record cannot bring markup.

function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

// Three significant digits, as people write them.
function short(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e7 || (size < 1e-3 && size > 0)) return value.toExponential(digits - 1).replace("e+", "e");
  if (size >= 10 ** digits) return Math.round(value).toLocaleString("en");
  return Number(value.toPrecision(digits)).toLocaleString("en", {
    maximumFractionDigits: 8,
    minimumFractionDigits: size === 0 ? 0 : Math.max(0, digits - 1 - Math.floor(Math.log10(size) + 1e-9)),
  });
}

function whole(value) {
  return Number.isFinite(value) ? value.toLocaleString("en") : "–";
}

function time(ns, digits = 4) {
  if (!Number.isFinite(ns)) return "–";
  const [unit, by] = ns >= 1e9 ? ["s", 1e9] : ns >= 1e6 ? ["ms", 1e6] : ns >= 1e3 ? ["µs", 1e3] : ["ns", 1];
  return short(ns / by, digits) + " " + unit;
}

function bytesText(value) {
  return value >= TOP_ALIGN ? "≥ " + TOP_ALIGN + " B" : value + " B";
}

function plural(count, one, many) {
  return whole(count) + " " + (count === 1 ? one : many || one + "s");
}

// Throughputs below one TFLOP/s read better in GFLOP/s.
function unitOf(metric, most) {
  return metric.key === "tflops" && most < 1 ? { unit: "GFLOP/s", by: 1000 } : { unit: metric.unit, by: 1 };
}

function withUnit(text, unit) {
  return unit === "%" ? text + " %" : unit ? text + " " + unit : text;
}

function select(label, options, value, change) {
  const box = el("select", { on: { change: () => change(box.value) } });
  for (const option of options) box.append(el("option", { value: option.value, textContent: option.label }));
  box.value = value;
  return el("label", {}, label, box);
}

function tableOf(heads, rows, caption) {
  const head = el("tr", {}, ...heads.map((h) => el("th", { scope: "col", className: h.number ? "number" : "", textContent: h.label || h })));
  const body = rows.map((cells) =>
    el("tr", {}, ...cells.map((cell, i) => el("td", { className: heads[i].number ? "number" : heads[i].wide ? "wide" : "" }, cell)))
  );
  const table = el("table", {}, el("thead", {}, head), el("tbody", {}, ...body));
  if (caption) table.prepend(el("caption", { textContent: caption }));
  return el("div", { className: "scroll" }, table);
}
