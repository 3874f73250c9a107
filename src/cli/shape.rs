//! One problem on the command line: its sizes, how its operands are stored, and the numbers and axes that other commands take.

use crate::problem::{DType, Layout, MAX_SIZE, Operand, Problem};
use anyhow::Result;

/// Sizes, layout, type, leading dimensions and offsets of one problem.
#[derive(Debug, Clone, clap::Args)]
pub struct Shape {
    /// Rows of A and C
    #[arg(value_parser = number, allow_negative_numbers = true)]
    m: u64,
    /// Columns of B and C
    #[arg(value_parser = number, allow_negative_numbers = true)]
    n: u64,
    /// Columns of A, rows of B
    #[arg(value_parser = number, allow_negative_numbers = true)]
    k: u64,
    /// How A and B are stored: n as they are multiplied, t transposed
    #[arg(long, value_enum, ignore_case = true, default_value = "nn")]
    layout: Layout,
    /// Type of the elements
    #[arg(long, value_enum, ignore_case = true, default_value = "f16")]
    dtype: DType,
    /// Leading dimension of A, in elements [default: a stored row]
    #[arg(long, value_parser = number, allow_hyphen_values = true)]
    lda: Option<u64>,
    /// Leading dimension of B [default: a stored row]
    #[arg(long, value_parser = number, allow_hyphen_values = true)]
    ldb: Option<u64>,
    /// Leading dimension of C [default: N]
    #[arg(long, value_parser = number, allow_hyphen_values = true)]
    ldc: Option<u64>,
    /// Elements from an aligned address to A
    #[arg(long, default_value_t = 0, value_parser = number, allow_hyphen_values = true)]
    offset_a: u64,
    /// Elements from an aligned address to B
    #[arg(long, default_value_t = 0, value_parser = number, allow_hyphen_values = true)]
    offset_b: u64,
    /// Elements from an aligned address to C
    #[arg(long, default_value_t = 0, value_parser = number, allow_hyphen_values = true)]
    offset_c: u64,
}

impl Shape {
    /// The problem.
    ///
    /// # Errors
    /// A number is out of range, or a leading dimension is shorter than a row; the text names it, the limit and the remedy.
    pub fn problem(&self) -> Result<Problem> {
        let compact = Problem::new(self.m, self.n, self.k).in_form(self.layout, self.dtype);
        let problem = Problem {
            lda: self.lda.unwrap_or(compact.lda),
            ldb: self.ldb.unwrap_or(compact.ldb),
            ldc: self.ldc.unwrap_or(compact.ldc),
            offset_a: self.offset_a,
            offset_b: self.offset_b,
            offset_c: self.offset_c,
            ..compact
        };
        problem.validate()?;
        Ok(problem)
    }
}

/// The options of `sweep` that make a plan of this one problem.
pub fn as_options(p: &Problem) -> String {
    let mut text = format!("--m {} --n {} --k {}", p.m, p.n, p.k);
    if p.layout != Layout::default() {
        text += &format!(" --layout {}", p.layout.name());
    }
    if p.dtype != DType::default() {
        text += &format!(" --dtype {}", p.dtype.name());
    }
    for (o, ld, offset) in [(Operand::A, "lda", "a"), (Operand::B, "ldb", "b"), (Operand::C, "ldc", "c")] {
        let place = p.placement(o);
        if place.ld != place.cols.max(1) {
            text += &format!(" --{ld} {}", place.ld);
        }
        if place.offset > 0 {
            text += &format!(" --offset-{offset} {}", place.offset);
        }
    }
    text
}

/// Reads a count of elements.
fn number(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("write a whole number from 0 to {MAX_SIZE}, such as 4096"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        shape: Shape,
    }

    fn parsed(text: &str) -> Result<Problem, String> {
        let words = std::iter::once("x").chain(text.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|e| e.to_string())?;
        command.shape.problem().map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_no_number_is_told_with_the_limit_and_the_remedy() {
        for text in ["-3 4 4", "4 x 4", "4 4 4.5", "4 4 4 --lda -3", "4 4 4 --offset-c -1", "4 4 4 --ldb=-9"] {
            let why = parsed(text).unwrap_err();
            assert!(why.contains("write a whole number from 0 to 2147483647"), "{text}: {why}");
        }
        assert!(parsed("2147483648 1 1").unwrap_err().contains("out of range"));
        assert!(parsed("4 4 4 --lda 3").unwrap_err().contains("at least 4"));
    }

    #[test]
    fn a_problem_is_told_as_options_of_a_sweep() {
        let told = |text: &str| as_options(&parsed(text).unwrap());
        assert_eq!(told("1 2 3"), "--m 1 --n 2 --k 3");
        assert_eq!(
            told("8 16 32 --layout TN --dtype bf16 --lda 9 --offset-b 3"),
            "--m 8 --n 16 --k 32 --layout tn --dtype bf16 --lda 9 --offset-b 3"
        );
    }
}
