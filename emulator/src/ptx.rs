//! From PTX text to a list of variables and functions whose bodies are still tokens.
//!
//! The grammar is statement based: every statement ends with `;`, a label with `:`, a block with `}`; only `.loc` and `.file` end
//! with their line. Names are resolved later, in [`crate::decode`], because inline assembly opens scopes of its own.

use std::collections::HashSet;

use crate::error::LoadError;

/// A lexical unit of PTX.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tok<'a> {
    /// A name, a directive or an opcode with its modifiers: `%r1`, `.reg`, `ld.global.u32`.
    Word(&'a str),
    /// An integer.
    Int(u64),
    /// Bits of a single-precision literal.
    F32(u32),
    /// Bits of a double-precision literal.
    F64(u64),
    /// A string between double quotes, without them.
    Str(&'a str),
    /// Any other single character.
    P(u8),
    /// A source location, from a `.loc` line.
    Loc(Loc),
}

/// A position in the kernel's own source, as nvcc's `-lineinfo` gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Loc {
    pub file: u32,
    pub line: u32,
    /// File and line of the call that was inlined, or zeros.
    pub at_file: u32,
    pub at_line: u32,
}

/// A token and the line of the PTX text that it stands on.
#[derive(Clone, Debug)]
pub(crate) struct Token<'a> {
    pub tok: Tok<'a>,
    pub line: u32,
}

fn err<T>(line: u32, what: impl Into<String>) -> Result<T, LoadError> {
    Err(LoadError::new(line, what))
}

fn word_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || matches!(c, b'_' | b'$' | b'%' | b'.')
}

fn word_char(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$')
}

/// Splits PTX text into tokens; comments vanish.
pub(crate) fn lex(text: &str) -> Result<Vec<Token<'_>>, LoadError> {
    let b = text.as_bytes();
    let mut out = Vec::with_capacity(b.len() / 4);
    let (mut i, mut line) = (0usize, 1u32);
    while i < b.len() {
        let c = b[i];
        if c == b'\n' {
            line += 1;
            i += 1;
        } else if c.is_ascii_whitespace() || c == 0 {
            i += 1;
        } else if b[i..].starts_with(b"//") {
            while i < b.len() && b[i] != b'\n' {
                i += 1;
            }
        } else if b[i..].starts_with(b"/*") {
            i += 2;
            while i < b.len() && !b[i..].starts_with(b"*/") {
                if b[i] == b'\n' {
                    line += 1;
                }
                i += 1;
            }
            i = (i + 2).min(b.len());
        } else if c == b'"' {
            let s = i + 1;
            let mut e = s;
            while e < b.len() && b[e] != b'"' && b[e] != b'\n' {
                e += 1;
            }
            if e >= b.len() || b[e] != b'"' {
                return err(line, "a string without an end");
            }
            let Some(t) = text.get(s..e) else {
                return err(line, "a string that is not UTF-8");
            };
            out.push(Token { tok: Tok::Str(t), line });
            i = e + 1;
        } else if word_start(c) {
            let s = i;
            i += 1;
            loop {
                if i < b.len() && word_char(b[i]) {
                    i += 1;
                } else if i + 1 < b.len() && b[i] == b'.' && word_char(b[i + 1]) {
                    i += 2;
                } else if i + 2 < b.len() && b[i] == b':' && b[i + 1] == b':' && word_char(b[i + 2]) {
                    i += 3;
                } else {
                    break;
                }
            }
            let w = &text[s..i];
            if w == ".loc" {
                let s = i;
                while i < b.len() && b[i] != b'\n' {
                    i += 1;
                }
                let Some(rest) = text.get(s..i) else {
                    return err(line, "a location that is not UTF-8");
                };
                out.push(Token { tok: Tok::Loc(lex_loc(rest)), line });
            } else {
                out.push(Token { tok: Tok::Word(w), line });
            }
        } else if c.is_ascii_digit() {
            let (tok, n) = lex_number(&b[i..], line)?;
            out.push(Token { tok, line });
            i += n;
        } else if c.is_ascii() {
            out.push(Token { tok: Tok::P(c), line });
            i += 1;
        } else {
            return err(line, "a character outside ASCII");
        }
    }
    Ok(out)
}

fn lex_loc(rest: &str) -> Loc {
    let mut main = rest.split(',');
    let first: Vec<u32> = main.next().unwrap_or("").split_whitespace().filter_map(|x| x.parse().ok()).collect();
    let mut loc = Loc { file: *first.first().unwrap_or(&0), line: *first.get(1).unwrap_or(&0), ..Loc::default() };
    for part in main {
        if let Some(at) = part.trim().strip_prefix("inlined_at") {
            let v: Vec<u32> = at.split_whitespace().filter_map(|x| x.parse().ok()).collect();
            loc.at_file = *v.first().unwrap_or(&0);
            loc.at_line = *v.get(1).unwrap_or(&0);
        }
    }
    loc
}

fn lex_number(b: &[u8], line: u32) -> Result<(Tok<'static>, usize), LoadError> {
    let run = |from: usize, ok: fn(&u8) -> bool| from + b[from..].iter().take_while(|c| ok(c)).count();
    let digits = |s: &[u8], radix: u32| std::str::from_utf8(s).ok().and_then(|s| u64::from_str_radix(s, radix).ok());
    let bad = || LoadError::new(line, "a number that cannot be read");
    let second = b.get(1).copied().unwrap_or(0).to_ascii_lowercase();
    if b[0] == b'0' && second == b'f' && b.len() >= 10 && b[2..10].iter().all(u8::is_ascii_hexdigit) {
        return Ok((Tok::F32(digits(&b[2..10], 16).ok_or_else(bad)? as u32), 10));
    }
    if b[0] == b'0' && second == b'd' && b.len() >= 18 && b[2..18].iter().all(u8::is_ascii_hexdigit) {
        return Ok((Tok::F64(digits(&b[2..18], 16).ok_or_else(bad)?), 18));
    }
    let (from, to, radix) = if b[0] == b'0' && second == b'x' {
        (2, run(2, u8::is_ascii_hexdigit), 16)
    } else if b[0] == b'0' && second == b'b' {
        (2, run(2, u8::is_ascii_digit), 2)
    } else {
        (0, run(0, u8::is_ascii_digit), 10)
    };
    if radix == 10 && (b.get(to) == Some(&b'.') || matches!(b.get(to), Some(b'e' | b'E'))) {
        let end = run(to, |c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-'));
        let s = std::str::from_utf8(&b[..end]).map_err(|_| bad())?;
        let v: f64 = s.parse().map_err(|_| bad())?;
        return Ok((Tok::F64(v.to_bits()), end));
    }
    let radix = if radix == 10 && to > 1 && b[0] == b'0' { 8 } else { radix };
    let v = digits(&b[from..to], radix).ok_or_else(bad)?;
    let end = if matches!(b.get(to), Some(b'U' | b'u')) { to + 1 } else { to };
    if b.get(end).is_some_and(|c| word_char(*c)) {
        return Err(bad());
    }
    Ok((Tok::Int(v), end))
}

/// A state space in which a variable can be declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VarSpace {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// A declared variable.
#[derive(Clone, Debug)]
pub(crate) struct Var {
    pub name: String,
    pub space: VarSpace,
    pub align: u32,
    /// Bytes; zero for an array without a size (dynamic shared memory).
    pub size: u64,
    pub init: Vec<u8>,
    /// Addresses in the initial value.
    pub links: Vec<Link>,
    /// The type of a register parameter, with its dot; none for memory.
    pub reg: Option<String>,
    /// An extern declaration of an unsized array: its storage is given at launch.
    pub dynamic: bool,
}

/// An address, or a part of one, in the initial value of a variable.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The first of the bytes that it takes up, and how many they are.
    pub at: usize,
    pub bytes: usize,
    pub symbol: String,
    pub offset: i64,
    /// The bits that are wanted; the lowest of them becomes the lowest of the value.
    pub mask: u64,
}

impl Link {
    /// What stands in the variable where the symbol has an address.
    pub fn value(&self, address: u64) -> u64 {
        (address.wrapping_add(self.offset as u64) & self.mask) >> self.mask.trailing_zeros().min(63)
    }
}

/// A kernel or a device function, its body as a range of tokens.
#[derive(Clone, Debug)]
pub(crate) struct Func {
    pub name: String,
    pub entry: bool,
    pub params: Vec<Var>,
    pub rets: Vec<Var>,
    /// Tokens between the braces; empty for a declaration.
    pub body: std::ops::Range<usize>,
    pub has_body: bool,
    pub max_threads: Option<u32>,
    /// The block that every launch must have.
    pub block: Option<[u32; 3]>,
    /// Registers of a thread at most, and blocks of a multiprocessor at least.
    pub max_registers: Option<u32>,
    pub min_blocks: Option<u32>,
    pub cluster: Option<[u32; 3]>,
    pub explicit_cluster: bool,
    /// The grid of a launch counts clusters and not blocks.
    pub blocks_are_clusters: bool,
    pub max_cluster: Option<u32>,
    pub line: u32,
}

/// The outline of a PTX file.
pub(crate) struct Outline<'a> {
    pub toks: Vec<Token<'a>>,
    pub vars: Vec<Var>,
    pub funcs: Vec<Func>,
    pub files: Vec<(u32, String)>,
    pub target: String,
    /// Functions whose address is taken somewhere.
    pub addressed: HashSet<String>,
}

/// A cursor over tokens, with the few tests that the grammar needs.
pub(crate) struct Cur<'t, 'a> {
    pub toks: &'t [Token<'a>],
    pub at: usize,
}

impl<'t, 'a> Cur<'t, 'a> {
    pub fn line(&self) -> u32 {
        self.toks.get(self.at).or_else(|| self.toks.last()).map_or(0, |t| t.line)
    }
    pub fn peek(&self) -> Option<&'t Tok<'a>> {
        self.toks.get(self.at).map(|t| &t.tok)
    }
    pub fn next(&mut self) -> Option<&'t Tok<'a>> {
        let t = self.peek();
        self.at += 1;
        t
    }
    pub fn is(&self, c: u8) -> bool {
        self.peek() == Some(&Tok::P(c))
    }
    pub fn eat(&mut self, c: u8) -> bool {
        let yes = self.is(c);
        self.at += usize::from(yes);
        yes
    }
    pub fn expect(&mut self, c: u8) -> Result<(), LoadError> {
        if self.eat(c) { Ok(()) } else { err(self.line(), format!("'{}' expected, {} found", c as char, self.found())) }
    }
    pub fn found(&self) -> String {
        match self.peek() {
            None => "the end".into(),
            Some(Tok::Word(w)) => format!("'{w}'"),
            Some(Tok::P(c)) => format!("'{}'", *c as char),
            Some(Tok::Int(v)) => format!("{v}"),
            Some(t) => format!("{t:?}"),
        }
    }
    pub fn word(&mut self) -> Result<&'a str, LoadError> {
        match self.peek() {
            Some(Tok::Word(w)) => {
                self.at += 1;
                Ok(w)
            }
            _ => err(self.line(), format!("a name expected, {} found", self.found())),
        }
    }
    pub fn eat_word(&mut self, w: &str) -> bool {
        let yes = matches!(self.peek(), Some(Tok::Word(x)) if *x == w);
        self.at += usize::from(yes);
        yes
    }
    pub fn int(&mut self) -> Result<i128, LoadError> {
        let neg = self.eat(b'-');
        match self.peek() {
            Some(Tok::Int(v)) => {
                self.at += 1;
                Ok(if neg { -i128::from(*v) } else { i128::from(*v) })
            }
            _ => err(self.line(), format!("an integer expected, {} found", self.found())),
        }
    }
    /// Goes past the bracket that closes the one just passed.
    pub fn skip_block(&mut self) -> Result<usize, LoadError> {
        let mut depth = 1;
        while let Some(t) = self.next() {
            match t {
                Tok::P(b'{') => depth += 1,
                Tok::P(b'}') => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(self.at - 1);
                    }
                }
                _ => {}
            }
        }
        err(self.line(), "a '{' that is never closed")
    }
}

/// Bytes of a fundamental type named with its dot, such as `.f32`.
pub(crate) fn type_size(t: &str) -> Option<u64> {
    Some(match t {
        ".b8" | ".u8" | ".s8" => 1,
        ".b16" | ".u16" | ".s16" | ".f16" | ".bf16" => 2,
        ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" | ".bf16x2" => 4,
        ".b64" | ".u64" | ".s64" | ".f64" => 8,
        ".pred" => 1,
        ".b128" => 16,
        _ => return None,
    })
}

/// Reads `symbol`, `symbol+4` or `generic(symbol)-8`: the name and what is added to its address.
fn parse_address(c: &mut Cur<'_, '_>) -> Result<(String, i64), LoadError> {
    let w = c.word()?;
    let wrapped = w == "generic" && c.eat(b'(');
    let symbol = if wrapped { c.word()? } else { w };
    if wrapped {
        c.expect(b')')?;
    }
    let offset = if c.eat(b'+') || c.is(b'-') { c.int()? as i64 } else { 0 };
    Ok((symbol.to_owned(), offset))
}

/// Reads what follows a state space in a declaration, up to but not past the `;`, `,` or `)`.
pub(crate) fn parse_var(c: &mut Cur<'_, '_>, space: VarSpace, is_extern: bool) -> Result<Var, LoadError> {
    let line = c.line();
    let (mut align, mut elem, mut vec, mut name_of_type) = (0u32, None, 1u64, "");
    loop {
        let w = match c.peek() {
            Some(Tok::Word(w)) if w.starts_with('.') => *w,
            _ => break,
        };
        c.at += 1;
        match w {
            ".align" => {
                let a = c.int()?;
                if !(1..=1024).contains(&a) || a & (a - 1) != 0 {
                    return err(line, format!("an alignment of {a}"));
                }
                align = a as u32;
            }
            ".v2" => vec = 2,
            ".v4" => vec = 4,
            ".ptr" => {
                while c.eat_word(".global") || c.eat_word(".shared") || c.eat_word(".const") || c.eat_word(".local") {}
                if c.eat_word(".align") {
                    c.int()?;
                }
            }
            ".attribute" => {
                c.expect(b'(')?;
                while !c.eat(b')') {
                    if c.next().is_none() {
                        return err(line, "an attribute list without an end");
                    }
                }
            }
            ".noinit" => {}
            _ => match type_size(w) {
                Some(s) => {
                    elem = Some(s);
                    name_of_type = w;
                }
                None => return err(line, format!("'{w}' in a declaration")),
            },
        }
    }
    let Some(elem) = elem else {
        return err(line, "a declaration without a type");
    };
    let name = c.word()?.to_owned();
    let mut count: u64 = vec;
    let mut dynamic = false;
    while c.eat(b'[') {
        if c.eat(b']') {
            dynamic = true;
            count = 0;
        } else {
            let n = c.int()?;
            count = u64::try_from(n)
                .ok()
                .and_then(|n| count.checked_mul(n))
                .filter(|n| *n <= 1 << 32)
                .ok_or_else(|| LoadError::new(line, "an array too large"))?;
            c.expect(b']')?;
        }
    }
    let mut init = Vec::new();
    let mut links = Vec::new();
    if c.eat(b'=') {
        // Inner braces of arrays of arrays say nothing where all is given.
        let mut depth = 0;
        while c.eat(b'{') {
            depth += 1;
        }
        let braces = depth > 0;
        loop {
            let n = elem.min(16) as usize;
            let v: u64 = match c.peek() {
                Some(Tok::F32(v)) => {
                    c.at += 1;
                    u64::from(*v)
                }
                Some(Tok::F64(v)) => {
                    c.at += 1;
                    if name_of_type == ".f32" { u64::from((f64::from_bits(*v) as f32).to_bits()) } else { *v }
                }
                Some(Tok::Word(_)) => {
                    let (symbol, offset) = parse_address(c)?;
                    links.push(Link { at: init.len(), bytes: n.min(8), symbol, offset, mask: u64::MAX });
                    0
                }
                // A byte of an address, of which the mask tells the place.
                Some(Tok::Int(mask)) if matches!(c.toks.get(c.at + 1).map(|t| &t.tok), Some(Tok::P(b'('))) => {
                    c.at += 2;
                    let (symbol, offset) = parse_address(c)?;
                    c.expect(b')')?;
                    links.push(Link { at: init.len(), bytes: n.min(8), symbol, offset, mask: *mask });
                    0
                }
                _ => {
                    let negative = c.eat(b'-');
                    match c.peek() {
                        Some(Tok::F64(v)) => {
                            c.at += 1;
                            let v = f64::from_bits(*v) * if negative { -1.0 } else { 1.0 };
                            if name_of_type == ".f32" { u64::from((v as f32).to_bits()) } else { v.to_bits() }
                        }
                        Some(Tok::Int(v)) => {
                            c.at += 1;
                            let v = if negative { v.wrapping_neg() } else { *v };
                            match name_of_type {
                                ".f32" => u64::from((v as i64 as f32).to_bits()),
                                ".f64" => (v as i64 as f64).to_bits(),
                                _ => v,
                            }
                        }
                        _ => c.int()? as u64,
                    }
                }
            };
            init.extend((0..n).map(|i| if i < 8 { (v >> (8 * i)) as u8 } else { 0 }));
            while depth > 1 && c.is(b'}') {
                c.at += 1;
                depth -= 1;
            }
            if !braces || !c.eat(b',') {
                break;
            }
            while c.eat(b'{') {
                depth += 1;
            }
        }
        if braces {
            c.expect(b'}')?;
        }
        if dynamic {
            count = init.len() as u64 / elem;
            dynamic = false;
        }
    }
    let size = count * elem;
    if init.len() as u64 > size {
        return err(line, format!("more initial values than '{name}' has room for"));
    }
    if dynamic && !is_extern {
        return err(line, format!("'{name}' has no size"));
    }
    let align = if align == 0 { (elem * vec).min(16) as u32 } else { align };
    Ok(Var { name, space, align, size, init, links, reg: None, dynamic })
}

/// One to three extents; what is not given is one.
fn parse_extents(c: &mut Cur<'_, '_>) -> Result<[u32; 3], LoadError> {
    let mut n = [1u32; 3];
    for (i, x) in n.iter_mut().enumerate() {
        if i > 0 && !c.eat(b',') {
            break;
        }
        let line = c.line();
        *x = u32::try_from(c.int()?).map_err(|_| LoadError::new(line, "an extent that is negative or too large"))?;
    }
    Ok(n)
}

fn parse_params(c: &mut Cur<'_, '_>) -> Result<Vec<Var>, LoadError> {
    let mut v = Vec::new();
    if !c.eat(b'(') {
        return Ok(v);
    }
    while !c.eat(b')') {
        if c.eat_word(".reg") {
            let t = match c.peek() {
                Some(Tok::Word(t)) => (*t).to_owned(),
                _ => return err(c.line(), "a register without a type"),
            };
            v.push(Var { reg: Some(t), ..parse_var(c, VarSpace::Param, false)? });
        } else if c.eat_word(".param") {
            v.push(parse_var(c, VarSpace::Param, false)?);
        } else {
            return err(c.line(), format!("'.param' expected, {} found", c.found()));
        }
        if !c.eat(b',') && !c.is(b')') {
            return err(c.line(), format!("',' expected, {} found", c.found()));
        }
    }
    Ok(v)
}

/// Parses the top level of a PTX file.
pub(crate) fn outline(text: &str) -> Result<Outline<'_>, LoadError> {
    let toks = lex(text)?;
    let (mut vars, mut funcs, mut files) = (Vec::new(), Vec::<Func>::new(), Vec::new());
    let mut aliases = Vec::new();
    let mut target = String::new();
    let mut c = Cur { toks: &toks, at: 0 };
    let (mut is_extern, mut version) = (false, false);
    while let Some(t) = c.peek() {
        let line = c.line();
        let w = match t {
            Tok::Word(w) => *w,
            Tok::Loc(_) | Tok::P(b';') => {
                c.at += 1;
                continue;
            }
            _ => return err(line, format!("{} at the top level", c.found())),
        };
        c.at += 1;
        match w {
            ".version" => {
                version = true;
                c.next();
            }
            ".target" => {
                target = c.word()?.to_owned();
                while c.eat(b',') {
                    c.word()?;
                }
            }
            ".address_size" => {
                if c.int()? != 64 {
                    return err(line, "addresses of other than 64 bits");
                }
            }
            ".file" => {
                let n = c.int()?;
                match c.next() {
                    Some(Tok::Str(s)) => files.push((n as u32, (*s).to_owned())),
                    _ => return err(line, "a file without a name"),
                }
                while c.eat(b',') {
                    c.int()?;
                }
            }
            ".section" => {
                c.word()?;
                c.expect(b'{')?;
                c.skip_block()?;
            }
            ".extern" => is_extern = true,
            ".visible" | ".weak" | ".common" => {}
            ".pragma" => {
                while !c.eat(b';') {
                    if c.next().is_none() {
                        return err(line, "a pragma without an end");
                    }
                }
            }
            ".alias" => {
                let name = c.word()?.to_owned();
                c.expect(b',')?;
                aliases.push((line, name, c.word()?.to_owned()));
                c.expect(b';')?;
            }
            ".global" | ".const" | ".shared" => {
                let space = match w {
                    ".global" => VarSpace::Global,
                    ".const" => VarSpace::Const,
                    _ => VarSpace::Shared,
                };
                loop {
                    let v = parse_var(&mut c, space, is_extern)?;
                    vars.push(v);
                    if !c.eat(b',') {
                        break;
                    }
                }
                c.expect(b';')?;
                is_extern = false;
            }
            ".entry" | ".func" => {
                let entry = w == ".entry";
                let mut noreturn_rets = Vec::new();
                if !entry {
                    while c.eat_word(".attribute") {
                        c.expect(b'(')?;
                        while !c.eat(b')') {
                            if c.next().is_none() {
                                return err(line, "an attribute list without an end");
                            }
                        }
                    }
                    noreturn_rets = parse_params(&mut c)?;
                }
                let name = c.word()?.to_owned();
                let params = parse_params(&mut c)?;
                let mut f = Func {
                    name,
                    entry,
                    params,
                    rets: noreturn_rets,
                    body: 0..0,
                    has_body: false,
                    max_threads: None,
                    block: None,
                    max_registers: None,
                    min_blocks: None,
                    cluster: None,
                    explicit_cluster: false,
                    blocks_are_clusters: false,
                    max_cluster: None,
                    line,
                };
                loop {
                    match c.peek() {
                        Some(Tok::P(b';')) => {
                            c.at += 1;
                            break;
                        }
                        Some(Tok::P(b'{')) => {
                            c.at += 1;
                            let s = c.at;
                            let e = c.skip_block()?;
                            f.body = s..e;
                            f.has_body = true;
                            break;
                        }
                        Some(Tok::Word(d)) => {
                            c.at += 1;
                            match *d {
                                ".maxntid" | ".reqntid" => {
                                    let n = parse_extents(&mut c)?;
                                    f.max_threads = Some(n.iter().fold(1, |n: u32, x| n.saturating_mul(*x)));
                                    if *d == ".reqntid" {
                                        f.block = Some(n);
                                    }
                                }
                                ".maxnreg" => f.max_registers = u32::try_from(c.int()?).ok(),
                                ".minnctapersm" => f.min_blocks = u32::try_from(c.int()?).ok(),
                                ".maxnctapersm" => {
                                    c.int()?;
                                }
                                ".maxclusterrank" => f.max_cluster = u32::try_from(c.int()?).ok(),
                                ".reqnctapercluster" => f.cluster = Some(parse_extents(&mut c)?),
                                ".explicitcluster" => f.explicit_cluster = true,
                                ".blocksareclusters" => f.blocks_are_clusters = true,
                                ".noreturn" => {}
                                ".pragma" => {
                                    c.next();
                                    c.expect(b';')?;
                                }
                                d => return err(c.line(), format!("directive '{d}'")),
                            }
                        }
                        Some(Tok::Loc(_)) => c.at += 1,
                        _ => {
                            return err(c.line(), format!("{} after the head of a function", c.found()));
                        }
                    }
                }
                is_extern = false;
                if f.has_body && funcs.iter().any(|g| g.has_body && g.name == f.name) {
                    return err(line, format!("'{}' is defined twice", f.name));
                }
                if f.has_body {
                    funcs.retain(|g| g.name != f.name);
                }
                if f.has_body || !funcs.iter().any(|g| g.name == f.name) {
                    funcs.push(f);
                }
            }
            _ => return err(line, format!("'{w}' at the top level")),
        }
    }
    if !version {
        return err(1, "no .version: this is not PTX");
    }
    for (line, name, of) in aliases {
        let Some(f) = funcs.iter().find(|f| f.name == of && f.has_body && !f.entry) else {
            return err(line, format!("'{name}' is an alias of '{of}', which is no function with a body"));
        };
        let f = Func { name: name.clone(), ..f.clone() };
        funcs.retain(|g| g.name != name);
        funcs.push(f);
    }
    let mut addressed: HashSet<String> = vars.iter().flat_map(|v| v.links.iter().map(|l| l.symbol.clone())).collect();
    let mut moves = false;
    for t in &toks {
        match &t.tok {
            Tok::Word(w) if w.starts_with("mov.") => moves = true,
            Tok::P(b';') => moves = false,
            Tok::Word(w) if moves && !w.starts_with('%') => _ = addressed.insert((*w).to_owned()),
            _ => {}
        }
    }
    Ok(Outline { toks, vars, funcs, files, target, addressed })
}
