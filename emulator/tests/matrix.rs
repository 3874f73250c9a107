//! Matrix instructions of every type: fragments by the ISA's tables, written down again here, and what rounding does to sums.

use gpu_emulator::{Device, Dim3, Module, Numerics, Options};
use half::{bf16, f16};
use proptest::prelude::*;

/// Runs one `mma.sync` on registers that `word` gives by operand, lane and register; gives the four result registers of each lane.
fn mma(
    target: &str,
    shape: &str,
    regs: [usize; 4],
    options: Options,
    word: impl Fn(char, usize, usize) -> u32,
) -> Vec<[u32; 4]> {
    let [na, nb, nc, nd] = regs;
    let list = |first: usize, n: usize| (0..n).map(|i| format!("%r{}", first + i)).collect::<Vec<_>>().join(", ");
    let ptx = format!(
        ".version 8.4\n.target {target}\n.address_size 64\n.visible .entry k(.param .u64 pin, .param .u64 pout)
{{
    .reg .b32 %r<40>; .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [pin]; ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x;
    mul.wide.u32 %rd3, %r0, 48; add.s64 %rd4, %rd1, %rd3; mul.wide.u32 %rd5, %r0, 16; add.s64 %rd6, %rd2, %rd5;
    ld.global.v4.u32 {{%r1, %r2, %r3, %r4}}, [%rd4]; ld.global.v4.u32 {{%r5, %r6, %r7, %r8}}, [%rd4+16];
    ld.global.v4.u32 {{%r9, %r10, %r11, %r12}}, [%rd4+32];
    mov.u32 %r20, 0; mov.u32 %r21, 0; mov.u32 %r22, 0; mov.u32 %r23, 0;
    mma.sync.aligned.{shape} {{{}}}, {{{}}}, {{{}}}, {{{}}};
    st.global.v4.u32 [%rd6], {{%r20, %r21, %r22, %r23}};
    ret;
}}",
        list(20, nd),
        list(1, na),
        list(5, nb),
        list(9, nc)
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    d.options = options;
    let (a, b) = (d.memory.alloc(48 * 32, "in").unwrap(), d.memory.alloc(512, "out").unwrap());
    let bytes: Vec<u8> = (0..32)
        .flat_map(|l| {
            let one = |op: char, n: usize, of: usize| {
                (0..of).map(|i| if i < n { word(op, l, i) } else { 0 }).collect::<Vec<_>>()
            };
            [one('a', na, 4), one('b', nb, 4), one('c', nc, 4)].concat()
        })
        .flat_map(u32::to_le_bytes)
        .collect();
    d.memory.write(a, &bytes).unwrap();
    let params: Vec<u8> = [a, b].iter().flat_map(|x| x.to_le_bytes()).collect();
    let r = d.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(32), 0, &params).unwrap();
    assert!(r.clean(), "{:?}", r.findings);
    let mut out = vec![0; 512];
    d.memory.read(b, &mut out).unwrap();
    let w: Vec<u32> = out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    w.chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect()
}

/// Row and column of element `i` of A in a lane, and row of element `i` of B, whose column is `lane / 4`.
type Table = (fn(usize, usize) -> (usize, usize), fn(usize, usize) -> usize);

/// Shape, types of A and B, depth, bits of an element, where elements are, and registers of A, B, C and D.
type Case = (&'static str, &'static str, &'static str, usize, u32, Table, [usize; 4]);

const K16_BYTES: Table = (|l, i| (l / 4 + if i < 4 { 0 } else { 8 }, l % 4 * 4 + i % 4), |l, i| l % 4 * 4 + i % 4);
const K32_BYTES: Table = (
    |l, i| {
        let low = (0..4).contains(&i) || (8..12).contains(&i);
        (l / 4 + if low { 0 } else { 8 }, l % 4 * 4 + i % 4 + if i < 8 { 0 } else { 16 })
    },
    |l, i| l % 4 * 4 + i % 4 + if i < 4 { 0 } else { 16 },
);
const K8_HALVES: Table = (|l, i| (l / 4 + if i < 2 { 0 } else { 8 }, l % 4 * 2 + i % 2), |l, i| l % 4 * 2 + i);
const K16_HALVES: Table = (
    |l, i| (l / 4 + if matches!(i, 0 | 1 | 4 | 5) { 0 } else { 8 }, l % 4 * 2 + i % 2 + if i < 4 { 0 } else { 8 }),
    |l, i| l % 4 * 2 + i % 2 + if i < 2 { 0 } else { 8 },
);
const K4_WORDS: Table = (|l, i| (l / 4 + 8 * i, l % 4), |l, _| l % 4);
const K8_WORDS: Table =
    (|l, i| (l / 4 + if i % 2 == 0 { 0 } else { 8 }, l % 4 + if i < 2 { 0 } else { 4 }), |l, i| l % 4 + 4 * i);

fn c_at(l: usize, i: usize) -> (usize, usize) {
    (l / 4 + if i < 2 { 0 } else { 8 }, 2 * (l % 4) + i % 2)
}

/// Packs the elements of a register, the first lowest.
fn pack(bits: u32, q: usize, element: impl Fn(usize) -> u32) -> u32 {
    let per = (32 / bits) as usize;
    (0..per).fold(0, |w, e| w | (element(q * per + e) & (u32::MAX >> (32 - bits))) << (bits * e as u32))
}

fn a_of(r: usize, k: usize) -> i32 {
    ((r * 7 + k * 3) % 9) as i32 - 4
}
fn b_of(k: usize, n: usize) -> i32 {
    ((k * 5 + n * 11) % 7) as i32 - 3
}

/// The bits of a small integer as e4m3 and e5m2, from their definition: fields of sign, exponent and fraction.
fn fp8(v: i32, fraction: u32) -> u32 {
    let (a, bias) = (v.unsigned_abs(), if fraction == 3 { 7 } else { 15 });
    if a == 0 {
        return 0;
    }
    let e = 31 - a.leading_zeros();
    u32::from(v < 0) << 7 | (e + bias) << fraction | ((a << fraction) >> e & ((1 << fraction) - 1))
}

fn encode(ty: &str, v: i32) -> u32 {
    match ty {
        "bf16" => u32::from(bf16::from_f32(v as f32).to_bits()),
        "f16" => u32::from(f16::from_f32(v as f32).to_bits()),
        // What lies in the low thirteen bits of a tf32 does not count.
        "tf32" => (v as f32).to_bits() | 0x1abc,
        "e4m3" => fp8(v, 3),
        "e5m2" => fp8(v, 2),
        _ => v as u32,
    }
}
fn value(ty: &str, v: i32) -> i32 {
    if ty == "u8" { i32::from(v as u8) } else { v }
}

#[test]
fn fragments_of_every_type() {
    let cases: [Case; 13] = [
        ("m16n8k8", "bf16", "bf16", 8, 16, K8_HALVES, [2, 1, 4, 4]),
        ("m16n8k16", "bf16", "bf16", 16, 16, K16_HALVES, [4, 2, 4, 4]),
        ("m16n8k16", "f16", "f16", 16, 16, K16_HALVES, [4, 2, 4, 4]),
        ("m16n8k4", "tf32", "tf32", 4, 32, K4_WORDS, [2, 1, 4, 4]),
        ("m16n8k8", "tf32", "tf32", 8, 32, K8_WORDS, [4, 2, 4, 4]),
        ("m16n8k16", "s8", "s8", 16, 8, K16_BYTES, [2, 1, 4, 4]),
        ("m16n8k32", "s8", "s8", 32, 8, K32_BYTES, [4, 2, 4, 4]),
        ("m16n8k32", "u8", "u8", 32, 8, K32_BYTES, [4, 2, 4, 4]),
        ("m16n8k32", "u8", "s8", 32, 8, K32_BYTES, [4, 2, 4, 4]),
        ("m16n8k16", "s8", "u8", 16, 8, K16_BYTES, [2, 1, 4, 4]),
        ("m16n8k32", "e4m3", "e4m3", 32, 8, K32_BYTES, [4, 2, 4, 4]),
        ("m16n8k32", "e5m2", "e5m2", 32, 8, K32_BYTES, [4, 2, 4, 4]),
        ("m16n8k32", "e4m3", "e5m2", 32, 8, K32_BYTES, [4, 2, 4, 4]),
    ];
    for (shape, ta, tb, k, bits, (a_at, b_at), regs) in cases {
        for numerics in [Numerics::Exact, Numerics::Sequential, Numerics::Truncating] {
            let int = ta.ends_with('8');
            let acc = if int { "s32" } else { "f32" };
            let target = if ta.starts_with('e') { "sm_89" } else { "sm_80" };
            let form = format!("{shape}.row.col.{acc}.{ta}.{tb}.{acc}");
            let out = mma(target, &form, regs, Options { numerics, ..Options::default() }, |op, l, q| match op {
                'a' => pack(bits, q, |i| {
                    let (r, c) = a_at(l, i);
                    encode(ta, a_of(r, c))
                }),
                'b' => pack(bits, q, |i| encode(tb, b_of(b_at(l, i), l / 4))),
                _ => {
                    let (r, n) = c_at(l, q);
                    let c = r as i32 - n as i32;
                    if int { c as u32 } else { (c as f32).to_bits() }
                }
            });
            for (l, words) in out.iter().enumerate() {
                for (i, w) in words.iter().enumerate() {
                    let (r, n) = c_at(l, i);
                    let dot: i32 = (0..k).map(|j| value(ta, a_of(r, j)) * value(tb, b_of(j, n))).sum();
                    let want = dot + r as i32 - n as i32;
                    let got = if int { *w as i32 } else { f32::from_bits(*w) as i32 };
                    assert_eq!(got, want, "{form} {numerics:?} lane {l} element {i}");
                }
            }
        }
    }
}

#[test]
fn integer_sums_wrap_or_stop_at_the_ends() {
    for (a, b, c) in
        [(100i8, 100i8, i32::MAX - 1000), (100, -100, i32::MIN + 1000), (-128, -128, i32::MAX), (1, 1, -16)]
    {
        for (suffix, saturates) in [("", false), (".satfinite", true)] {
            let all = |x: i8| u32::from_le_bytes([x as u8; 4]);
            let form = format!("m16n8k32.row.col{suffix}.s32.s8.s8.s32");
            let out = mma("sm_80", &form, [4, 2, 4, 4], Options::default(), |op, _, _| match op {
                'a' => all(a),
                'b' => all(b),
                _ => c as u32,
            });
            let exact = i64::from(c) + 32 * i64::from(a) * i64::from(b);
            let want =
                if saturates { exact.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32 } else { exact as i32 };
            assert!(out.iter().flatten().all(|x| *x as i32 == want), "{form} {a} {b} {c}");
        }
    }
}

#[test]
fn eight_bit_floats_by_their_definition() {
    for (ty, fraction, bias) in [("e4m3", 3u32, 7), ("e5m2", 2, 15)] {
        for x in 0..=255u32 {
            let form = format!("m16n8k32.row.col.f32.{ty}.{ty}.f32");
            let one = bias << fraction;
            // One product: the first element of A in row 0 by a one.
            let out = mma("sm_90", &form, [4, 2, 4, 4], Options::default(), |op, l, q| match (op, l, q) {
                ('a', 0, 0) => x,
                ('b', 0, 0) => one,
                _ => 0,
            });
            let got = f32::from_bits(out[0][0]);
            let (e, m) = (x >> fraction & ((1 << (7 - fraction)) - 1), x & ((1 << fraction) - 1));
            let unit = 2f32.powi(-(fraction as i32));
            let size = match (ty, e, m) {
                ("e4m3", 15, 7) => f32::NAN,
                ("e5m2", 31, 0) => f32::INFINITY,
                ("e5m2", 31, _) => f32::NAN,
                (_, 0, _) => m as f32 * unit * 2f32.powi(1 - bias as i32),
                _ => (1.0 + m as f32 * unit) * 2f32.powi(e as i32 - bias as i32),
            };
            let want = if x >> 7 != 0 { -size } else { size };
            assert!(got == want || (got.is_nan() && want.is_nan()), "{ty} {x:#x}: {got} for {want}");
        }
    }
}

/// One element of a product of depth 16: the products `a * b` in order of depth, and what is added to.
fn dot(terms: &[(f32, f32)], c: f32, numerics: Numerics, sm: u32) -> f32 {
    let bits = |x: f32| u32::from(f16::from_f32(x).to_bits());
    let at = |k: usize| terms.get(k).copied().unwrap_or((0.0, 0.0));
    let options = Options { numerics, sm, ..Options::default() };
    let out = mma("sm_80", "m16n8k16.row.col.f32.f16.f16.f32", [4, 2, 4, 4], options, |op, l, q| match op {
        'a' => pack(16, q, |i| {
            let (r, k) = K16_HALVES.0(l, i);
            if r == 0 { bits(at(k).0) } else { 0 }
        }),
        'b' => pack(16, q, |i| if l / 4 == 0 { bits(at(K16_HALVES.1(l, i)).1) } else { 0 }),
        _ => {
            if l == 0 && q == 0 {
                c.to_bits()
            } else {
                0
            }
        }
    });
    f32::from_bits(out[0][0])
}

fn p(e: i32) -> f32 {
    2f32.powi(e)
}

#[test]
fn rounding_of_sums() {
    use Numerics::{Exact, Sequential, Truncating};
    let check = |what: &str, terms: &[(f32, f32)], c: f32, want: [f32; 4]| {
        let got = [
            dot(terms, c, Exact, 90),
            dot(terms, c, Sequential, 90),
            dot(terms, c, Truncating, 80),
            dot(terms, c, Truncating, 90),
        ];
        assert_eq!(got, want, "{what}");
    };
    let ulp = p(-23);
    // In single precision each of the ones is half a unit in the last place, and ties go to the even number.
    check("two ones on 2^24", &[(1.0, 1.0), (1.0, 1.0)], p(24), [p(24) + 2.0, p(24), p(24) + 2.0, p(24) + 2.0]);
    // Four times 2^-25 is a unit in the last place of 1: 25 fractional bits hold them, 24 do not.
    let tiny = (p(-12), p(-13));
    check("four times 2^-25", &[(1.0, 1.0), tiny, tiny, tiny, tiny], 0.0, [1.0 + ulp, 1.0, 1.0, 1.0 + ulp]);
    // Likewise where the largest term is the accumulator.
    check("four times 2^-25 on an accumulator", &[tiny, tiny, tiny, tiny], 1.0, [1.0 + ulp, 1.0, 1.0, 1.0 + ulp]);
    // Below 2^-25 nothing is left, however many there are.
    let less = (p(-13), p(-13));
    check(
        "fifteen times 2^-26",
        &[[(1.0, 1.0)].as_slice(), &[less; 15]].concat(),
        0.0,
        [1.0 + 2.0 * ulp, 1.0, 1.0, 1.0],
    );
    // A tie for rounding to nearest; cutting goes down to the next number.
    check("1 - 2^-25", &[(1.0, 1.0), (-p(-12), p(-13))], 0.0, [1.0, 1.0, 1.0, 1.0 - ulp / 2.0]);
    check("1 - 2^-24", &[(1.0, 1.0), (-p(-12), p(-12))], 0.0, [1.0 - ulp / 2.0; 4]);
    // Cutting goes towards zero on the negative side as well.
    check("-1 + 2^-25", &[(-1.0, 1.0), (p(-12), p(-13))], 0.0, [-1.0, -1.0, -1.0, -1.0 + ulp / 2.0]);
    // The exponent of 1.5 times 1.5 is that of its factors, though the product is above two: eight times 2^-25 stay.
    check(
        "2.25 + 8 * 2^-25",
        &[[(1.5, 1.5)].as_slice(), &[tiny; 7], &[tiny]].concat(),
        0.0,
        [2.25 + p(-22), 2.25, 2.25, 2.25 + p(-22)],
    );
    // Two groups of eight: the half is gone before 2^24 is taken away again.
    let mut terms = [(0.0, 0.0); 16];
    (terms[0], terms[1], terms[8]) = ((p(12), p(12)), (p(-1), 1.0), (-p(12), p(12)));
    check("2^24 + 0.5 - 2^24", &terms, 0.0, [0.5, 0.0, 0.0, 0.5]);
    // Subnormal inputs count.
    check("subnormals", &[(p(-24), 1.0), (p(-24), 1.0)], 0.0, [p(-23); 4]);
    for sm in [80, 90] {
        assert_eq!(dot(&[(f32::INFINITY, 1.0), (f32::NEG_INFINITY, 1.0)], 0.0, Truncating, sm).to_bits(), 0x7fff_ffff);
        assert_eq!(dot(&[(f32::INFINITY, 1.0)], 1.0, Truncating, sm), f32::INFINITY);
        assert_eq!(dot(&[(65504.0, 65504.0)], f32::MAX, Truncating, sm), f32::MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// Every mode is within what its precision allows of the exact sum, and exact for integers.
    #[test]
    fn sums_are_within_their_bounds(
        bits in prop::collection::vec((any::<u16>(), any::<u16>()), 16),
        c in -1000f32..1000.0,
        ints in prop::collection::vec((-100i32..100, -100i32..100), 16),
        sm in prop::sample::select(vec![80u32, 90]),
    ) {
        let finite = |x: u16| f16::from_bits(x & 0xdfff).to_f32();
        let terms: Vec<(f32, f32)> = bits.iter().map(|(a, b)| (finite(*a), finite(*b))).collect();
        let exact: f64 = terms.iter().fold(f64::from(c), |s, (a, b)| s + f64::from(*a) * f64::from(*b));
        let size: f64 = terms.iter().fold(f64::from(c.abs()), |s, (a, b)| s + (f64::from(*a) * f64::from(*b)).abs());
        let int_terms: Vec<(f32, f32)> = ints.iter().map(|(a, b)| (*a as f32, *b as f32)).collect();
        let int_sum: i32 = ints.iter().map(|(a, b)| a * b).sum::<i32>() + 7;
        for (numerics, units) in [(Numerics::Exact, 1.0), (Numerics::Sequential, 17.0), (Numerics::Truncating, 20.0)] {
            let got = f64::from(dot(&terms, c, numerics, sm));
            prop_assert!((got - exact).abs() <= units * size * 2f64.powi(-23), "{numerics:?} {sm}: {got} for {exact}");
            prop_assert_eq!(dot(&int_terms, 7.0, numerics, sm), int_sum as f32);
        }
    }
}

#[test]
fn warpgroup_products_of_every_type() {
    for (ta, tb, bits) in [
        ("f16", "f16", 16u32),
        ("bf16", "bf16", 16),
        ("tf32", "tf32", 32),
        ("s8", "s8", 8),
        ("u8", "s8", 8),
        ("s8", "u8", 8),
        ("e4m3", "e5m2", 8),
        ("e5m2", "e5m2", 8),
    ] {
        for (span, registers) in [(0usize, false), (128, false), (128, true)] {
            let k = 256 / bits as usize;
            let bytes = bits as usize / 8;
            // Rows of 32 bytes in the canonical layouts along the depth: cores of eight rows by 16 bytes, or 128-byte rows whose
            // 16-byte pieces move by the row's number.
            let place = |mn: usize, byte: usize| match span {
                0 => mn / 8 * 256 + byte / 16 * 128 + mn % 8 * 16 + byte % 16,
                _ => mn / 8 * 1024 + mn % 8 * 128 + ((byte / 16) ^ (mn % 8)) * 16 + byte % 16,
            };
            let mut image = vec![0u8; 32768];
            for mn in 0..64 {
                for x in 0..k {
                    for (at, v) in [(0, encode(ta, a_of(mn, x))), (16384, encode(tb, b_of(x, mn)))] {
                        let v = v.to_le_bytes();
                        for (i, byte) in v[..bytes].iter().enumerate() {
                            image[at + place(mn, x * bytes + i)] = *byte;
                        }
                    }
                }
            }
            let (lbo, sbo, mode) = if span == 0 { (128u64, 256u64, 0u64) } else { (16, 1024, 1) };
            let desc = |at: u64| at >> 4 | (lbo >> 4) << 16 | (sbo >> 4) << 32 | mode << 62;
            let int = ta.ends_with('8');
            let acc = if int { "s32" } else { "f32" };
            // A's fragment of a warp: the layout of mma with the same bytes a row, for sixteen rows.
            let a_at = |l: usize, q: usize| (l / 4 + 8 * (q % 2), (l % 4 + 4 * (q / 2)) * 32 / bits as usize);
            let mut extra = Vec::new();
            for t in 0..128usize {
                for q in 0..4 {
                    let (r, c) = a_at(t % 32, q);
                    extra.extend(pack(bits, 0, |e| encode(ta, a_of(t / 32 * 16 + r, c + e))).to_le_bytes());
                }
            }
            let d: Vec<String> = (0..32).map(|i| format!("%r{}", 10 + i)).collect();
            let stores: String = (0..32).map(|i| format!("st.global.u32 [%rd4+{}], %r{};\n", 4 * i, 10 + i)).collect();
            let zeros: String = (0..32).map(|i| format!("mov.b32 %r{}, 0;\n", 10 + i)).collect();
            let a = if registers { "{%r50, %r51, %r52, %r53}" } else { "%rd5" };
            let tail = match ta {
                "f16" | "bf16" if registers => ", 1, 1, 0",
                "f16" | "bf16" => ", 1, 1, 0, 0",
                "tf32" | "e4m3" | "e5m2" => ", 1, 1",
                _ => "",
            };
            let ptx = format!(
                ".version 8.4\n.target sm_90a\n.address_size 64\n.extern .shared .align 1024 .b8 dyn[];
.visible .entry k(.param .u64 image, .param .u64 out, .param .u64 da, .param .u64 db, .param .u64 extra)
{{
    .reg .b32 %r<60>; .reg .b64 %rd<20>; .reg .pred %p<4>;
    ld.param.u64 %rd1, [image]; ld.param.u64 %rd2, [out]; ld.param.u64 %rd5, [da]; ld.param.u64 %rd6, [db]; ld.param.u64 %rd9, [extra];
    mov.u32 %r1, %tid.x; mov.u32 %r2, dyn; shl.b32 %r3, %r1, 4; cvt.u64.u32 %rd7, %r3; add.s64 %rd9, %rd9, %rd7;
    ld.global.v4.u32 {{%r50, %r51, %r52, %r53}}, [%rd9];
    L: add.u32 %r4, %r2, %r3; cvt.u64.u32 %rd7, %r3; add.s64 %rd8, %rd1, %rd7;
    ld.global.v4.u32 {{%r6, %r7, %r8, %r9}}, [%rd8]; st.shared.v4.u32 [%r4], {{%r6, %r7, %r8, %r9}};
    add.u32 %r3, %r3, 2048; setp.lt.u32 %p1, %r3, 32768; @%p1 bra L;
    fence.proxy.async; bar.sync 0;
    shr.u32 %r4, %r2, 4; cvt.u64.u32 %rd7, %r4; add.s64 %rd5, %rd5, %rd7; add.s64 %rd6, %rd6, %rd7;
    setp.eq.u32 %p2, 0, 0; {zeros}
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n64k{k}.{acc}.{ta}.{tb} {{{}}}, {a}, %rd6, %p2{tail};
    wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;
    mul.wide.u32 %rd3, %r1, 128; add.s64 %rd4, %rd2, %rd3;
    {stores} ret;
}}",
                d.join(", ")
            );
            let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{ta} {tb}: {e}"));
            let mut dev = Device::new();
            let [i, o, x] = [32768, 128 * 128, 2048].map(|n| dev.memory.alloc(n, "data").unwrap());
            dev.memory.write(i, &image).unwrap();
            dev.memory.write(x, &extra).unwrap();
            let params: Vec<u8> = [i, o, desc(0), desc(16384), x].iter().flat_map(|x| x.to_le_bytes()).collect();
            let r = dev.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(128), 32768, &params).unwrap();
            assert!(r.clean(), "{:?}", r.findings);
            assert_eq!(r.counters.issued_macs, 64 * 64 * k as u64);
            let mut out = vec![0u8; 128 * 128];
            dev.memory.read(o, &mut out).unwrap();
            for t in 0..128usize {
                for e in 0..32 {
                    let (row, col) = (t / 32 * 16 + t % 32 / 4 + 8 * (e / 2 % 2), e / 4 * 8 + t % 4 * 2 + e % 2);
                    let want: i32 = (0..k).map(|x| value(ta, a_of(row, x)) * value(tb, b_of(x, col))).sum();
                    let at = t * 128 + e * 4;
                    let w = u32::from_le_bytes([out[at], out[at + 1], out[at + 2], out[at + 3]]);
                    let got = if int { w as i32 } else { f32::from_bits(w) as i32 };
                    assert_eq!(got, want, "{ta} {tb} span {span} registers {registers} thread {t} element {e}");
                }
            }
        }
    }
}

#[test]
fn forms_of_wgmma_that_do_not_exist() {
    let load = |what: &str| {
        Module::load(&format!(
            ".version 8.4\n.target sm_90a\n.address_size 64\n.visible .entry k()\n{{\n.reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<2>;\n{what}\nret;\n}}"
        ))
    };
    let d = "{%r1, %r2, %r3, %r4}, %rd1, %rd2, %p1";
    assert!(load(&format!("wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.u8 {d};")).is_ok());
    for bad in [
        format!("wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.u8 {d}, 1, 1;"),
        format!("wgmma.mma_async.sync.aligned.m64n8k16.f32.tf32.tf32 {d}, 1, 1;"),
        format!("wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {d}, 1, 1, 0, 0;"),
        format!("wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.bf16 {d}, 1, 1, 0, 0;"),
        format!("wgmma.mma_async.sync.aligned.m64n8k32.satfinite.f32.e4m3.e4m3 {d}, 1, 1;"),
    ] {
        assert!(load(&bad).is_err(), "{bad}");
    }
}
