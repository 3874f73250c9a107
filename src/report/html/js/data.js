// The records: columns are unpacked when they are first asked for.

const page = JSON.parse(document.getElementById("data").textContent);

// The four encodings of docs/FORMAT.md. What is not there becomes NaN.
function unpack(column, rows) {
  const out = new Float64Array(rows).fill(NaN);
  const number = (v) => (v === null ? NaN : v);
  if ("c" in column) return out.fill(number(column.c));
  if ("v" in column) {
    for (let i = 0; i < rows; i++) out[i] = number(column.v[i]);
    return out;
  }
  const list = column.r || column.d;
  let at = 0;
  let last = 0;
  for (let j = 0; j < list.length; j += 2) {
    for (let n = list[j + 1]; n > 0; n--) out[at++] = column.d ? (last += list[j]) : number(list[j]);
  }
  return out;
}

const STATUS = ["ok", "skipped", "failed", "unknown"];

class Run {
  constructor(raw, index) {
    Object.assign(this, raw);
    this.index = index;
    this.rows = raw.columns.rows;
    this.unpacked = new Map();
    this.metrics = new Map();
    this.emulated = raw.kind === "emulated";
    this.all = Uint32Array.from({ length: this.rows }, (_, i) => i);
    this.label = raw.device;
  }

  // A column as numbers, recorded or derived.
  col(name) {
    let found = this.unpacked.get(name);
    if (!found) {
      const derive = DERIVED[name];
      found = derive ? derive(this) : unpack(this.columns[name], this.rows);
      this.unpacked.set(name, found);
    }
    return found;
  }

  make(value) {
    const out = new Float64Array(this.rows);
    for (let i = 0; i < this.rows; i++) out[i] = value(i);
    return out;
  }

  text(name, i) {
    const number = this.col(name)[i];
    return page.strings[number] || "";
  }

  // Lengths of the stored rows of A, B and C: the least leading dimensions.
  rowLength(i) {
    const layout = this.text("layout", i);
    const [m, n, k] = [this.col("m")[i], this.col("n")[i], this.col("k")[i]];
    return [layout[0] === "t" ? m : k, layout[1] === "t" ? k : n, n];
  }

  // Whether the device's recorded peak is that of a cell's type.
  hasPeak(i) {
    return this.kind !== "cuda" || ["f16", "bf16"].includes(this.text("dtype", i));
  }

  name(i) {
    const variant = this.text("variant", i);
    return this.text("kernel", i) + (variant ? "/" + variant : "");
  }
}

function least(run, names) {
  const columns = names.map((name) => run.col(name));
  return run.make((i) => Math.min(...columns.map((c) => c[i])));
}

function stride(which, size) {
  return (run) => {
    const over = unpack(run.columns[which], run.rows);
    const base = run.col(size);
    return run.make((i) => over[i] + base[i]);
  };
}

function padding(ld, operand) {
  return (run) => {
    const values = run.col(ld);
    return run.make((i) => values[i] - run.rowLength(i)[operand]);
  };
}

// From here up, alignment makes no difference that a load could see.
const TOP_ALIGN = 256;

function alignment(name) {
  return (run) => {
    const log = run.col(name);
    return run.make((i) => Math.min(2 ** log[i], TOP_ALIGN));
  };
}

const DERIVED = {
  lda: stride("lda", "k"),
  ldb: stride("ldb", "n"),
  ldc: stride("ldc", "n"),
  pad_a: padding("lda", 0),
  pad_b: padding("ldb", 1),
  pad_c: padding("ldc", 2),
  bytes_a: alignment("align_a"),
  bytes_b: alignment("align_b"),
  bytes_c: alignment("align_c"),
  bytes_bc: (run) => least(run, ["bytes_b", "bytes_c"]),
  bytes_abc: (run) => least(run, ["bytes_a", "bytes_b", "bytes_c"]),
  // What the widest load can see of it: 16 bytes. 0 where it is not known.
  row_bytes: (run) => {
    const lowest = run.col("bytes_abc");
    return run.make((i) => Math.min(lowest[i], 16) || 0);
  },
  macs: (run) => {
    const [m, n, k] = ["m", "n", "k"].map((name) => run.col(name));
    return run.make((i) => m[i] * n[i] * k[i]);
  },
  // Recorded, or 2·m·n·k over the median time where that is the same.
  tflops: (run) => {
    const recorded = unpack(run.columns.tflops, run.rows);
    const [macs, ns] = [run.col("macs"), run.col("median_ns")];
    return run.make((i) => {
      const value = Number.isNaN(recorded[i]) ? (2 * macs[i]) / ns[i] / 1000 : recorded[i];
      return value > 0 && Number.isFinite(value) ? value : NaN;
    });
  },
  // A GPU's recorded peak is that of FP16 and BF16; other types have others.
  peak_share: (run) => {
    const rate = run.col("flop_per_cycle");
    const peak = run.peak_flop_per_cycle;
    return run.make((i) => (peak > 0 && run.hasPeak(i) ? rate[i] / peak : NaN));
  },
  width: (run) => {
    const [below, above] = [run.col("median_below"), run.col("median_above")];
    return run.make((i) => (below[i] + above[i]) / 1e4);
  },
  intensity: (run) => {
    const [macs, bytes] = [run.col("macs"), run.col("bytes")];
    return run.make((i) => (2 * macs[i]) / bytes[i]);
  },
  residual: (run) => {
    const [ns, model] = [run.col("median_ns"), run.col("model_ns")];
    return run.make((i) => model[i] / ns[i]);
  },
  equal_work: equalWork,
  // What a pair found that differs in strides and offsets alone.
  aligned_ratio: (run) => {
    const [ratio, alike] = [run.col("ratio"), run.col("alike")];
    return run.make((i) => (alike[i] === 1 ? ratio[i] : NaN));
  },
};

// Throughput over the median of the fully aligned cells (16 bytes and better) of the same part and regime whose FLOP differ by
// about 5 % at most. Sizes differ too, so this holds tails as well as alignment; only a pair holds alignment alone.
function equalWork(run) {
  const [part, regime, align, macs, tflops] = ["part", "regime", "bytes_abc", "macs", "tflops"].map((n) => run.col(n));
  const yardsticks = new Map();
  const key = (i) => part[i] * 65536 + regime[i];
  for (let i = 0; i < run.rows; i++) {
    if (!(align[i] >= 16 && tflops[i] > 0)) continue;
    if (!yardsticks.has(key(i))) yardsticks.set(key(i), []);
    yardsticks.get(key(i)).push(i);
  }
  for (const list of yardsticks.values()) list.sort((a, b) => macs[a] - macs[b]);
  const known = new Map();
  const reference = (i) => {
    const list = yardsticks.get(key(i));
    if (!list || !(macs[i] > 0)) return NaN;
    // Work is told apart in steps of half a percent: many cells then share a yardstick.
    const step = Math.round(Math.log(macs[i]) * 200);
    const name = key(i) + step / 16384;
    if (!known.has(name)) {
      const middle = Math.exp(step / 200);
      const from = bisect(list, (j) => macs[j] >= 0.95 * middle);
      const to = bisect(list, (j) => macs[j] > 1.05 * middle);
      const near = list.slice(from, to).map((j) => tflops[j]);
      known.set(name, near.length ? median(near) : NaN);
    }
    return known.get(name);
  };
  return run.make((i) => (tflops[i] > 0 ? tflops[i] / reference(i) : NaN));
}

// The first position whose item passes; all later ones pass too.
function bisect(list, passes) {
  let [lo, hi] = [0, list.length];
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (passes(list[mid])) hi = mid;
    else lo = mid + 1;
  }
  return lo;
}

function quantile(values, q) {
  const sorted = Float64Array.from(values).sort();
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

function median(values) {
  return values.length ? quantile(values, 0.5) : NaN;
}

// What can be drawn. `even` is the value at which nothing is lost or gained: the scale's middle.
const METRICS = [
  { key: "tflops", label: "Throughput", unit: "TFLOP/s", timed: true },
  { key: "flop_per_cycle", label: "FLOP per cycle", unit: "FLOP/cycle", timed: true },
  { key: "peak_share", label: "Share of peak, per cycle", unit: "%", times: 100, timed: true },
  { key: "aligned_ratio", label: "Relative to the aligned pair", unit: "%", times: 100, even: 100, timed: true },
  { key: "ratio", label: "Relative to its pair's first side", unit: "%", times: 100, even: 100, timed: true },
  { key: "equal_work", label: "Relative to aligned cells of equal work", unit: "%", times: 100, even: 100, timed: true },
  { key: "residual", label: "Measured throughput over the model's", unit: "%", times: 100, even: 100, timed: true },
  { key: "width", label: "Width of the 95 % interval", unit: "%", times: 100, timed: true },
  { key: "clock_mhz", label: "Clock", unit: "MHz", timed: true },
  { key: "power_w", label: "Power", unit: "W", timed: true },
  ...page.metrics.map((m) => ({ key: "count_" + m.name, label: m.title, unit: m.unit })),
  { key: "blocks", label: "Blocks", unit: "" },
];

// A metric's number of a cell, in its unit.
function metricOf(run, metric) {
  const known = run.metrics.get(metric.key);
  if (known) return known;
  const values = run.emulated && metric.timed ? run.make(() => NaN) : run.col(metric.key);
  const scaled = metric.times ? run.make((i) => values[i] * metric.times) : values;
  run.metrics.set(metric.key, scaled);
  return scaled;
}

const AXES = [
  { key: "m", label: "m" },
  { key: "n", label: "n" },
  { key: "k", label: "k" },
  { key: "pad_a", label: "lda − row", long: "padding of A's rows" },
  { key: "pad_b", label: "ldb − row", long: "padding of B's rows" },
  { key: "pad_c", label: "ldc − row", long: "padding of C's rows" },
  { key: "offset_a", label: "offset of A" },
  { key: "offset_b", label: "offset of B" },
  { key: "offset_c", label: "offset of C" },
  { key: "lda", label: "lda", derived: true },
  { key: "ldb", label: "ldb", derived: true },
  { key: "ldc", label: "ldc", derived: true },
  { key: "bytes_a", label: "alignment of A's rows, bytes", derived: true, top: TOP_ALIGN },
  { key: "bytes_b", label: "alignment of B's rows, bytes", derived: true, top: TOP_ALIGN },
  { key: "bytes_c", label: "alignment of C's rows, bytes", derived: true, top: TOP_ALIGN },
  { key: "bytes_bc", label: "lower alignment of B and C, bytes", derived: true, top: TOP_ALIGN },
  { key: "bytes_abc", label: "lowest alignment, bytes", derived: true, top: TOP_ALIGN },
];
