// The evidence for a cell: all that is known of it.

const SHAPE = ["m", "n", "k", "lda", "ldb", "ldc", "offset_a", "offset_b", "offset_c"];

function shapeText(run, i) {
  return ["m", "n", "k"].map((name) => whole(run.col(name)[i])).join(" × ");
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
    put("Multiply-adds", `${whole(of("macs"))} useful, ${whole(of("issued_macs"))} issued${Number.isFinite(of("count_issued")) ? ` (${short(of("count_issued"), 4)}×)` : ""}`);
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
