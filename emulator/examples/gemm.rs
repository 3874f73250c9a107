//! Runs one GEMM kernel of a PTX file over a list of shapes and checks every element.
//!
//! `cargo run --example gemm -- FILE.ptx --entry NAME --tile 128x128 --threads 256 [--shared BYTES] ...`

use gpu_emulator::{Counters, Device, Dim3, Entry, Module, Region};

const USAGE: &str = "gemm FILE.ptx --entry NAME --tile BMxBN --threads N [--shared BYTES]
  [--shapes 129x127x65,64x64x64]   shapes as MxNxK
  [--pad 0,1,8]                    elements added to every leading dimension (all of lda, ldb, ldc alike)
  [--offset 0,1]                   elements by which A, B and C start after an aligned address
  [--alpha 1,0.5] [--beta 0,1]
  [--require-align N]              skip cases in which a pointer or leading dimension is no multiple of N elements
  [--random]                       random reals and an error bound instead of small integers and equality
  [--grid N]                       blocks to launch instead of ceil(M/BM)*ceil(N/BN)
  [--no-race] [--no-init] [--no-once]  leave out a check (once: each element of C written by one store)
  [--counters]                     print the counters of every case as JSON
  [--mix]                          print the instruction mix of all cases
  [--list]                         print the entries of the file and stop";

struct Args {
    file: String,
    entry: String,
    tile: (u32, u32),
    threads: u32,
    shared: u32,
    shapes: Vec<(u32, u32, u32)>,
    pads: Vec<u32>,
    offsets: Vec<u32>,
    alphas: Vec<f32>,
    betas: Vec<f32>,
    align: u32,
    random: bool,
    grid: Option<u32>,
    race: bool,
    init: bool,
    once: bool,
    counters: bool,
    mix: bool,
    list: bool,
}

fn list<T: std::str::FromStr>(s: &str) -> Result<Vec<T>, String> {
    s.split(',').map(|x| x.trim().parse().map_err(|_| format!("'{x}' is not a number"))).collect()
}

fn parse() -> Result<Args, String> {
    let mut a = Args {
        file: String::new(),
        entry: String::new(),
        tile: (0, 0),
        threads: 0,
        shared: 0,
        shapes: vec![
            (1, 1, 1),
            (16, 16, 16),
            (64, 64, 64),
            (129, 127, 65),
            (63, 65, 33),
            (128, 128, 64),
            (130, 250, 100),
            (200, 136, 72),
        ],
        pads: vec![0, 1, 8],
        offsets: vec![0, 1],
        alphas: vec![1.0, 0.5],
        betas: vec![0.0, 1.0],
        align: 1,
        random: false,
        grid: None,
        race: true,
        init: true,
        once: true,
        counters: false,
        mix: false,
        list: false,
    };
    let mut it = std::env::args().skip(1);
    while let Some(x) = it.next() {
        let mut val = || it.next().ok_or_else(|| format!("{x} needs a value"));
        match x.as_str() {
            "--entry" => a.entry = val()?,
            "--tile" => {
                let v = val()?;
                let (m, n) = v.split_once('x').ok_or("--tile BMxBN")?;
                a.tile = (m.parse().map_err(|_| "--tile BMxBN")?, n.parse().map_err(|_| "--tile BMxBN")?);
            }
            "--threads" => a.threads = val()?.parse().map_err(|_| "--threads N")?,
            "--shared" => a.shared = val()?.parse().map_err(|_| "--shared BYTES")?,
            "--shapes" => {
                a.shapes = val()?
                    .split(',')
                    .map(|s| {
                        let v: Vec<u32> = s.split('x').filter_map(|d| d.parse().ok()).collect();
                        if v.len() == 3 { Ok((v[0], v[1], v[2])) } else { Err(format!("'{s}' is not MxNxK")) }
                    })
                    .collect::<Result<_, _>>()?;
            }
            "--pad" => a.pads = list(&val()?)?,
            "--offset" => a.offsets = list(&val()?)?,
            "--alpha" => a.alphas = list(&val()?)?,
            "--beta" => a.betas = list(&val()?)?,
            "--require-align" => a.align = val()?.parse().map_err(|_| "--require-align N")?,
            "--grid" => a.grid = Some(val()?.parse().map_err(|_| "--grid N")?),
            "--random" => a.random = true,
            "--no-race" => a.race = false,
            "--no-init" => a.init = false,
            "--no-once" => a.once = false,
            "--counters" => a.counters = true,
            "--mix" => a.mix = true,
            "--list" => a.list = true,
            "--help" | "-h" => return Err(USAGE.into()),
            f if !f.starts_with('-') && a.file.is_empty() => a.file = f.into(),
            f => return Err(format!("'{f}'?\n{USAGE}")),
        }
    }
    if a.file.is_empty() || (!a.list && (a.entry.is_empty() || a.tile.0 == 0 || a.tile.1 == 0 || a.threads == 0)) {
        return Err(USAGE.into());
    }
    Ok(a)
}

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn value(&mut self, random: bool) -> f32 {
        if random { (self.next() % 4097) as f32 / 2048.0 - 1.0 } else { (self.next() % 5) as f32 - 2.0 }
    }
}

fn to_half(x: f32) -> u16 {
    let b = x.to_bits();
    let (sign, a) = ((b >> 16) as u16 & 0x8000, b & 0x7fff_ffff);
    sign | match a {
        0x7f80_0001.. => 0x7e00,
        0x4780_0000.. => 0x7c00,
        0x3880_0000.. => {
            let r = a - 0x3800_0000;
            ((r + 0xfff + (r >> 13 & 1)) >> 13) as u16
        }
        _ => (f32::from_bits(a) + 0.5).to_bits() as u16,
    }
}
fn from_half(h: u16) -> f32 {
    let (e, f) = (i32::from(h >> 10 & 31), f32::from(h & 1023));
    let v = match e {
        0 => f * 2f32.powi(-24),
        31 => {
            if f == 0.0 {
                f32::INFINITY
            } else {
                f32::NAN
            }
        }
        e => (1024.0 + f) * 2f32.powi(e - 25),
    };
    if h & 0x8000 != 0 { -v } else { v }
}

const NAN: u16 = 0x7e00;

struct Matrix {
    bits: Vec<u16>,
    ld: u32,
    off: u32,
    cols: u32,
}
impl Matrix {
    fn new(rows: u32, cols: u32, pad: u32, off: u32, rng: &mut Rng, random: bool) -> Self {
        let ld = cols + pad;
        let len = off as usize + if rows == 0 { 0 } else { (rows as usize - 1) * ld as usize + cols as usize };
        let mut m = Self { bits: vec![NAN; len], ld, off, cols };
        for r in 0..rows {
            for c in 0..cols {
                let i = m.at(r, c);
                m.bits[i] = to_half(rng.value(random));
            }
        }
        m
    }
    fn at(&self, r: u32, c: u32) -> usize {
        self.off as usize + r as usize * self.ld as usize + c as usize
    }
    fn get(&self, r: u32, c: u32) -> f32 {
        from_half(self.bits[self.at(r, c)])
    }
    fn bytes(&self) -> Vec<u8> {
        self.bits.iter().flat_map(|x| x.to_le_bytes()).collect()
    }
    fn inside(&self, i: usize) -> bool {
        i >= self.off as usize && (i - self.off as usize) % (self.ld as usize) < self.cols as usize
    }
}

#[derive(Clone, Copy)]
struct Case {
    m: u32,
    n: u32,
    k: u32,
    pad: u32,
    off: u32,
    alpha: f32,
    beta: f32,
}

fn run(a: &Args, e: &Entry, c: Case) -> Result<(Vec<String>, Counters), Box<dyn std::error::Error>> {
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15 ^ (u64::from(c.m) << 40) ^ (u64::from(c.n) << 20) ^ u64::from(c.k));
    let ma = Matrix::new(c.m, c.k, c.pad, c.off, &mut rng, a.random);
    let mb = Matrix::new(c.k, c.n, c.pad, c.off, &mut rng, a.random);
    let mut mc = Matrix::new(c.m, c.n, c.pad, c.off, &mut rng, a.random);
    let old = Matrix { bits: mc.bits.clone(), ..mc };
    if c.beta == 0.0 {
        mc.bits.fill(NAN);
    }
    let mut dev = Device::new();
    dev.options.check_race = a.race;
    dev.options.check_init = a.init;
    let mut ptr = Vec::new();
    for (m, name) in [(&ma, "A"), (&mb, "B"), (&mc, "C")] {
        let p = dev.memory.alloc(2 * m.bits.len() as u64, name)?;
        dev.memory.write(p, &m.bytes())?;
        ptr.push(p);
    }
    let base = ptr[2];
    if c.beta == 0.0 {
        for r in 0..c.m {
            dev.memory.forget(base + 2 * mc.at(r, 0) as u64, 2 * u64::from(c.n))?;
        }
    }
    if a.once {
        let (row_bytes, rows, pitch) = (2 * u64::from(c.n), u64::from(c.m), 2 * u64::from(mc.ld));
        dev.options.written_once = vec![Region { address: base + 2 * u64::from(c.off), row_bytes, rows, pitch }];
    }
    let mut params = Vec::new();
    for p in &ptr {
        params.extend((p + 2 * u64::from(c.off)).to_le_bytes());
    }
    for m in [&ma, &mb, &mc] {
        params.extend(i64::from(m.ld).to_le_bytes());
    }
    for x in [c.m, c.n, c.k, c.alpha.to_bits(), c.beta.to_bits(), 0] {
        params.extend(x.to_le_bytes());
    }
    let grid = a.grid.unwrap_or(c.m.div_ceil(a.tile.0) * c.n.div_ceil(a.tile.1)).max(1);
    let report = dev.launch(e, Dim3::x(grid), Dim3::x(a.threads), a.shared, &params)?;
    let mut wrong: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let mut bytes = vec![0; 2 * mc.bits.len()];
    dev.memory.read(base, &mut bytes)?;
    let got: Vec<u16> = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    for (i, (g, was)) in got.iter().zip(&mc.bits).enumerate() {
        if !mc.inside(i) && g != was {
            let rel = i as i64 - i64::from(c.off);
            wrong.push(format!(
                "padding of C changed at element {rel} (row {}, column {})",
                rel.div_euclid(i64::from(mc.ld)),
                rel.rem_euclid(i64::from(mc.ld))
            ));
            break;
        }
    }
    let mut bad = 0u64;
    let wide_b: Vec<Vec<f64>> = (0..c.k).map(|k| (0..c.n).map(|col| f64::from(mb.get(k, col))).collect()).collect();
    for r in 0..c.m {
        let (mut sums, mut mags) = (vec![0f64; c.n as usize], vec![0f64; c.n as usize]);
        for (k, row) in wide_b.iter().enumerate() {
            let x = f64::from(ma.get(r, k as u32));
            for ((s, mag), y) in sums.iter_mut().zip(&mut mags).zip(row) {
                *s += x * y;
                *mag += (x * y).abs();
            }
        }
        for col in 0..c.n {
            let (s, mag) = (sums[col as usize], mags[col as usize]);
            let mut want = f64::from(c.alpha) * s;
            if c.beta != 0.0 {
                want += f64::from(c.beta) * f64::from(old.get(r, col));
            }
            let g = got[mc.at(r, col)];
            let ok = if a.random {
                let bound = f64::from(c.alpha).abs() * mag * f64::from(c.k) * 2f64.powi(-23)
                    + want.abs() * 2f64.powi(-10)
                    + 1e-6;
                (f64::from(from_half(g)) - want).abs() <= bound
            } else {
                from_half(g) == from_half(to_half(want as f32))
            };
            if !ok {
                if bad == 0 {
                    wrong.push(format!(
                        "C[{r}][{col}] is {} and should be {}",
                        from_half(g),
                        from_half(to_half(want as f32))
                    ));
                }
                bad += 1;
            }
        }
    }
    if bad > 1 {
        wrong.push(format!("{bad} of {} elements are wrong", u64::from(c.m) * u64::from(c.n)));
    }
    Ok((wrong, report.counters))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let a = match parse() {
        Ok(a) => a,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(2);
        }
    };
    let text = std::fs::read_to_string(&a.file).map_err(|e| format!("{}: {e}", a.file))?;
    let module = Module::load(&text).map_err(|e| format!("{}: {e}", a.file))?;
    if a.list {
        for e in module.entries() {
            println!(
                "{}  {} parameter bytes, {} bytes of static shared memory, {} instructions",
                e.name(),
                e.param_bytes(),
                e.static_shared(),
                e.instructions()
            );
        }
        return Ok(());
    }
    let Some(entry) = module.entry(&a.entry) else {
        let names: Vec<&str> = module.entries().iter().map(Entry::name).collect();
        return Err(format!("no entry '{}'; there are: {}", a.entry, names.join(", ")).into());
    };
    let (mut cases, mut failed, mut skipped) = (0, 0, 0);
    let mut sum = Counters::default();
    let start = std::time::Instant::now();
    for &(m, n, k) in &a.shapes {
        for &pad in &a.pads {
            for &off in &a.offsets {
                for &alpha in &a.alphas {
                    for &beta in &a.betas {
                        let c = Case { m, n, k, pad, off, alpha, beta };
                        if [k + pad, n + pad, off].iter().any(|x| x % a.align != 0) {
                            skipped += 1;
                            continue;
                        }
                        cases += 1;
                        let (wrong, counters) = run(&a, entry, c)?;
                        sum.add(&counters);
                        let name = format!("{m}x{n}x{k} pad {pad} offset {off} alpha {alpha} beta {beta}");
                        if !wrong.is_empty() {
                            failed += 1;
                            println!("FAIL {name}");
                            for w in wrong {
                                println!("     {w}");
                            }
                        }
                        if a.counters {
                            println!("{name}: {}", counters.to_json());
                        }
                    }
                }
            }
        }
    }
    if a.mix {
        for (op, n) in &sum.mix {
            println!("{n:>12} {op}");
        }
    }
    println!(
        "{cases} cases, {failed} failed, {skipped} skipped, {:.2} s, {} warp instructions",
        start.elapsed().as_secs_f64(),
        sum.warp_instructions
    );
    if failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}
