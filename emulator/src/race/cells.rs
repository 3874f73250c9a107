//! Who touched a byte of shared memory last.

/// The latest write and reads of a byte.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Cell {
    pub(super) w: Epoch,
    pub(super) r: Epoch,
}

/// Who did it, when by its own clock (zero: nobody), and where.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Epoch {
    pub(super) clock: u32,
    /// The actor in the low bits, and [`STRONG`] for an access that may meet others like it; for reads, [`MANY`] says that `clock` is an index of many readers.
    pub(super) actor: u16,
    pub(super) pc: u32,
}
pub(super) const STRONG: u16 = 1 << 14;
pub(super) const MANY: u16 = 1 << 15;
pub(super) const ACTOR: u16 = STRONG - 1;

/// Several readers of some bytes: actor, with [`STRONG`], clock and place; and how many cells share the list.
#[derive(Default)]
pub(super) struct Readers {
    pub(super) list: Vec<(u32, u32, u32)>,
    pub(super) cells: u32,
}

/// The cells of sixteen bytes: one for all of them while they have the same history, as most have, or a cell for every byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Line {
    all: Cell,
    /// Zero, or the number of the cells in the pool, plus one.
    parts: u32,
}
pub(super) const PARTS: usize = 16;

#[derive(Default)]
pub(super) struct Cells {
    lines: Vec<Line>,
    pool: Vec<[Cell; PARTS]>,
    free: Vec<u32>,
}

impl Cells {
    pub(super) fn new(bytes: usize) -> Self {
        Self { lines: vec![Line::default(); bytes.div_ceil(PARTS)], ..Self::default() }
    }
    pub(super) fn reset(&mut self) {
        self.lines.fill(Line::default());
        self.pool.clear();
        self.free.clear();
    }
    /// The cell at a place, and where the cells that are as it end, at `end` at the latest.
    #[inline]
    pub(super) fn run(&mut self, at: usize, end: usize) -> (Cell, usize) {
        let line = &mut self.lines[at / PARTS];
        let inside = at % PARTS;
        let upto = PARTS.min(inside + end - at);
        if line.parts == 0 {
            if upto - inside == PARTS {
                return (line.all, at + PARTS);
            }
            // Part of the line gets a history of its own.
            line.parts = match self.free.pop() {
                Some(i) => i + 1,
                None => {
                    self.pool.push([Cell::default(); PARTS]);
                    self.pool.len() as u32
                }
            };
            self.pool[line.parts as usize - 1] = [line.all; PARTS];
        }
        let cells = &self.pool[line.parts as usize - 1][inside..upto];
        let same = cells.iter().take_while(|c| **c == cells[0]).count();
        (cells[0], at + same)
    }
    /// Sets the cells that [`Self::run`] has found.
    #[inline]
    pub(super) fn fill(&mut self, at: usize, next: usize, cell: Cell) {
        let line = &mut self.lines[at / PARTS];
        if next - at == PARTS {
            if line.parts != 0 {
                self.free.push(line.parts - 1);
            }
            *line = Line { all: cell, parts: 0 };
        } else {
            let inside = at % PARTS;
            self.pool[line.parts as usize - 1][inside..inside + next - at].fill(cell);
        }
    }
}

/// An empty list of readers.
pub(super) fn fresh(many: &mut Vec<Readers>, free: &mut Vec<u32>) -> u32 {
    match free.pop() {
        Some(i) => {
            many[i as usize].list.clear();
            i
        }
        None => {
            many.push(Readers::default());
            many.len() as u32 - 1
        }
    }
}
