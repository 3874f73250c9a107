//! PTX as lines: the text of one entry, its statements, and the source lines that they came from.

use crate::catalog::root;
use std::collections::HashMap;

/// An instruction of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Number of its line, from 0.
    pub line: usize,
    /// The instruction with its predicate and semicolon, without white space around it.
    pub text: &'a str,
}

impl Statement<'_> {
    /// The instruction without its predicate.
    pub fn bare(&self) -> &str {
        match self.text.strip_prefix('@') {
            Some(rest) => rest.split_once(char::is_whitespace).map_or("", |(_, bare)| bare.trim_start()),
            None => self.text,
        }
    }
}

/// The names of a module's entries.
pub(crate) fn entries(module: &str) -> impl Iterator<Item = &str> {
    module.lines().filter_map(|l| l.strip_prefix(".visible .entry ")?.split('(').next())
}

/// The header of a module, one of its entries, the functions that it may call, and the names of its source files.
pub(crate) fn only_entry(module: &str, entry: &str) -> Option<String> {
    let begins = |line: &str| line.starts_with(".visible .entry ");
    let mut lines = module.lines();
    let mut text: String = lines.by_ref().take_while(|l| !begins(l)).flat_map(|l| [l, "\n"]).collect();
    let at = module.find(&format!(".visible .entry {entry}("))?;
    let body = &module[at..];
    // Inline assembly may close braces of its own at the start of a line: the entry ends before the next entry or directive.
    let up_to =
        |text: &'_ str, ends: &[&str]| ends.iter().filter_map(|next| text.find(next)).min().unwrap_or(text.len());
    const ENDS: [&str; 2] = ["\n\t.file", "\n\t.section"];
    let body = &body[..up_to(body, &["\n.visible .entry ", "\n.func", ENDS[0], ENDS[1]])];
    text.extend([&body[..=body.rfind('}')?], "\n"]);
    // Functions are declared in the header, and follow the last entry.
    let last = &module[module.rfind("\n.visible .entry ")?..];
    if let Some(at) = last.find("\n.func") {
        text.extend([&last[at + 1..up_to(last, &ENDS)], "\n"]);
    }
    module.lines().filter(|l| l.trim_start().starts_with(".file")).for_each(|l| text.extend([l, "\n"]));
    Some(text)
}

/// The instructions of a text: no directives, labels, braces or comments.
pub fn statements(ptx: &str) -> impl Iterator<Item = Statement<'_>> {
    ptx.lines().enumerate().filter_map(|(line, text)| {
        let text = text.trim();
        let instruction = text.ends_with(';') && text.starts_with(|c: char| c == '@' || c.is_ascii_lowercase());
        instruction.then_some(Statement { line, text })
    })
}

/// `file:line` of the source for every line of a text, by the `.loc` before it.
pub(crate) fn locations(ptx: &str) -> Vec<String> {
    let mut files = HashMap::new();
    for line in ptx.lines().filter_map(|l| l.trim().strip_prefix(".file")) {
        let mut words = line.split_whitespace();
        if let (Some(number), Some(name)) = (words.next(), words.next()) {
            files.insert(number.to_owned(), name.trim_matches(['"', ',']).to_owned());
        }
    }
    let mut here = String::new();
    ptx.lines()
        .map(|line| {
            if let Some(loc) = line.trim().strip_prefix(".loc") {
                let mut words = loc.split_whitespace();
                if let (Some(file), Some(number)) = (words.next().and_then(|f| files.get(f)), words.next()) {
                    here = format!("{file}:{number}");
                }
            }
            here.clone()
        })
        .collect()
}

/// The text of a source position: of `file:line` below the repository's root, and of both lines for `file:line (in file:line)`, the
/// form in which findings give the place of a call and what was called. A line that does not exist is empty.
pub fn source_line(place: &str) -> String {
    if let Some((caller, callee)) = place.strip_suffix(')').and_then(|p| p.split_once(" (in ")) {
        return format!("{} | {}", source_line(caller), source_line(callee));
    }
    let Some((file, line)) = place.rsplit_once(':') else { return String::new() };
    let Ok(text) = std::fs::read_to_string(root().join(file)) else { return String::new() };
    let number: usize = line.parse().unwrap_or(0);
    text.lines().nth(number.wrapping_sub(1)).unwrap_or_default().trim().to_owned()
}
