// Colours and ticks. Both maps keep their order for every kind of colour vision and in grey.

const SEQUENTIAL = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const DIVERGING = ["#7f3b08", "#b35806", "#e08214", "#fdb863", "#fee0b6", "#f7f7f7", "#d1e5f0", "#92c5de", "#4393c3", "#2166ac", "#053061"];
const CATEGORIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#999999"];

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function ramp(colours, position) {
  const at = Math.min(Math.max(position, 0), 1) * (colours.length - 1);
  const low = Math.min(Math.floor(at), colours.length - 2);
  const [a, b] = [rgb(colours[low]), rgb(colours[low + 1])];
  return a.map((v, i) => Math.round(v + (b[i] - v) * (at - low)));
}

function roundStep(least) {
  const magnitude = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 2.5, 5, 10].find((f) => f * magnitude >= least * (1 - 1e-9)) * magnitude;
}

// Where the bulk of the values ends on either side: one damaged cell among hundreds must not make all others one colour.
// An end is only moved in where what lies beyond it would take more than half of the colours.
function bulk(sorted) {
  const at = (q) => sorted[Math.round((sorted.length - 1) * q)];
  let [lo, hi] = [sorted[0], sorted[sorted.length - 1]];
  if (sorted.length < 20) return [lo, hi];
  const [low, high] = [at(0.02), at(0.98)];
  if (high > low && hi - high > high - low) hi = high;
  if (high > low && low - lo > high - low) lo = low;
  return [lo, hi];
}

class Scale {
  constructor(values, metric) {
    const sorted = Float64Array.from(Array.from(values).filter(Number.isFinite)).sort();
    this.empty = !sorted.length;
    const [least, most] = this.empty ? [0, 1] : [sorted[0], sorted[sorted.length - 1]];
    let [lo, hi] = this.empty ? [0, 1] : bulk(sorted);
    const { unit, by } = unitOf(metric, Math.max(Math.abs(lo), Math.abs(hi)));
    Object.assign(this, { unit, by, even: metric.even });
    [lo, hi] = [lo * by, hi * by];
    if (metric.even !== undefined) {
      // The middle of the colours is where nothing is gained or lost; a percent is the least range worth colours, and nothing
      // can lose more than all of it.
      const reach = Math.min(Math.max(hi - metric.even, metric.even - lo, 1), metric.even);
      [lo, hi] = [metric.even - reach, metric.even + reach];
    } else if (hi - lo < 1e-9 * Math.abs(hi)) {
      [lo, hi] = [lo * 0.95, hi > 0 ? hi * 1.05 : 1];
    }
    this.step = roundStep((hi - lo) / 6);
    this.lo = Math.floor(lo / this.step + 1e-9) * this.step;
    this.hi = Math.ceil(hi / this.step - 1e-9) * this.step;
    if (metric.even !== undefined && this.lo < 0) [this.lo, this.hi] = [0, 2 * metric.even];
    // Values beyond an end have its colour, and the legend says so.
    this.below = !this.empty && least * by < this.lo - 1e-9 * Math.abs(this.lo);
    this.above = !this.empty && most * by > this.hi + 1e-9 * Math.abs(this.hi);
  }

  // `value` in the metric's own unit.
  position(value) {
    return (value * this.by - this.lo) / (this.hi - this.lo);
  }

  colour(value) {
    return ramp(this.even === undefined ? SEQUENTIAL : DIVERGING, this.position(value));
  }

  css(value) {
    return "rgb(" + this.colour(value).join(",") + ")";
  }

  ink(value) {
    const [r, g, b] = this.colour(value);
    return 0.299 * r + 0.587 * g + 0.114 * b > 125 ? "#000" : "#fff";
  }

  ticks() {
    const out = [];
    for (let i = 0; this.lo + i * this.step <= this.hi + this.step / 2; i++) out.push(this.lo + i * this.step);
    return out;
  }

  tickText(tick) {
    let decimals = 0;
    while (decimals < 8 && Math.abs(this.step * 10 ** decimals - Math.round(this.step * 10 ** decimals)) > 1e-6) decimals++;
    const text = (tick + 0).toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    if (this.below && tick <= this.lo) return "≤ " + text;
    return this.above && tick >= this.hi - this.step / 2 ? "≥ " + text : text;
  }

  text(value, digits = 3) {
    return short(value * this.by, digits);
  }
}

// Colours of the page as they are now: light, dark or print.
function theme() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue("--" + name).trim();
  return { paper: of("paper"), panel: of("panel"), ink: of("ink"), muted: of("muted"), line: of("line"), grid: of("grid"), accent: of("accent"), bad: of("bad") };
}

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

// A canvas of `width` by `height` CSS pixels, sharp on any screen and on paper.
function pen(canvas, width, height) {
  const ratio = Math.max(2, Math.min(3, window.devicePixelRatio || 1));
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + "px";
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  ctx.font = "12px " + FONT;
  ctx.textBaseline = "middle";
  return ctx;
}

// Writes as many of the texts along a line as fit without touching, always the first, and returns which.
function fitting(ctx, texts, at, gap = 8) {
  const half = texts.map((t) => ctx.measureText(t).width / 2);
  for (let step = 1; step < texts.length; step++) {
    let [end, fits] = [-Infinity, true];
    for (let i = 0; i < texts.length && fits; i += step) {
      fits = at(i) - half[i] >= end + gap || end === -Infinity;
      end = at(i) + half[i];
    }
    if (fits) return step;
  }
  return texts.length || 1;
}
