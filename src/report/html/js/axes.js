// Axes of a map: the parameters along which cells differ, and the two that tell most.

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

// An axis on which all of a run's cells have one value.
function single(run, axis, rows) {
  const column = run.col(axis.key);
  const values = [...new Set(Array.from(rows, (i) => column[i]))].filter((v) => !Number.isNaN(v)).sort((a, b) => a - b);
  return values.length ? { ...axis, column, values } : null;
}
