//! Changes of a text: one that a rule describes, and one drawn at random.

use crate::text::{Statement, locations, source_line, statements};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Which of the instructions that match are changed.
#[derive(Debug, Clone, Copy)]
pub enum Nth {
    /// The one with this number, from 0.
    At(usize),
    /// The last one.
    Last,
    /// Every one.
    All,
}

/// Instructions to change.
#[derive(Debug, Clone, Copy)]
pub struct Pick {
    /// What the instruction holds, white space as single spaces; several pieces with `...` in between.
    pub find: &'static str,
    /// What the source line that it came from holds.
    pub at: &'static str,
    /// Which of those that match.
    pub nth: Nth,
}

/// What becomes of an instruction.
#[derive(Debug, Clone, Copy)]
pub enum Edit {
    /// It goes.
    Delete,
    /// One piece of it becomes another; white space is single spaces.
    Swap(&'static str, &'static str),
    /// It runs whether its predicate holds or not.
    Always,
    /// Its predicate is turned round.
    Invert,
    /// It runs twice.
    Twice,
    /// More before it; `$1`, `$2` ... are its operands.
    Before(&'static str),
    /// More after it.
    After(&'static str),
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn matches(text: &str, find: &str) -> bool {
    let mut rest = text;
    find.split("...").all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

fn operands(statement: &Statement<'_>) -> Vec<String> {
    let bare = statement.bare().trim_end_matches(';');
    let list = bare.split_once(char::is_whitespace).map_or("", |(_, operands)| operands);
    list.split(',').map(|o| o.trim().to_owned()).collect()
}

fn changed(statement: &Statement<'_>, edit: Edit) -> String {
    let text = spaced(statement.text);
    let fill = |template: &str| {
        let numbered = operands(statement).into_iter().enumerate();
        numbered.fold(template.to_owned(), |t, (i, operand)| t.replace(&format!("${}", i + 1), &operand))
    };
    match edit {
        Edit::Delete => String::new(),
        Edit::Swap(from, to) => {
            assert!(text.contains(from), "'{text}' has no '{from}'");
            text.replacen(from, to, 1)
        }
        Edit::Always => {
            assert!(text.starts_with('@'), "'{text}' has no predicate");
            statement.bare().to_owned()
        }
        Edit::Invert => match text.strip_prefix("@!") {
            Some(rest) => format!("@{rest}"),
            None => format!("@!{}", text.strip_prefix('@').unwrap_or_else(|| panic!("'{text}' has no predicate"))),
        },
        Edit::Twice => format!("{text} {text}"),
        Edit::Before(more) => format!("{} {text}", fill(more)),
        Edit::After(more) => format!("{text} {}", fill(more)),
    }
}

/// The text with a change made to some of its instructions.
///
/// # Panics
/// No instruction matches, or the change does not apply to one that does: a rule that changes nothing proves nothing.
pub fn mutate(ptx: &str, pick: Pick, edit: Edit) -> String {
    let places = locations(ptx);
    let wanted =
        |s: &Statement<'_>| matches(&spaced(s.text), pick.find) && source_line(&places[s.line]).contains(pick.at);
    let all: Vec<Statement<'_>> = statements(ptx).filter(wanted).collect();
    assert!(!all.is_empty(), "no '{}' at '{}'", pick.find, pick.at);
    let chosen = match pick.nth {
        Nth::All => &all[..],
        Nth::Last => &all[all.len() - 1..],
        Nth::At(i) => {
            assert!(i < all.len(), "{} of '{}' at '{}', none of number {i}", all.len(), pick.find, pick.at);
            &all[i..=i]
        }
    };
    let mut lines: Vec<String> = ptx.lines().map(str::to_owned).collect();
    for statement in chosen {
        lines[statement.line] = changed(statement, edit);
    }
    lines.join("\n") + "\n"
}

/// The text with one random change, which a seed decides, and what was done.
pub fn random(ptx: &str, seed: u64) -> (String, String) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let all: Vec<Statement<'_>> = statements(ptx).collect();
    let mut lines: Vec<String> = ptx.lines().map(str::to_owned).collect();
    loop {
        let statement = all.choose(&mut rng).expect("there are instructions");
        let text = spaced(statement.text);
        let new = match rng.random_range(0..5) {
            0 => Some(String::new()),
            1 => number_changed(&text, &mut rng),
            2 => registers_swapped(&text, &mut rng),
            3 => text.starts_with('@').then(|| {
                if rng.random() { changed(statement, Edit::Invert) } else { changed(statement, Edit::Always) }
            }),
            // An instruction of the same opcode from elsewhere.
            _ => {
                let opcode = |s: &Statement<'_>| s.bare().split_whitespace().next().unwrap_or("").to_owned();
                let same: Vec<&Statement<'_>> = all.iter().filter(|s| opcode(s) == opcode(statement)).collect();
                same.choose(&mut rng).map(|s| spaced(s.text))
            }
        };
        if let Some(new) = new.filter(|new| *new != text) {
            let said = format!("line {}: '{text}' became '{new}'", statement.line + 1);
            lines[statement.line] = new;
            return (lines.join("\n") + "\n", said);
        }
    }
}

/// Another number in place of one that stands alone.
fn number_changed(text: &str, rng: &mut ChaCha8Rng) -> Option<String> {
    let is_number = |w: &str| !w.is_empty() && w.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    let separators = [' ', ',', '[', ']', '+', ';', '{', '}'];
    let words: Vec<&str> = text.split(separators).filter(|w| is_number(w)).collect();
    let word = words.choose(rng)?;
    let value: i64 = word.parse().ok()?;
    let new = match rng.random_range(0..6) {
        0 => value.wrapping_add(1),
        1 => value.wrapping_sub(1),
        2 => value.wrapping_mul(2),
        3 => value / 2,
        4 => 0,
        _ => i64::from(rng.random::<i32>()),
    };
    let at = word.as_ptr() as usize - text.as_ptr() as usize;
    Some(format!("{}{new}{}", &text[..at], &text[at + word.len()..]))
}

/// Two registers of an instruction in each other's place.
fn registers_swapped(text: &str, rng: &mut ChaCha8Rng) -> Option<String> {
    let separators = [' ', ',', '[', ']', '+', ';', '{', '}', '!', '@'];
    let all: Vec<&str> = text.split(separators).filter(|w| w.starts_with('%')).collect();
    let (a, b) = (all.choose(rng)?, all.choose(rng)?);
    let at = |w: &str| w.as_ptr() as usize - text.as_ptr() as usize;
    let (first, second) = if at(a) < at(b) { (a, b) } else { (b, a) };
    (first != second).then(|| {
        let (f, s) = (at(first), at(second));
        format!("{}{second}{}{first}{}", &text[..f], &text[f + first.len()..s], &text[s + second.len()..])
    })
}
