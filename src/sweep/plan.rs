//! From axes to cells in a seeded random order, without ever holding the cells themselves.
//!
//! A plan is a list of parts; a part is a product of axes. A *unit* is what a worker measures in one go: one cell, or the two
//! cells of a comparison. Cells are numbered part by part, so that a number names the same cell in every shard.

use super::axes::{Axis, Tie, Value};
use crate::data::Distribution;
use crate::dispatch::{SelectError, Selector, select};
use crate::measure::{Pace, Regime, Stopping};
use crate::problem::{DType, Layout, Operand, Problem};
use crate::record::{DeviceKind, Role};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most units of a plan.
pub const MAX_UNITS: u64 = 1 << 28;

/// Elements that the baseline of a comparison rounds every leading dimension up to.
const BASELINE_LD: u64 = 128;

/// A product of axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in records and in file names.
    pub name: String,
    /// Rows of C.
    pub m: Axis,
    /// Columns of C.
    pub n: Axis,
    /// Depth.
    pub k: Axis,
    /// Leading dimension of A.
    pub lda: Axis,
    /// Leading dimension of B.
    pub ldb: Axis,
    /// Leading dimension of C.
    pub ldc: Axis,
    /// Base offset of A.
    pub offset_a: Axis,
    /// Base offset of B.
    pub offset_b: Axis,
    /// Base offset of C.
    pub offset_c: Axis,
    /// Layouts of A and B.
    #[serde(default = "nn")]
    pub layouts: Vec<Layout>,
    /// Element types.
    #[serde(default = "f16")]
    pub dtypes: Vec<DType>,
    /// Kernels, each by the name that the command line takes.
    pub kernels: Vec<String>,
    /// Regimes.
    pub regimes: Vec<Regime>,
    /// Factor of A·B.
    pub alpha: f32,
    /// Factor of C.
    pub beta: f32,
    /// Whether each cell is compared with an aligned baseline of the same sizes.
    pub paired: bool,
}

/// The layout of plans that were written before there were others.
fn nn() -> Vec<Layout> {
    vec![Layout::Nn]
}

/// The type of plans that were written before there were others.
fn f16() -> Vec<DType> {
    vec![DType::F16]
}

impl Part {
    /// A part with one cell: m = n = k = 1 in FP16 and layout NN, no padding, no offset.
    pub fn new(name: &str) -> Self {
        let one = || Axis::single(1);
        Part {
            name: name.to_owned(),
            m: one(),
            n: one(),
            k: one(),
            lda: Axis::compact(),
            ldb: Axis::compact(),
            ldc: Axis::compact(),
            offset_a: Axis::single(0),
            offset_b: Axis::single(0),
            offset_c: Axis::single(0),
            layouts: nn(),
            dtypes: f16(),
            kernels: vec!["auto".to_owned()],
            regimes: vec![Regime::Hot],
            alpha: 1.0,
            beta: 0.0,
            paired: false,
        }
    }

    fn axes(&self) -> [(&'static str, &Axis); 9] {
        [
            ("m", &self.m),
            ("n", &self.n),
            ("k", &self.k),
            ("lda", &self.lda),
            ("ldb", &self.ldb),
            ("ldc", &self.ldc),
            ("offset-a", &self.offset_a),
            ("offset-b", &self.offset_b),
            ("offset-c", &self.offset_c),
        ]
    }
}

/// One cell spelled out: a problem, a kernel and a regime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// What to multiply.
    pub problem: Problem,
    /// The kernel, by the name that the command line takes; it must stand for one, so not `all`.
    pub kernel: String,
    /// The regime.
    pub regime: Regime,
    /// What its operands are drawn from; `None` for what the run's are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
}

/// One cell, or two that are compared A B B A, spelled out and measured several times apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Name of the part in records.
    pub part: String,
    /// The first arm, A.
    pub first: Arm,
    /// The second, B.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Arm>,
    /// Units: how often it is measured. Each has its own place in the run's random order.
    pub repetitions: u32,
}

impl Listed {
    fn arms(&self) -> impl Iterator<Item = &Arm> {
        std::iter::once(&self.first).chain(&self.second)
    }

    fn cells(&self) -> u64 {
        1 + u64::from(self.second.is_some())
    }
}

/// What to sweep.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Spec {
    /// The preset that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Its parts.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Cells and comparisons that are no product of axes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<Listed>,
}

/// A plan that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A kernel's name.
    #[error(transparent)]
    Kernel(#[from] SelectError),
    /// Too many cells.
    #[error(
        "part {part:?} would bring the plan to {units} units, and {MAX_UNITS} is the most; use coarser steps or several runs"
    )]
    TooMany {
        /// The part.
        part: String,
        /// Units up to and including it.
        units: u128,
    },
    /// An axis that cannot be what it was said to be.
    #[error("--{axis} {text}: {why}")]
    Axis {
        /// Its name.
        axis: &'static str,
        /// Its text.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A listed cell that names several kernels.
    #[error("part {part:?} names the kernel {kernel:?} for one cell, and it stands for several; name one")]
    Several {
        /// The part.
        part: String,
        /// The name.
        kernel: String,
    },
    /// Nothing to do.
    #[error("the plan has no cells: name at least one kernel, one regime, one layout and one type")]
    Empty,
    /// A shard that does not exist.
    #[error("there is no shard {index} of {count}: shards are numbered from 1 to their count")]
    Shard {
        /// Which one.
        index: u64,
        /// Of how many.
        count: u64,
    },
}

/// One cell, ready to be dispatched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Its number.
    pub cell: u64,
    /// Name of its part.
    pub part: String,
    /// Number of its comparison.
    pub pair: Option<u64>,
    /// Its side of the comparison.
    pub role: Option<Role>,
    /// What to multiply.
    pub problem: Problem,
    /// Which kernel was asked for.
    pub kernel: String,
    /// In which regime.
    pub regime: Regime,
    /// What its operands are drawn from; `None` for what the run's are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
}

/// The pace at which a unit is measured on a kind of device.
///
/// # Errors
/// Its cells are of regimes that cannot be measured in turn.
pub fn pace(cells: &[Cell], kind: DeviceKind) -> Result<Pace, String> {
    let mut paces = cells.iter().map(|cell| (cell.regime, Pace::of(cell.regime, kind)));
    let (first, pace) = paces.next().unwrap_or((Regime::Hot, Pace::Steady));
    match paces.find(|(_, other)| *other != pace) {
        None => Ok(pace),
        Some((other, _)) => Err(format!(
            "cells in the regimes {} and {} cannot be measured in turn; give both the same one",
            first.name(),
            other.name()
        )),
    }
}

/// The time that a unit takes at least on a kind of device, in nanoseconds, for what a stopping rule cannot shorten: 0 where it can shorten all.
pub fn least_ns(cells: &[Cell], kind: DeviceKind, stopping: &Stopping) -> u64 {
    pace(cells, kind).map_or(0, |pace| pace.least_ns(cells.len(), stopping))
}

struct Planned {
    part: Part,
    selectors: Vec<Selector>,
    /// Number of the first unit and of the first cell.
    first_unit: u64,
    first_cell: u64,
    units: u64,
}

struct PlannedListed {
    listed: Listed,
    first_unit: u64,
    first_cell: u64,
}

/// A plan: its parts and the order in which a shard takes their units.
pub struct Plan {
    parts: Vec<Planned>,
    listed: Vec<PlannedListed>,
    order: Vec<u32>,
    units: u64,
    cells: u64,
}

impl Plan {
    /// Plans every unit of `spec` in an order drawn by `seed`.
    ///
    /// # Errors
    /// A kernel is unknown, an axis cannot be used where it stands, or there are too many cells or none.
    pub fn new(spec: &Spec, kind: DeviceKind, seed: u64) -> Result<Self, PlanError> {
        let (mut units, mut cells) = (0u64, 0u64);
        let mut parts = Vec::new();
        for part in &spec.parts {
            check_axes(part)?;
            let mut selectors = Vec::new();
            for name in &part.kernels {
                for selector in select(name, kind)? {
                    if !selectors.contains(&selector) {
                        selectors.push(selector);
                    }
                }
            }
            let lists = [selectors.len(), part.regimes.len(), part.layouts.len(), part.dtypes.len()];
            let lists = lists.into_iter().map(|len| len as u128);
            let count = lists
                .chain(part.axes().iter().map(|(_, axis)| u128::from(axis.len())))
                .try_fold(1, u128::checked_mul)
                .unwrap_or(u128::MAX);
            let total = count.saturating_add(u128::from(units));
            if total > u128::from(MAX_UNITS) {
                return Err(PlanError::TooMany { part: part.name.clone(), units: total });
            }
            let count = count as u64;
            parts.push(Planned { part: part.clone(), selectors, first_unit: units, first_cell: cells, units: count });
            units += count;
            cells += count * if part.paired { 2 } else { 1 };
        }
        let mut planned = Vec::new();
        for listed in &spec.listed {
            for arm in listed.arms() {
                if select(&arm.kernel, kind)?.len() != 1 {
                    return Err(PlanError::Several { part: listed.part.clone(), kernel: arm.kernel.clone() });
                }
            }
            planned.push(PlannedListed { listed: listed.clone(), first_unit: units, first_cell: cells });
            units += u64::from(listed.repetitions);
            cells += u64::from(listed.repetitions) * listed.cells();
            if units > MAX_UNITS {
                return Err(PlanError::TooMany { part: listed.part.clone(), units: u128::from(units) });
            }
        }
        if units == 0 {
            return Err(PlanError::Empty);
        }
        let mut order: Vec<u32> = (0..units as u32).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        Ok(Plan { parts, listed: planned, order, units, cells })
    }

    /// Keeps every `count`-th unit of the order, beginning with number `index`, counted from 1.
    ///
    /// # Errors
    /// There is no such shard.
    pub fn shard(mut self, index: u64, count: u64) -> Result<Self, PlanError> {
        if index == 0 || index > count {
            return Err(PlanError::Shard { index, count });
        }
        self.order = self.order.into_iter().skip(index as usize - 1).step_by(count as usize).collect();
        self.cells = self.order.iter().map(|&u| self.cells_of(u64::from(u))).sum();
        self.units = self.order.len() as u64;
        Ok(self)
    }

    /// Units of this shard.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Cells of this shard.
    pub fn cells(&self) -> u64 {
        self.cells
    }

    /// The last part that begins at or before a unit. Listed units come after those of all parts.
    fn part_of(&self, unit: u64) -> Option<&Planned> {
        let after = self.parts.partition_point(|p| p.first_unit <= unit);
        let part = self.parts[..after].last()?;
        (unit - part.first_unit < part.units).then_some(part)
    }

    fn listed_of(&self, unit: u64) -> &PlannedListed {
        let after = self.listed.partition_point(|l| l.first_unit <= unit);
        &self.listed[after - 1]
    }

    fn cells_of(&self, unit: u64) -> u64 {
        match self.part_of(unit) {
            Some(planned) => 1 + u64::from(planned.part.paired),
            None => self.listed_of(unit).listed.cells(),
        }
    }

    fn listed_unit(&self, unit: u64) -> Vec<Cell> {
        let PlannedListed { listed, first_unit, first_cell } = self.listed_of(unit);
        let first = first_cell + (unit - first_unit) * listed.cells();
        let paired = listed.second.is_some();
        let roles = [Role::Baseline, Role::Variant];
        let cells = listed.arms().zip(roles).zip(first..).map(|((arm, role), cell)| Cell {
            cell,
            part: listed.part.clone(),
            pair: paired.then_some(unit),
            role: paired.then_some(role),
            problem: arm.problem,
            kernel: arm.kernel.clone(),
            regime: arm.regime,
            distribution: arm.distribution,
        });
        cells.collect()
    }

    /// The cells of the unit at this position of the order: one, or the baseline and the variant of a comparison.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn unit(&self, position: u64) -> Vec<Cell> {
        let unit = u64::from(self.order[position as usize]);
        let Some(planned) = self.part_of(unit) else { return self.listed_unit(unit) };
        let part = &planned.part;
        let within = unit - planned.first_unit;
        debug_assert!(within < planned.units);
        let mut rest = within;
        let mut digit = |len: u64| {
            let i = rest % len;
            rest /= len;
            i
        };
        let regime = part.regimes[digit(part.regimes.len() as u64) as usize];
        let kernel = planned.selectors[digit(planned.selectors.len() as u64) as usize].to_string();
        let layout = part.layouts[digit(part.layouts.len() as u64) as usize];
        let dtype = part.dtypes[digit(part.dtypes.len() as u64) as usize];
        let [offset_c, offset_b, offset_a, ldc, ldb, lda, k, n, m] = [8, 7, 6, 5, 4, 3, 2, 1, 0].map(|i| {
            let axis = part.axes()[i].1;
            axis.value(digit(axis.len()))
        });
        let problem = place(part, (layout, dtype), [m, n, k], [lda, ldb, ldc], [offset_a, offset_b, offset_c]);
        let cell = |cell, pair, role, problem| Cell {
            cell,
            part: part.name.clone(),
            pair,
            role,
            problem,
            kernel: kernel.clone(),
            regime,
            distribution: None,
        };
        if !part.paired {
            return vec![cell(planned.first_cell + within, None, None, problem)];
        }
        let first = planned.first_cell + 2 * within;
        vec![
            cell(first, Some(unit), Some(Role::Baseline), baseline(&problem)),
            cell(first + 1, Some(unit), Some(Role::Variant), problem),
        ]
    }
}

fn tie_name(tie: Tie) -> &'static str {
    match tie {
        Tie::M => "m",
        Tie::N => "n",
        Tie::K => "k",
        Tie::Ldb => "ldb",
    }
}

/// Ties and paddings have their places.
fn check_axes(part: &Part) -> Result<(), PlanError> {
    for (i, (name, axis)) in part.axes().into_iter().enumerate() {
        let error = |why| Err(PlanError::Axis { axis: name, text: axis.to_string(), why });
        let is_ld = (3..6).contains(&i);
        if axis.is_padding() && !is_ld {
            return error("a leading + means padding and is for leading dimensions only; leave it out");
        }
        let allowed = match (name, axis.tie()) {
            (_, None) => true,
            ("lda" | "ldc", Some(Tie::Ldb)) => true,
            ("m" | "n" | "k" | "lda" | "ldb" | "ldc", Some(tie)) => tie != Tie::Ldb && tie_name(tie) != name,
            _ => false,
        };
        if !allowed {
            return error(
                "it cannot be tied to that axis: sizes can be tied to m, n and k, leading dimensions also to ldb; write its values",
            );
        }
    }
    let ties = [&part.m, &part.n, &part.k].map(Axis::tie);
    let free = |tie: Option<Tie>| match tie {
        None => true,
        Some(Tie::M) => ties[0].is_none(),
        Some(Tie::N) => ties[1].is_none(),
        Some(Tie::K) => ties[2].is_none(),
        Some(Tie::Ldb) => false,
    };
    for (i, (name, axis)) in part.axes().into_iter().take(3).enumerate() {
        if !free(ties[i]) {
            return Err(PlanError::Axis {
                axis: name,
                text: axis.to_string(),
                why: "the axis that it is tied to is tied itself; write values for one of the two",
            });
        }
    }
    Ok(())
}

fn place(
    part: &Part,
    (layout, dtype): (Layout, DType),
    sizes: [Value; 3],
    lds: [Value; 3],
    offsets: [Value; 3],
) -> Problem {
    let absolute = |v: Value| match v {
        Value::Absolute(x) | Value::Padding(x) => x,
        Value::Tied(_) => 0,
    };
    let size = |v: Value| match v {
        Value::Tied(Tie::M) => absolute(sizes[0]),
        Value::Tied(Tie::N) => absolute(sizes[1]),
        Value::Tied(Tie::K) => absolute(sizes[2]),
        other => absolute(other),
    };
    let [m, n, k] = sizes.map(size);
    let mut problem = Problem::new(m, n, k).in_form(layout, dtype);
    let cols = Operand::ALL.map(|operand| problem.placement(operand).cols.max(1));
    let ld = |value: Value, cols: u64, of_b: Value| match (value, of_b) {
        (Value::Absolute(x), _) => x,
        (Value::Padding(x), _) => cols.saturating_add(x),
        (Value::Tied(Tie::Ldb), Value::Padding(x)) => cols.saturating_add(x),
        (Value::Tied(Tie::Ldb), other) => size(other),
        (tied, _) => size(tied),
    };
    [problem.lda, problem.ldb, problem.ldc] = [0, 1, 2].map(|i| ld(lds[i], cols[i], lds[1]));
    [problem.offset_a, problem.offset_b, problem.offset_c] = offsets.map(absolute);
    (problem.alpha, problem.beta) = (part.alpha, part.beta);
    problem
}

/// The same sizes with aligned bases and every leading dimension rounded up, so that about as much memory is touched.
fn baseline(problem: &Problem) -> Problem {
    let up = |ld: u64| ld.checked_next_multiple_of(BASELINE_LD).unwrap_or(ld);
    Problem {
        lda: up(problem.lda),
        ldb: up(problem.ldb),
        ldc: up(problem.ldc),
        offset_a: 0,
        offset_b: 0,
        offset_c: 0,
        ..*problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn part(texts: [&str; 6]) -> Part {
        let [m, n, k, lda, ldb, ldc] = texts.map(|t| t.parse().unwrap());
        Part { m, n, k, lda, ldb, ldc, ..Part::new("test") }
    }

    fn plan(parts: Vec<Part>) -> Plan {
        Plan::new(&Spec { parts, ..Spec::default() }, DeviceKind::Cpu, 1).unwrap()
    }

    #[test]
    fn a_plan_is_the_product_of_its_axes_each_cell_once() {
        let regimes = vec![Regime::Hot, Regime::Cold];
        let plan = plan(vec![
            Part { regimes, ..part(["1..3", "5,7", "8", "+0..1", "+0", "+0"]) },
            Part { paired: true, ..part(["100", "100", "100..103", "+0", "+1", "+2"]) },
        ]);
        assert_eq!((plan.units(), plan.cells()), (24 + 4, 24 + 8));
        let cells: Vec<Cell> = (0..plan.units()).flat_map(|i| plan.unit(i)).collect();
        let numbers: HashSet<u64> = cells.iter().map(|c| c.cell).collect();
        assert_eq!(numbers, (0..32).collect());
        let distinct: HashSet<String> =
            cells.iter().map(|c| format!("{:?} {:?} {:?}", c.problem, c.regime, c.pair)).collect();
        assert_eq!(distinct.len(), 32);
        assert!(cells.iter().all(|c| c.problem.validate().is_ok()));
    }

    #[test]
    fn the_order_is_random_and_comes_from_the_seed() {
        let spec = Spec { parts: vec![part(["1..100", "1", "1", "+0", "+0", "+0"])], ..Spec::default() };
        let order = |seed| -> Vec<u64> {
            let plan = Plan::new(&spec, DeviceKind::Cpu, seed).unwrap();
            (0..plan.units()).map(|i| plan.unit(i)[0].cell).collect()
        };
        assert_eq!(order(5), order(5));
        assert_ne!(order(5), order(6));
        assert!(!order(5).is_sorted());
    }

    #[test]
    fn ties_and_paddings_follow_the_cell() {
        let p = plan(vec![part(["512", "m", "m", "+1", "+3", "ldb"])]).unit(0)[0].problem;
        assert_eq!((p.m, p.n, p.k), (512, 512, 512));
        assert_eq!((p.lda, p.ldb, p.ldc), (513, 515, 515));
        let p = plan(vec![part(["8", "16", "24", "k", "1000", "ldb"])]).unit(0)[0].problem;
        assert_eq!((p.lda, p.ldb, p.ldc), (24, 1000, 1000));
    }

    #[test]
    fn layouts_and_types_are_axes_and_paddings_follow_the_stored_rows() {
        let plan = plan(vec![Part {
            layouts: Layout::ALL.to_vec(),
            dtypes: vec![DType::F16, DType::I8],
            ..part(["3", "5", "7", "+1", "+1", "+1"])
        }]);
        assert_eq!(plan.cells(), 8);
        let mut forms = HashSet::new();
        for p in (0..8).map(|i| plan.unit(i)[0].problem) {
            forms.insert((p.layout, p.dtype));
            let stored = |operand| p.placement(operand).cols + 1;
            assert_eq!([p.lda, p.ldb, p.ldc], [stored(Operand::A), stored(Operand::B), 6], "{:?}", p.layout);
        }
        assert_eq!(forms.len(), 8);
    }

    #[test]
    fn plans_from_before_there_were_layouts_are_still_read() {
        let mut value = serde_json::to_value(Part::new("old")).unwrap();
        for key in ["layouts", "dtypes"] {
            assert!(value.as_object_mut().unwrap().remove(key).is_some());
        }
        assert_eq!(serde_json::from_value::<Part>(value).unwrap(), Part::new("old"));
    }

    #[test]
    fn a_baseline_differs_in_placement_alone() {
        let mut odd = part(["100", "100", "100", "+1", "+28", "+0"]);
        odd.offset_a = Axis::single(3);
        odd.paired = true;
        let cells = plan(vec![odd]).unit(0);
        let (a, b) = (cells[0].problem, cells[1].problem);
        assert_eq!((cells[0].role, cells[1].role), (Some(Role::Baseline), Some(Role::Variant)));
        assert_eq!(cells[0].pair, cells[1].pair);
        assert_eq!((a.m, a.n, a.k), (b.m, b.n, b.k));
        assert_eq!((a.lda, a.ldb, a.ldc, a.offset_a), (128, 128, 128, 0));
        assert_eq!((b.lda, b.ldb, b.ldc, b.offset_a), (101, 128, 100, 3));
    }

    #[test]
    fn shards_divide_the_plan_among_them() {
        let spec = Spec {
            parts: vec![
                part(["1..37", "1", "1", "+0", "+0", "+0"]),
                Part { paired: true, ..part(["1..10", "1", "1", "+0", "+0", "+0"]) },
            ],
            listed: vec![listed(3, true), listed(5, false)],
            ..Spec::default()
        };
        let whole = Plan::new(&spec, DeviceKind::Cpu, 9).unwrap();
        let mut seen = HashSet::new();
        let mut cells = 0;
        for index in 1..=8 {
            let shard = Plan::new(&spec, DeviceKind::Cpu, 9).unwrap().shard(index, 8).unwrap();
            cells += shard.cells();
            for i in 0..shard.units() {
                assert!(shard.unit(i).iter().all(|c| seen.insert(c.cell)), "a cell is in two shards");
            }
        }
        assert_eq!((cells, seen.len() as u64), (whole.cells(), whole.cells()));
        for (index, count) in [(0, 8), (9, 8)] {
            let error = Plan::new(&spec, DeviceKind::Cpu, 9).unwrap().shard(index, count).err().unwrap();
            assert_eq!(error, PlanError::Shard { index, count });
        }
    }

    #[test]
    fn impossible_plans_say_why() {
        let error =
            |part: Part| Plan::new(&Spec { parts: vec![part], ..Spec::default() }, DeviceKind::Cpu, 1).err().unwrap();
        assert!(matches!(error(part(["1..4000000", "1..4000000", "1", "+0", "+0", "+0"])), PlanError::TooMany { .. }));
        assert!(matches!(error(part(["n", "m", "1", "+0", "+0", "+0"])), PlanError::Axis { .. }));
        assert!(matches!(error(part(["+3", "1", "1", "+0", "+0", "+0"])), PlanError::Axis { axis: "m", .. }));
        let unknown = Part { kernels: vec!["cpu_sgem".to_owned()], ..part(["1"; 6]) };
        assert!(error(unknown).to_string().contains("did you mean \"cpu_sgemm\""));
        let none = Part { regimes: Vec::new(), ..part(["1", "1", "1", "+0", "+0", "+0"]) };
        assert_eq!(error(none), PlanError::Empty);
        let mut several = listed(1, true);
        several.first.kernel = "all".to_owned();
        let spec = Spec { listed: vec![several], ..Spec::default() };
        // A CPU has one kernel, so `all` is no more than one there.
        assert!(Plan::new(&spec, DeviceKind::Cpu, 1).is_ok());
        assert!(Plan::new(&spec, DeviceKind::Cuda, 1).is_err());
    }

    fn listed(repetitions: u32, paired: bool) -> Listed {
        let arm = |m| Arm {
            problem: Problem::new(m, 8, 8),
            kernel: "cpu_sgemm".to_owned(),
            regime: Regime::Hot,
            distribution: None,
        };
        Listed { part: "claim".to_owned(), first: arm(8), second: paired.then(|| arm(9)), repetitions }
    }

    #[test]
    fn listed_cells_follow_the_parts_and_repeat_apart_from_each_other() {
        let spec = Spec {
            parts: vec![part(["1..4", "1", "1", "+0", "+0", "+0"])],
            listed: vec![listed(3, true), listed(2, false)],
            ..Spec::default()
        };
        let plan = Plan::new(&spec, DeviceKind::Cpu, 4).unwrap();
        assert_eq!((plan.units(), plan.cells()), (4 + 5, 4 + 8));
        let units: Vec<Vec<Cell>> = (0..plan.units()).map(|i| plan.unit(i)).collect();
        let numbers: HashSet<u64> = units.iter().flatten().map(|c| c.cell).collect();
        assert_eq!(numbers, (0..12).collect());
        let pairs: Vec<&Vec<Cell>> = units.iter().filter(|u| u.len() == 2).collect();
        let distinct: HashSet<Option<u64>> = pairs.iter().map(|u| u[0].pair).collect();
        assert_eq!((pairs.len(), distinct.len()), (3, 3));
        for pair in pairs {
            assert_eq!((pair[0].problem.m, pair[1].problem.m, &pair[0].part[..]), (8, 9, "claim"));
            assert_eq!((pair[0].pair, pair[1].role), (pair[1].pair, Some(Role::Variant)));
        }
        assert_eq!(units.iter().filter(|u| u.len() == 1 && u[0].part == "claim" && u[0].pair.is_none()).count(), 2);
        // The plan comes back from a manifest.
        let json = serde_json::to_value(&spec).unwrap();
        assert_eq!(serde_json::from_value::<Spec>(json).unwrap(), spec);
    }
}
