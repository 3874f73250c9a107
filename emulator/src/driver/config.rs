//! What environment variables set.

use crate::{Numerics, Options};

/// Settings read once, when the library is first used.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub cc: (i32, i32),
    pub sms: u32,
    pub memory: u64,
    pub l2: i32,
    pub driver_version: i32,
    pub no_device: bool,
    pub stub: bool,
    pub oom: Option<u64>,
    pub illegal: Option<u64>,
    pub lost: Option<u64>,
    /// The launch that never ends, and after how many milliseconds a wait for it gives up.
    pub hang: Option<(u64, Option<u64>)>,
    pub jitter: Option<u64>,
    /// Milliseconds that every launch takes longer.
    pub slow: Option<u64>,
    pub strict: bool,
    pub quiet: bool,
    pub copies_early: bool,
    checks: Option<String>,
    threads: usize,
    max_instructions: Option<u64>,
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let v = std::env::var(name).ok()?;
    match v.trim().parse() {
        Ok(x) => Some(x),
        Err(_) => {
            eprintln!("gpu-emulator: {name}={v} is not a number, ignored");
            None
        }
    }
}
fn flag(name: &str) -> bool {
    std::env::var(name).is_ok_and(|v| !v.is_empty() && v != "0")
}

impl Config {
    pub fn from_env() -> Self {
        let cc = match std::env::var("GPU_EMULATOR_CC").ok().as_deref() {
            None | Some("" | "9.0") => (9, 0),
            Some("8.0") => (8, 0),
            Some(v) => {
                eprintln!("gpu-emulator: GPU_EMULATOR_CC={v} is neither 9.0 nor 8.0, ignored");
                (9, 0)
            }
        };
        let mut c = Self {
            cc,
            sms: number("GPU_EMULATOR_SMS").unwrap_or(4).clamp(1, 1024),
            memory: number("GPU_EMULATOR_MEMORY").unwrap_or(4 << 30),
            l2: number("GPU_EMULATOR_L2").unwrap_or(1 << 20),
            driver_version: number("GPU_EMULATOR_DRIVER_VERSION").unwrap_or(13000),
            no_device: false,
            stub: false,
            oom: None,
            illegal: None,
            lost: None,
            hang: None,
            jitter: None,
            slow: None,
            strict: flag("GPU_EMULATOR_STRICT"),
            quiet: flag("GPU_EMULATOR_QUIET"),
            copies_early: flag("GPU_EMULATOR_COPIES_EARLY"),
            checks: std::env::var("GPU_EMULATOR_CHECKS").ok(),
            threads: number("GPU_EMULATOR_THREADS").unwrap_or(1),
            max_instructions: number("GPU_EMULATOR_MAX_INSTRUCTIONS"),
        };
        for f in
            std::env::var("GPU_EMULATOR_FAULT").unwrap_or_default().split(',').map(str::trim).filter(|f| !f.is_empty())
        {
            let mut p = f.split(':');
            let what = p.next().unwrap_or("");
            let n: Option<u64> = p.next().and_then(|x| x.parse().ok());
            let ms: Option<u64> = p.next().and_then(|x| x.parse().ok());
            match (what, n) {
                ("no-device", None) => c.no_device = true,
                ("stub", None) => c.stub = true,
                ("oom", Some(n)) => c.oom = Some(n),
                ("illegal-address", Some(n)) => c.illegal = Some(n),
                ("hang", Some(n)) => c.hang = Some((n, ms)),
                ("lost", Some(n)) => c.lost = Some(n),
                ("jitter", Some(n)) => c.jitter = Some(n),
                // More than an hour is a mistake, and the clock would not hold it.
                ("slow", Some(n)) => c.slow = Some(n.min(3_600_000)),
                _ => eprintln!("gpu-emulator: GPU_EMULATOR_FAULT has '{f}', which is no fault, ignored"),
            }
        }
        c
    }
    /// Shared memory that a block can ask for, in bytes.
    pub fn shared_optin(&self) -> u32 {
        if self.cc.0 >= 9 { 227 << 10 } else { 163 << 10 }
    }
    /// Shared memory of a multiprocessor.
    pub fn shared_sm(&self) -> u32 {
        if self.cc.0 >= 9 { 228 << 10 } else { 164 << 10 }
    }
    pub fn options(&self) -> Options {
        let mut o = Options { threads: self.threads, sms: self.sms, ..Options::default() };
        if let Some(m) = self.max_instructions {
            o.max_instructions = m;
        }
        o.sm = (self.cc.0 * 10 + self.cc.1) as u32;
        o.numerics = match std::env::var("GPU_EMULATOR_NUMERICS").as_deref() {
            Ok("exact") => Numerics::Exact,
            Ok("truncating") => Numerics::Truncating,
            Ok("sequential" | "") | Err(_) => Numerics::Sequential,
            Ok(v) => {
                eprintln!("gpu-emulator: GPU_EMULATOR_NUMERICS={v} is not exact, sequential or truncating, ignored");
                Numerics::Sequential
            }
        };
        o.shuffle = number("GPU_EMULATOR_SHUFFLE").unwrap_or(0);
        o.copies_land_early = self.copies_early;
        if let Ok(a) = std::env::var("GPU_EMULATOR_ALLOW_RACE") {
            o.allow_race = a.split(',').map(|x| x.trim().to_owned()).filter(|x| !x.is_empty()).collect();
        }
        if let Some(c) = &self.checks {
            let has = |x: &str| c.split(',').any(|y| y.trim() == x || y.trim() == "all");
            (o.check_init, o.check_race) = (has("init"), has("race"));
        }
        o
    }
}
