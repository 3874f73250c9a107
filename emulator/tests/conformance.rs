//! Instructions against the PTX ISA's own rules, written down again here and not taken from the implementation.

use gpu_emulator::{Device, Dim3, Module, Report};

const HEAD: &str = ".version 8.0\n.target sm_90\n.address_size 64\n";

/// Runs one warp: `%r1..%r4` are a lane's four input words, `%r11..%r14` its four results, `%r0` the lane.
fn warp(body: &str, input: impl Fn(u32) -> [u32; 4]) -> Vec<[u32; 4]> {
    let (out, report) = warp_report(body, input);
    assert!(report.clean(), "{:?}", report.findings);
    out
}

fn warp_report(body: &str, input: impl Fn(u32) -> [u32; 4]) -> (Vec<[u32; 4]>, Report) {
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 pin, .param .u64 pout)
{{
    .reg .pred %p<20>; .reg .b16 %h<40>; .reg .b32 %r<90>; .reg .f32 %f<90>; .reg .b64 %rd<40>; .reg .f64 %fd<20>;
    .shared .align 128 .b8 sm[8192];
    ld.param.u64 %rd1, [pin];
    ld.param.u64 %rd2, [pout];
    mov.u32 %r0, %tid.x;
    mul.wide.u32 %rd3, %r0, 16;
    add.s64 %rd4, %rd1, %rd3;
    add.s64 %rd5, %rd2, %rd3;
    ld.global.v4.u32 {{%r1, %r2, %r3, %r4}}, [%rd4];
    mov.u32 %r11, 0; mov.u32 %r12, 0; mov.u32 %r13, 0; mov.u32 %r14, 0;
    {body}
    st.global.v4.u32 [%rd5], {{%r11, %r12, %r13, %r14}};
    ret;
}}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    let (a, b) = (d.memory.alloc(512, "in").unwrap(), d.memory.alloc(512, "out").unwrap());
    let bytes: Vec<u8> = (0..32).flat_map(&input).flat_map(u32::to_le_bytes).collect();
    d.memory.write(a, &bytes).unwrap();
    let mut params = a.to_le_bytes().to_vec();
    params.extend(b.to_le_bytes());
    let report = d.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(32), 0, &params).unwrap();
    let mut out = vec![0; 512];
    d.memory.read(b, &mut out).unwrap();
    let w: Vec<u32> = out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    (w.chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect(), report)
}

const EDGES: [u32; 16] = [
    0,
    1,
    2,
    3,
    7,
    31,
    32,
    33,
    255,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_ffff,
    0xffff_fffe,
    0x1234_5678,
    0xdead_beef,
];

/// A pair of edge values for every lane, different for every round.
fn pair(round: u32, lane: u32) -> (u32, u32) {
    let i = round.wrapping_mul(32).wrapping_add(lane);
    (EDGES[(i % 16) as usize], EDGES[(i / 16 % 16) as usize])
}

fn binary(op: &str, want: impl Fn(u32, u32) -> u32) {
    for round in 0..8 {
        let got = warp(&format!("{op} %r11, %r1, %r2;"), |l| {
            let (a, b) = pair(round, l);
            [a, b, 0, 0]
        });
        for l in 0..32 {
            let (a, b) = pair(round, l);
            assert_eq!(got[l as usize][0], want(a, b), "{op} {a:#x} {b:#x}");
        }
    }
}
fn ternary(op: &str, want: impl Fn(u32, u32, u32) -> u32) {
    for c in EDGES {
        let got = warp(&format!("{op} %r11, %r1, %r2, %r3;"), |l| {
            let (a, b) = pair(c, l);
            [a, b, c, 0]
        });
        for l in 0..32 {
            let (a, b) = pair(c, l);
            assert_eq!(got[l as usize][0], want(a, b, c), "{op} {a:#x} {b:#x} {c:#x}");
        }
    }
}
fn unary(op: &str, want: impl Fn(u32) -> u32) {
    let got = warp(&format!("{op} %r11, %r1;"), |l| [EDGES[l as usize % 16], 0, 0, 0]);
    for l in 0..32usize {
        assert_eq!(got[l][0], want(EDGES[l % 16]), "{op} {:#x}", EDGES[l % 16]);
    }
}

#[test]
fn integers() {
    binary("add.s32", |a, b| a.wrapping_add(b));
    binary("sub.s32", |a, b| a.wrapping_sub(b));
    binary("mul.lo.s32", |a, b| a.wrapping_mul(b));
    binary("mul.hi.u32", |a, b| ((a as u64 * b as u64) >> 32) as u32);
    binary("mul.hi.s32", |a, b| ((a as i32 as i64 * b as i32 as i64) >> 32) as u32);
    binary("min.s32", |a, b| (a as i32).min(b as i32) as u32);
    binary("max.u32", |a, b| a.max(b));
    binary("and.b32", |a, b| a & b);
    binary("xor.b32", |a, b| a ^ b);
    // Shifts by more than the width give zeros, or copies of the sign.
    binary("shl.b32", |a, b| if b < 32 { a << b } else { 0 });
    binary("shr.u32", |a, b| if b < 32 { a >> b } else { 0 });
    binary("shr.s32", |a, b| ((a as i32) >> b.min(31)) as u32);
    binary("div.u32", |a, b| a.checked_div(b).unwrap_or(u32::MAX));
    binary("rem.u32", |a, b| if b == 0 { a } else { a % b });
    binary("add.sat.s32", |a, b| (a as i32).saturating_add(b as i32) as u32);
    unary("neg.s32", |a| 0u32.wrapping_sub(a));
    unary("abs.s32", |a| if (a as i32) < 0 { 0u32.wrapping_sub(a) } else { a });
    unary("not.b32", |a| !a);
    unary("popc.b32", u32::count_ones);
    unary("clz.b32", u32::leading_zeros);
    unary("brev.b32", u32::reverse_bits);
    unary("bfind.u32", |a| if a == 0 { u32::MAX } else { 31 - a.leading_zeros() });
    unary("bfind.shiftamt.u32", |a| if a == 0 { u32::MAX } else { a.leading_zeros() });
    unary("bfind.s32", |a| {
        let a = if (a as i32) < 0 { !a } else { a };
        if a == 0 { u32::MAX } else { 31 - a.leading_zeros() }
    });
    ternary("mad.lo.u32", |a, b, c| a.wrapping_mul(b).wrapping_add(c));
    ternary("sad.s32", |a, b, c| (a as i32).abs_diff(b as i32).wrapping_add(c));
    ternary("shf.l.wrap.b32", |a, b, c| ((((b as u64) << 32 | a as u64) << (c & 31)) >> 32) as u32);
    ternary("shf.r.wrap.b32", |a, b, c| (((b as u64) << 32 | a as u64) >> (c & 31)) as u32);
    ternary("shf.r.clamp.b32", |a, b, c| (((b as u64) << 32 | a as u64) >> c.min(32)) as u32);
    ternary("shf.l.clamp.b32", |a, b, c| if c >= 32 { a } else { ((((b as u64) << 32 | a as u64) << c) >> 32) as u32 });
}

/// The ISA's description of bfe, bit by bit.
fn bfe(a: u32, b: u32, c: u32, signed: bool) -> u32 {
    let (pos, len) = (b & 0xff, c & 0xff);
    let sign = if !signed || len == 0 { 0 } else { a >> (pos + len - 1).min(31) & 1 };
    (0..32).fold(0, |d, i| d | if i < len && pos + i <= 31 { a >> (pos + i) & 1 } else { sign } << i)
}
/// Likewise bfi.
fn bfi(a: u32, b: u32, c: u32, d: u32) -> u32 {
    let (pos, len) = (c & 0xff, d & 0xff);
    let mut f = b;
    for i in 0..len {
        if pos + i <= 31 {
            f = f & !(1 << (pos + i)) | (a >> i & 1) << (pos + i);
        }
    }
    f
}

#[test]
fn bit_fields() {
    ternary("bfe.u32", |a, b, c| bfe(a, b, c, false));
    ternary("bfe.s32", |a, b, c| bfe(a, b, c, true));
    for len in [0, 1, 5, 31, 32, 33, 255] {
        for pos in [0, 1, 30, 31, 32, 200] {
            let got = warp(&format!("bfi.b32 %r11, %r1, %r2, {pos}, {len};"), |l| {
                let (a, b) = pair(pos, l);
                [a, b, 0, 0]
            });
            for l in 0..32 {
                let (a, b) = pair(pos, l);
                // Beyond 32 bits of a there is nothing to insert.
                assert_eq!(got[l as usize][0], bfi(a, b, pos, len.min(32)), "bfi {a:#x} {b:#x} {pos} {len}");
            }
        }
    }
    for lut in [0u8, 0x80, 0xc0, 0x96, 0xe8, 0xca, 0xff, 0x1b] {
        let f = |a: u32, b: u32, c: u32| {
            (0..32).fold(0u32, |d, i| {
                d | u32::from(lut >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1)) & 1) << i
            })
        };
        let got = warp(&format!("lop3.b32 %r11, %r1, %r2, 0x0ff0f0aa, {lut};"), |l| {
            let (a, b) = pair(3, l);
            [a, b, 0, 0]
        });
        for l in 0..32 {
            let (a, b) = pair(3, l);
            assert_eq!(got[l as usize][0], f(a, b, 0x0ff0_f0aa), "lop3 {lut:#x}");
        }
    }
}

#[test]
fn permutation_of_bytes() {
    // Bytes 0 to 3 are a's, 4 to 7 are b's; each mode by the ISA's table.
    let (a, b) = (0x8342_0100u32, 0xc706_8504u32);
    let bytes = [0x00u8, 0x01, 0x42, 0x83, 0x04, 0x85, 0x06, 0xc7];
    let pick = |s: [usize; 4]| u32::from_le_bytes(s.map(|i| bytes[i]));
    let table: [(&str, [[usize; 4]; 4]); 6] = [
        (".f4e", [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]),
        (".b4e", [[0, 7, 6, 5], [1, 0, 7, 6], [2, 1, 0, 7], [3, 2, 1, 0]]),
        (".rc8", [[0; 4], [1; 4], [2; 4], [3; 4]]),
        (".ecl", [[0, 1, 2, 3], [1, 1, 2, 3], [2, 2, 2, 3], [3, 3, 3, 3]]),
        (".ecr", [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 3]]),
        (".rc16", [[0, 1, 0, 1], [2, 3, 2, 3], [0, 1, 0, 1], [2, 3, 2, 3]]),
    ];
    for (mode, rows) in table {
        for (sel, want) in rows.into_iter().enumerate() {
            let got = warp(&format!("prmt.b32{mode} %r11, %r1, %r2, {sel};"), |_| [a, b, 0, 0]);
            assert_eq!(got[0][0], pick(want), "prmt{mode} {sel}");
        }
    }
    let got = warp("prmt.b32 %r11, %r1, %r2, 0x5432; prmt.b32 %r12, %r1, %r2, 0xfbca;", |_| [a, b, 0, 0]);
    assert_eq!(got[0][0], pick([2, 3, 4, 5]));
    // With bit 3 set the sign of the chosen byte fills the byte.
    assert_eq!(got[0][1], 0xff_ff_00_00);
}

#[test]
fn sixty_four_bits() {
    let got = warp(
        "mov.b64 %rd10, {%r1, %r2}; mul.wide.s32 %rd11, %r1, %r2; mad.wide.u32 %rd12, %r1, %r2, %rd10;
         shr.s64 %rd13, %rd10, 40; add.s64 %rd11, %rd11, %rd12; xor.b64 %rd11, %rd11, %rd13; mov.b64 {%r11, %r12}, %rd11;
         bfi.b64 %rd14, %rd10, %rd12, 20, 30; mov.b64 {%r13, %r14}, %rd14;",
        |l| {
            let (a, b) = pair(1, l);
            [a, b, 0, 0]
        },
    );
    for l in 0..32 {
        let (a, b) = pair(1, l);
        let x = (b as u64) << 32 | a as u64;
        let y = (a as u64 * b as u64).wrapping_add(x);
        let z = ((a as i32 as i64 * b as i32 as i64) as u64).wrapping_add(y) ^ ((x as i64) >> 40) as u64;
        let m = ((1u64 << 30) - 1) << 20;
        let w = y & !m | (x << 20) & m;
        assert_eq!(got[l as usize], [z as u32, (z >> 32) as u32, w as u32, (w >> 32) as u32]);
    }
}

fn f32s(v: f32) -> u32 {
    v.to_bits()
}

#[test]
fn conversions_round_as_asked() {
    let cases: [(f32, [i32; 4]); 9] = [
        // value: nearest even, toward zero, down, up
        (0.5, [0, 0, 0, 1]),
        (1.5, [2, 1, 1, 2]),
        (2.5, [2, 2, 2, 3]),
        (-0.5, [0, 0, -1, 0]),
        (-1.5, [-2, -1, -2, -1]),
        (-2.7, [-3, -2, -3, -2]),
        (3e9, [i32::MAX; 4]),
        (-3e9, [i32::MIN; 4]),
        (f32::NAN, [0; 4]),
    ];
    for (x, want) in cases {
        let got = warp(
            "mov.b32 %f1, %r1; cvt.rni.s32.f32 %r11, %f1; cvt.rzi.s32.f32 %r12, %f1; cvt.rmi.s32.f32 %r13, %f1; cvt.rpi.s32.f32 %r14, %f1;",
            |_| [f32s(x), 0, 0, 0],
        );
        assert_eq!(got[0].map(|x| x as i32), want, "{x}");
    }
    let got = warp(
        "mov.b32 %f1, %r1; cvt.rzi.u32.f32 %r11, %f1; cvt.rni.f32.f32 %f2, %f1; mov.b32 %r12, %f2; cvt.sat.f32.f32 %f3, %f1; mov.b32 %r13, %f3;",
        |_| [f32s(-7.5), 0, 0, 0],
    );
    assert_eq!(got[0][..3], [0, f32s(-8.0), 0]);
    // Half precision: 2049 lies between 2048 and 2050.
    let halves: [(f32, [u32; 4]); 8] = [
        (2049.0, [0x6800, 0x6800, 0x6800, 0x6801]),
        (2051.0, [0x6802, 0x6801, 0x6801, 0x6802]),
        (-2049.0, [0xe800, 0xe800, 0xe801, 0xe800]),
        (65519.0, [0x7bff, 0x7bff, 0x7bff, 0x7c00]),
        (65520.0, [0x7c00, 0x7bff, 0x7bff, 0x7c00]),
        (6e-8, [0x0001, 0x0001, 0x0001, 0x0002]),
        (2.0e-8, [0x0000, 0x0000, 0x0000, 0x0001]),
        (0.0, [0, 0, 0, 0]),
    ];
    for (x, want) in halves {
        let got = warp(
            "mov.b32 %f1, %r1; cvt.rn.f16.f32 %h1, %f1; cvt.rz.f16.f32 %h2, %f1; cvt.rm.f16.f32 %h3, %f1; cvt.rp.f16.f32 %h4, %f1;
             cvt.u32.u16 %r11, %h1; cvt.u32.u16 %r12, %h2; cvt.u32.u16 %r13, %h3; cvt.u32.u16 %r14, %h4;",
            |_| [f32s(x), 0, 0, 0],
        );
        assert_eq!(got[0], want, "{x}");
    }
    // The first source goes to the upper half.
    let got = warp(
        "mov.b32 %f1, %r1; mov.b32 %f2, %r2; cvt.rn.f16x2.f32 %r11, %f1, %f2; cvt.rn.bf16x2.f32 %r12, %f1, %f2;",
        |_| [f32s(1.0), f32s(-2.0), 0, 0],
    );
    assert_eq!(got[0][..2], [0x3c00_c000, 0x3f80_c000]);
    // Sign extension and truncation of integers.
    let got = warp(
        "cvt.u16.u32 %h1, %r1; cvt.s32.s16 %r11, %h1; cvt.s32.s8 %r12, %r1; cvt.u32.u8 %r13, %r1; cvt.s64.s32 %rd10, %r1; shr.u64 %rd10, %rd10, 32; cvt.u32.u64 %r14, %rd10;",
        |_| [0x8765_8fe5, 0, 0, 0],
    );
    assert_eq!(got[0], [0xffff_8fe5, 0xffff_ffe5, 0xe5, 0xffff_ffff]);
    let got = warp(
        "cvt.rn.f32.u32 %f1, %r1; mov.b32 %r11, %f1; cvt.rz.f32.u32 %f1, %r1; mov.b32 %r12, %f1; cvt.rp.f32.u32 %f1, %r1; mov.b32 %r13, %f1; cvt.rn.f32.s32 %f1, %r1; mov.b32 %r14, %f1;",
        |_| [0xffff_ffff, 0, 0, 0],
    );
    assert_eq!(got[0], [f32s(4294967296.0), f32s(4294967040.0), f32s(4294967296.0), f32s(-1.0)]);
}

#[test]
fn every_half_survives_widening_and_narrowing() {
    for block in 0..(65536 / 128) {
        let got = warp(
            "cvt.u16.u32 %h1, %r1; cvt.f32.f16 %f1, %h1; cvt.rn.f16.f32 %h2, %f1; cvt.u32.u16 %r11, %h2;
             cvt.u16.u32 %h1, %r2; cvt.f32.f16 %f1, %h1; cvt.rn.f16.f32 %h2, %f1; cvt.u32.u16 %r12, %h2;
             cvt.u16.u32 %h1, %r3; cvt.f32.f16 %f1, %h1; cvt.rn.f16.f32 %h2, %f1; cvt.u32.u16 %r13, %h2;
             cvt.u16.u32 %h1, %r4; cvt.f32.f16 %f1, %h1; cvt.rn.f16.f32 %h2, %f1; cvt.u32.u16 %r14, %h2;",
            |l| std::array::from_fn(|i| block * 128 + 4 * l + i as u32),
        );
        for l in 0..32u32 {
            for i in 0..4u32 {
                let h = block * 128 + 4 * l + i;
                let nan = h & 0x7c00 == 0x7c00 && h & 0x3ff != 0;
                let g = got[l as usize][i as usize];
                assert!(g == h || nan && g & 0x7c00 == 0x7c00 && g & 0x3ff != 0, "{h:#x} became {g:#x}");
            }
        }
    }
}

#[test]
fn float_arithmetic() {
    let got = warp(
        "mov.b32 %f1, %r1; mov.b32 %f2, %r2; mov.b32 %f3, %r3; fma.rn.f32 %f4, %f1, %f2, %f3; mov.b32 %r11, %f4; fma.rz.f32 %f4, %f1, %f2, %f3; mov.b32 %r12, %f4; fma.rm.f32 %f4, %f1, %f2, %f3; mov.b32 %r13, %f4; fma.rp.f32 %f4, %f1, %f2, %f3; mov.b32 %r14, %f4;",
        |_| [f32s(1.0 + f32::EPSILON), f32s(1.0 - f32::EPSILON / 2.0), f32s(1e-30), 0],
    );
    // The product is 1 + e/2 - e*e/2: just below the middle between 1 and 1 + e.
    assert_eq!(got[0], [f32s(1.0), f32s(1.0), f32s(1.0), f32s(1.0 + f32::EPSILON)]);
    let nan = f32::NAN.to_bits();
    let got = warp(
        "mov.b32 %f1, %r1; mov.b32 %f2, %r2; min.f32 %f3, %f1, %f2; mov.b32 %r11, %f3; max.f32 %f3, %f1, %f2; mov.b32 %r12, %f3; add.sat.f32 %f3, %f2, %f2; mov.b32 %r13, %f3; mul.ftz.f32 %f3, %f2, 0f00000001; mov.b32 %r14, %f3;",
        |_| [nan, f32s(3.0), 0, 0],
    );
    assert_eq!(got[0], [f32s(3.0), f32s(3.0), f32s(1.0), 0]);
    let got = warp(
        "mov.f32 %f1, 0f00000000; neg.f32 %f2, %f1; min.f32 %f3, %f1, %f2; mov.b32 %r11, %f3; max.f32 %f3, %f2, %f1; mov.b32 %r12, %f3; mov.f64 %fd1, 0d3FF8000000000000; fma.rn.f64 %fd2, %fd1, %fd1, %fd1; mov.b64 {%r13, %r14}, %fd2;",
        |_| [0; 4],
    );
    let d = 3.75f64.to_bits();
    assert_eq!(got[0], [0x8000_0000, 0, d as u32, (d >> 32) as u32]);
    // Half arithmetic rounds once, also in fma.
    let got = warp(
        "fma.rn.f16x2 %r11, %r1, %r2, %r3; add.f16x2 %r12, %r1, %r2; mul.f16x2 %r13, %r1, %r2; sub.f16x2 %r14, %r1, %r2;",
        |_| [0x3c01_6800, 0x3c01_3c00, 0x0001_3c00, 0],
    );
    // Low: 2048 * 1 + 1 = 2049 -> 2048; high: (1 + e)^2 + tiny = 1 + 2e + e^2 + tiny -> 1 + 2e.
    assert_eq!(got[0], [0x3c02_6800, 0x4001_6800, 0x3c02_6800, 0x0000_67ff]);
}

#[test]
fn comparisons_with_nan() {
    let nan = f32::NAN.to_bits();
    for (op, want) in [
        ("eq", 0b0010u32),
        ("ne", 0b0101),
        ("lt", 0b0001),
        ("ge", 0b0110),
        ("equ", 0b1010),
        ("neu", 0b1101),
        ("ltu", 0b1001),
        ("geu", 0b1110),
        ("num", 0b0111),
        ("nan", 0b1000),
    ] {
        let got = warp(
            &format!("mov.b32 %f1, %r1; mov.b32 %f2, %r2; setp.{op}.f32 %p1, %f1, %f2; selp.u32 %r11, 1, 0, %p1;"),
            |l| match l % 4 {
                0 => [f32s(1.0), f32s(2.0), 0, 0],
                1 => [f32s(2.0), f32s(2.0), 0, 0],
                2 => [f32s(3.0), f32s(2.0), 0, 0],
                _ => [nan, f32s(2.0), 0, 0],
            },
        );
        let bits = (0..4).fold(0, |s, i| s | got[i][0] << i);
        assert_eq!(bits, want, "{op}");
    }
    let got = warp(
        "setp.lt.u32 %p3, %r0, 16; setp.lt.and.s32 %p1|%p2, %r1, 5, %p3; selp.u32 %r11, 1, 0, %p1; selp.u32 %r12, 1, 0, %p2; setp.gt.or.s32 %p1, %r1, 5, !%p3; selp.u32 %r13, 1, 0, %p1; @!%p3 mov.u32 %r14, 9; @%p3 mov.u32 %r14, 8;",
        |l| [l % 8, 0, 0, 0],
    );
    for (l, g) in got.iter().enumerate() {
        let (c, v) = (l < 16, l % 8);
        assert_eq!(*g, [u32::from(v < 5 && c), u32::from(v >= 5 && c), u32::from(v > 5 || !c), if c { 8 } else { 9 }]);
    }
}

/// The ISA's pseudo code of shfl.
fn shfl(mode: &str, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (bval, cval, mask) = (b & 31, c & 31, c >> 8 & 31);
    let max = lane & mask | cval & !mask;
    let min = lane & mask;
    let (j, p) = match mode {
        "up" => (lane as i32 - bval as i32, lane as i32 - bval as i32 >= max as i32),
        "down" => ((lane + bval) as i32, lane + bval <= max),
        "bfly" => ((lane ^ bval) as i32, lane ^ bval <= max),
        _ => {
            let j = min | bval & !mask;
            (j as i32, j <= max)
        }
    };
    if p { (j as u32, true) } else { (lane, false) }
}

#[test]
fn shuffles() {
    for mode in ["up", "down", "bfly", "idx"] {
        for c in [0x1f, 0, 0x181f, 0x1800, 0x100f, 0x1c03] {
            for b in [0, 1, 2, 7, 16, 31] {
                let got = warp(
                    &format!("shfl.sync.{mode}.b32 %r11|%p1, %r1, {b}, {c}, 0xffffffff; selp.u32 %r12, 1, 0, %p1;"),
                    |l| [1000 + l, 0, 0, 0],
                );
                for l in 0..32 {
                    let (j, p) = shfl(mode, l, b, c);
                    assert_eq!(got[l as usize][..2], [1000 + j, u32::from(p)], "shfl.{mode} lane {l} b {b} c {c:#x}");
                }
            }
        }
    }
}

#[test]
fn votes_and_matches() {
    let got = warp(
        "setp.lt.u32 %p1, %r0, 5; vote.sync.ballot.b32 %r11, %p1, 0xffffffff; vote.sync.any.pred %p2, %p1, 0xffffffff; selp.u32 %r12, 1, 0, %p2;
         vote.sync.all.pred %p2, !%p1, 0xffffffff; selp.u32 %r13, 1, 0, %p2; match.any.sync.b32 %r14, %r1, 0xffffffff;",
        |l| [l % 3, 0, 0, 0],
    );
    for (l, g) in got.iter().enumerate() {
        let same = (0..32).filter(|j| j % 3 == l % 3).fold(0u32, |s, j| s | 1 << j);
        assert_eq!(*g, [31, 1, 0, same]);
    }
    let got = warp(
        "redux.sync.add.s32 %r11, %r0, 0xffffffff; redux.sync.max.s32 %r12, %r1, 0xffffffff; elect.sync %r13|%p1, 0xffffffff; selp.u32 %r14, 1, 0, %p1;",
        |l| [0u32.wrapping_sub(l), 0, 0, 0],
    );
    for (l, g) in got.iter().enumerate() {
        assert_eq!(*g, [496, 0, 0, u32::from(l == 0)]);
    }
    // Only the lanes that came along vote.
    let got = warp(
        "mov.u32 %r11, 0; setp.lt.u32 %p1, %r0, 4; @!%p1 bra L; activemask.b32 %r11; setp.eq.u32 %p2, %r0, 2; vote.sync.ballot.b32 %r12, %p2, 15; L: mov.u32 %r13, %lanemask_lt;",
        |_| [0; 4],
    );
    assert_eq!(got[1][..2], [15, 4]);
    assert_eq!(got[9][0], 0);
    assert_eq!(got[9][2], 0x1ff);
}

#[test]
fn divergence_and_loops() {
    // Collatz steps: every lane leaves the loop at its own time; then all are together again.
    let got = warp(
        "add.u32 %r20, %r0, 1; mov.u32 %r11, 0;
         LOOP: setp.eq.u32 %p1, %r20, 1; @%p1 bra DONE;
         and.b32 %r21, %r20, 1; setp.eq.u32 %p2, %r21, 0; add.u32 %r11, %r11, 1;
         @%p2 bra EVEN; mad.lo.u32 %r20, %r20, 3, 1; bra.uni LOOP;
         EVEN: shr.u32 %r20, %r20, 1; bra LOOP;
         DONE: bar.warp.sync 0xffffffff; activemask.b32 %r12;",
        |_| [0; 4],
    );
    for (l, g) in got.iter().enumerate() {
        let (mut n, mut steps) = (l as u64 + 1, 0);
        while n != 1 {
            n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        assert_eq!(g[..2], [steps, u32::MAX]);
    }
    let got = warp(
        "TABLE: .branchtargets A, B, C, A;
         and.b32 %r20, %r0, 3; brx.idx %r20, TABLE;
         A: mov.u32 %r11, 10; bra E; B: mov.u32 %r11, 20; bra E; C: mov.u32 %r11, 30; E: activemask.b32 %r12;",
        |_| [0; 4],
    );
    for (l, g) in got.iter().enumerate() {
        assert_eq!(g[..2], [[10, 20, 30, 10][l & 3], u32::MAX]);
    }
}

#[test]
fn scopes_of_inline_assembly() {
    let block = "{ .reg .pred P; .reg .b32 t; setp.ne.u32 P, %r1, 0; mov.u32 t, 1; @P bra SKIP; mov.u32 t, 2; SKIP: add.u32 %r11, %r11, t; }";
    let got = warp(&format!("mov.u32 %r11, 0; {block} {block} {block}"), |l| [l & 1, 0, 0, 0]);
    assert_eq!((got[0][0], got[1][0]), (6, 3));
}

#[test]
fn matrices_from_shared_memory() {
    // Element (r, c) of matrix j is 256 j + 16 r + c; rows are stored in reverse, 32 bytes apart.
    let fill = "mov.u32 %r20, sm; shl.b32 %r21, %r0, 8;
        shr.u32 %r22, %r0, 3; and.b32 %r23, %r0, 7; shl.b32 %r24, %r22, 8; shl.b32 %r25, %r23, 4; add.u32 %r26, %r24, %r25;
        sub.u32 %r27, 31, %r0; shl.b32 %r27, %r27, 5; add.u32 %r28, %r20, %r27;
        add.u32 %r29, %r26, 1; prmt.b32 %r30, %r26, %r29, 0x5410; st.shared.u32 [%r28], %r30;
        add.u32 %r30, %r30, 0x00020002; st.shared.u32 [%r28+4], %r30; add.u32 %r30, %r30, 0x00020002; st.shared.u32 [%r28+8], %r30; add.u32 %r30, %r30, 0x00020002; st.shared.u32 [%r28+12], %r30;";
    let at = |j: u32, r: u32, c: u32| 256 * j + 16 * r + c;
    let plain =
        warp(&format!("{fill} ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{%r11, %r12, %r13, %r14}}, [%r28];"), |_| {
            [0; 4]
        });
    let trans = warp(
        &format!("{fill} ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {{%r11, %r12, %r13, %r14}}, [%r28];"),
        |_| [0; 4],
    );
    for l in 0..32u32 {
        for j in 0..4 {
            let (row, col) = (l / 4, 2 * (l % 4));
            assert_eq!(plain[l as usize][j as usize], at(j, row, col) | at(j, row, col + 1) << 16);
            assert_eq!(trans[l as usize][j as usize], at(j, col, row) | at(j, col + 1, row) << 16);
        }
    }
    let x2 = warp(
        &format!(
            "{fill} ldmatrix.sync.aligned.x2.m8n8.shared.b16 {{%r11, %r12}}, [%r28]; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {{%r13}}, [%r28]; movmatrix.sync.aligned.m8n8.trans.b16 %r14, %r13;"
        ),
        |_| [0; 4],
    );
    for l in 0..32usize {
        assert_eq!(x2[l][..3], [plain[l][0], plain[l][1], plain[l][0]]);
        assert_eq!(x2[l][3], trans[l][0]);
    }
    let back = warp(
        "mov.u32 %r20, sm; shl.b32 %r21, %r0, 4; add.u32 %r20, %r20, %r21; stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%r20], {%r1, %r2, %r3, %r4}; ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r11, %r12, %r13, %r14}, [%r20];",
        |l| [l, 100 + l, 7 * l, l << 16],
    );
    for l in 0..32u32 {
        assert_eq!(back[l as usize], [l, 100 + l, 7 * l, l << 16]);
    }
}

fn half(x: i32) -> u32 {
    // Small integers are exact; enough for the tests.
    let f = (x as f32).to_bits();
    if x == 0 { 0 } else { (f >> 16 & 0x8000) | (((f >> 23 & 0xff) - 112) << 10) | (f >> 13 & 0x3ff) }
}
fn a_val(r: usize, k: usize) -> i32 {
    ((r * 7 + k * 3) % 9) as i32 - 4
}
fn b_val(k: usize, n: usize) -> i32 {
    ((k * 5 + n * 11) % 7) as i32 - 3
}

#[test]
fn mma_fragments() {
    // The rows and columns of every element, as the ISA gives them for m16n8k16.
    let a_at = |l: usize, i: usize| {
        (l / 4 + if matches!(i, 0 | 1 | 4 | 5) { 0 } else { 8 }, 2 * (l % 4) + (i & 1) + if i >= 4 { 8 } else { 0 })
    };
    let b_at = |l: usize, i: usize| (2 * (l % 4) + (i & 1) + if i >= 2 { 8 } else { 0 }, l / 4);
    let c_at = |l: usize, i: usize| (l / 4 + if i < 2 { 0 } else { 8 }, 2 * (l % 4) + (i & 1));
    for k in [16usize, 8] {
        let want = |r: usize, n: usize| (0..k).map(|j| a_val(r, j) * b_val(j, n)).sum::<i32>() + (r as i32 - n as i32);
        // A warp-wide table of registers: lane and register give the value.
        let a_reg = |l: usize, q: usize| {
            let e = |i: usize| {
                let (r, c) = a_at(l, i);
                half(a_val(r, c))
            };
            e(2 * q) | e(2 * q + 1) << 16
        };
        let b_reg = |l: usize, q: usize| {
            let e = |i: usize| {
                let (kk, n) = b_at(l, i);
                half(b_val(kk, n))
            };
            e(2 * q) | e(2 * q + 1) << 16
        };
        let load = |name: &str, regs: usize, first: usize, f: &dyn Fn(usize, usize) -> u32| -> String {
            // Values reach lanes through selections on the lane number: no memory involved.
            let mut s = String::new();
            for q in 0..regs {
                s += &format!("mov.u32 %{name}{}, 0;", first + q);
                for l in 0..32 {
                    s += &format!("setp.eq.u32 %p9, %r0, {l}; @%p9 mov.u32 %{name}{}, {};", first + q, f(l, q));
                }
            }
            s
        };
        let (na, nb) = if k == 16 { (4, 2) } else { (2, 1) };
        let mut body = load("r", na, 30, &a_reg) + &load("r", nb, 40, &b_reg);
        body += &load("r", 4, 50, &|l, i| {
            let (r, n) = c_at(l, i);
            ((r as i32 - n as i32) as f32).to_bits()
        });
        body += &load("r", 2, 60, &|l, q| {
            let e = |i: usize| {
                let (r, n) = c_at(l, i);
                half(r as i32 - n as i32)
            };
            e(2 * q) | e(2 * q + 1) << 16
        });
        let (ar, br) = if k == 16 { ("{%r30, %r31, %r32, %r33}", "{%r40, %r41}") } else { ("{%r30, %r31}", "{%r40}") };
        let f32_out = warp(
            &format!(
                "{body} mma.sync.aligned.m16n8k{k}.row.col.f32.f16.f16.f32 {{%r11, %r12, %r13, %r14}}, {ar}, {br}, {{%r50, %r51, %r52, %r53}};"
            ),
            |_| [0; 4],
        );
        let f16_out = warp(
            &format!(
                "{body} mma.sync.aligned.m16n8k{k}.row.col.f16.f16.f16.f16 {{%r11, %r12}}, {ar}, {br}, {{%r60, %r61}};"
            ),
            |_| [0; 4],
        );
        for l in 0..32 {
            for i in 0..4 {
                let (r, n) = c_at(l, i);
                assert_eq!(f32::from_bits(f32_out[l][i]), want(r, n) as f32, "k{k} lane {l} element {i}");
                assert_eq!(
                    f16_out[l][i / 2] >> (16 * (i & 1)) & 0xffff,
                    half(want(r, n)),
                    "k{k} f16 lane {l} element {i}"
                );
            }
        }
    }
}

#[test]
fn wmma_multiplies_whole_tiles() {
    for (a_row, b_row, d_row) in [(true, true, true), (true, false, true), (false, true, false), (false, false, true)] {
        let lay = |r: bool| if r { "row" } else { "col" };
        let ptx = format!(
            "{HEAD}.visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pd, .param .u64 ph)
            {{ .reg .b32 %r<60>; .reg .f32 %f<20>; .reg .b64 %rd<9>; .shared .align 32 .b8 s[1024];
            ld.param.u64 %rd1, [pa]; ld.param.u64 %rd2, [pb]; ld.param.u64 %rd3, [pd]; ld.param.u64 %rd4, [ph];
            wmma.load.a.sync.aligned.{}.m16n16k16.global.f16 {{%r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8}}, [%rd1], 24;
            wmma.load.b.sync.aligned.{}.m16n16k16.global.f16 {{%r11, %r12, %r13, %r14, %r15, %r16, %r17, %r18}}, [%rd2], 16;
            mov.f32 %f1, 0f3F800000;
            wmma.mma.sync.aligned.{0}.{1}.m16n16k16.f32.f32 {{%f2, %f3, %f4, %f5, %f6, %f7, %f8, %f9}}, {{%r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8}}, {{%r11, %r12, %r13, %r14, %r15, %r16, %r17, %r18}}, {{%f1, %f1, %f1, %f1, %f1, %f1, %f1, %f1}};
            wmma.store.d.sync.aligned.{2}.m16n16k16.global.f32 [%rd3], {{%f2, %f3, %f4, %f5, %f6, %f7, %f8, %f9}}, 16;
            mov.u32 %r20, 0;
            wmma.mma.sync.aligned.{0}.{1}.m16n16k16.f16.f16 {{%r21, %r22, %r23, %r24}}, {{%r1, %r2, %r3, %r4, %r5, %r6, %r7, %r8}}, {{%r11, %r12, %r13, %r14, %r15, %r16, %r17, %r18}}, {{%r20, %r20, %r20, %r20}};
            mov.u32 %r30, s;
            wmma.store.d.sync.aligned.{2}.m16n16k16.shared.f16 [%r30], {{%r21, %r22, %r23, %r24}}, 24;
            bar.sync 0;
            wmma.load.c.sync.aligned.{2}.m16n16k16.shared.f16 {{%r31, %r32, %r33, %r34}}, [%r30], 24;
            wmma.store.d.sync.aligned.{2}.m16n16k16.global.f16 [%rd4], {{%r31, %r32, %r33, %r34}}, 16;
            ret; }}",
            lay(a_row), lay(b_row), lay(d_row)
        );
        let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
        let mut d = Device::new();
        let put = |d: &mut Device, row: bool, ld: usize, f: &dyn Fn(usize, usize) -> i32| {
            let mut v = vec![0u8; 2 * 16 * ld];
            for r in 0..16 {
                for c in 0..16 {
                    let i = if row { r * ld + c } else { c * ld + r };
                    v[2 * i..2 * i + 2].copy_from_slice(&(half(f(r, c)) as u16).to_le_bytes());
                }
            }
            let p = d.memory.alloc(v.len() as u64, "m").unwrap();
            d.memory.write(p, &v).unwrap();
            p
        };
        let a = put(&mut d, a_row, 24, &a_val);
        let b = put(&mut d, b_row, 16, &b_val);
        let (o, h) = (d.memory.alloc(1024, "d").unwrap(), d.memory.alloc(512, "h").unwrap());
        let params: Vec<u8> = [a, b, o, h].iter().flat_map(|x| x.to_le_bytes()).collect();
        let r = d.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(32), 0, &params).unwrap();
        assert!(r.clean(), "{:?}", r.findings);
        assert_eq!((r.counters.mma_instructions, r.counters.issued_macs), (2, 8192));
        let (mut out, mut outh) = (vec![0; 1024], vec![0; 512]);
        d.memory.read(o, &mut out).unwrap();
        d.memory.read(h, &mut outh).unwrap();
        for r in 0..16 {
            for c in 0..16 {
                let i = if d_row { r * 16 + c } else { c * 16 + r };
                let s: i32 = (0..16).map(|k| a_val(r, k) * b_val(k, c)).sum();
                let g = f32::from_le_bytes([out[4 * i], out[4 * i + 1], out[4 * i + 2], out[4 * i + 3]]);
                assert_eq!(g, (s + 1) as f32);
                assert_eq!(u32::from(u16::from_le_bytes([outh[2 * i], outh[2 * i + 1]])), half(s));
            }
        }
    }
}

#[test]
fn asynchronous_copies() {
    // Three sizes of source: all, half, nothing; what is missing is zero. A size of nothing reads no memory.
    let got = warp(
        "mov.u32 %r20, sm; shl.b32 %r21, %r0, 4; add.u32 %r20, %r20, %r21; rem.u32 %r22, %r0, 3; shl.b32 %r23, %r22, 3;
         setp.eq.u32 %p1, %r22, 0; mov.u64 %rd10, 0; selp.b64 %rd11, %rd10, %rd4, %p1;
         cp.async.cg.shared.global [%r20], [%rd11], 16, %r23; cp.async.commit_group; cp.async.wait_group 0;
         ld.shared.v4.u32 {%r11, %r12, %r13, %r14}, [%r20];",
        |l| [l + 1, l + 2, l + 3, l + 4],
    );
    for l in 0..32u32 {
        let want = match l % 3 {
            0 => [0; 4],
            1 => [l + 1, l + 2, 0, 0],
            _ => [l + 1, l + 2, l + 3, l + 4],
        };
        assert_eq!(got[l as usize], want);
    }
    let got = warp(
        "mov.u32 %r20, sm; shl.b32 %r21, %r0, 4; add.u32 %r20, %r20, %r21; setp.lt.u32 %p1, %r0, 8;
         cp.async.ca.shared.global [%r20], [%rd4], 4; cp.async.ca.shared.global [%r20+4], [%rd4+4], 4, 2;
         cp.async.ca.shared.global.L2::128B [%r20+8], [%rd4+8], 8, %p1; cp.async.wait_all;
         ld.shared.v4.u32 {%r11, %r12, %r13, %r14}, [%r20];",
        |_| [0x1111_2222, 0x3333_4444, 5, 6],
    );
    assert_eq!(got[3], [0x1111_2222, 0x4444, 0, 0]);
    assert_eq!(got[8], [0x1111_2222, 0x4444, 5, 6]);
    // wait_group 1 leaves the latest group pending.
    let (_, r) = warp_report(
        "mov.u32 %r20, sm; shl.b32 %r21, %r0, 2; add.u32 %r20, %r20, %r21;
         cp.async.ca.shared.global [%r20], [%rd4], 4; cp.async.commit_group; cp.async.ca.shared.global [%r20+128], [%rd4], 4; cp.async.commit_group; cp.async.wait_group 1;
         ld.shared.u32 %r11, [%r20];",
        |l| [l; 4],
    );
    assert!(r.clean(), "{:?}", r.findings);
    let (_, r) = warp_report(
        "mov.u32 %r20, sm; shl.b32 %r21, %r0, 2; add.u32 %r20, %r20, %r21;
         cp.async.ca.shared.global [%r20], [%rd4], 4; cp.async.commit_group; cp.async.ca.shared.global [%r20+128], [%rd4], 4; cp.async.commit_group; cp.async.wait_group 1;
         ld.shared.u32 %r11, [%r20+128];",
        |l| [l; 4],
    );
    assert!(!r.clean());
}

#[test]
fn loads_and_stores_of_every_width() {
    let got = warp(
        "mov.u32 %r20, sm; shl.b32 %r21, %r0, 4; add.u32 %r20, %r20, %r21; st.shared.v2.u32 [%r20], {%r1, %r2}; st.shared.v4.u16 [%r20+8], {%r3, %r4, %r1, %r2};
         ld.shared.s8 %r11, [%r20]; ld.shared.u16 %r12, [%r20+2]; ld.shared.s16 %r13, [%r20+2]; ld.shared.u32 %r14, [%r20+12];",
        |_| [0x8001_00f0, 2, 3, 4],
    );
    assert_eq!(got[5], [0xffff_fff0, 0x8001, 0xffff_8001, 0x0002_00f0]);
    // A generic address reaches shared memory; a narrow store takes the low bytes of a wide register.
    let got = warp(
        "mov.u32 %r20, sm; shl.b32 %r21, %r0, 4; add.u32 %r20, %r20, %r21; cvt.u64.u32 %rd10, %r20; cvta.shared.u64 %rd11, %rd10;
         mov.b64 %rd12, {%r1, %r2}; st.u32 [%rd11], %rd12; st.u8 [%rd11+4], %rd12; ld.u32 %r11, [%rd11]; ld.shared.u8 %r12, [%r20+4]; ld.u32 %rd13, [%rd11]; cvt.u32.u64 %r13, %rd13; ld.global.nc.u32 %r14, [%rd4+8];",
        |l| [0xabcd_0000 + l, 2, 77, 4],
    );
    assert_eq!(got[9], [0xabcd_0009, 9, 0xabcd_0009, 77]);
    // Local memory is each lane's own.
    let got = warp(
        "{ .local .align 8 .b8 stack[32]; mov.u64 %rd10, stack; cvta.local.u64 %rd11, %rd10; st.local.u32 [%rd10+8], %r1; ld.u32 %r11, [%rd11+8]; st.local.v2.u32 [stack+16], {%r1, %r2}; ld.local.u64 %rd12, [stack+16]; mov.b64 {%r12, %r13}, %rd12; }",
        |l| [l, l + 1, 0, 0],
    );
    assert_eq!(got[30][..3], [30, 30, 31]);
}

#[test]
fn functions_and_parameters() {
    let ptx = format!(
        "{HEAD}.const .align 4 .b8 table[8] = {{1, 0, 0, 0, 200, 0, 0, 0}};
        .global .align 4 .u32 counter = 5;
        .func (.param .b32 r) scale(.param .b32 x, .param .b32 y)
        {{ .reg .b32 %a<4>; .reg .pred %q<2>; ld.param.u32 %a1, [x]; ld.param.u32 %a2, [y]; setp.lt.u32 %q1, %a1, 16; @%q1 bra SMALL; mul.lo.u32 %a3, %a1, %a2; st.param.b32 [r], %a3; ret; SMALL: st.param.b32 [r], %a1; ret; }}
        .visible .entry k(.param .u64 out, .param .align 8 .b8 s[16])
        {{ .reg .b32 %r<20>; .reg .b64 %rd<9>; .reg .f32 %f<2>;
        ld.param.u64 %rd1, [out]; ld.param.v2.u32 {{%r1, %r2}}, [s+8]; ld.param.u8 %r3, [s];
        mov.u32 %r4, %tid.x; mul.wide.u32 %rd2, %r4, 16; add.s64 %rd3, %rd1, %rd2;
        {{ .param .b32 p0; st.param.b32 [p0+0], %r4; .param .b32 p1; st.param.b32 [p1+0], %r2; .param .b32 ret0; call.uni (ret0), scale, (p0, p1); ld.param.b32 %r5, [ret0+0]; }}
        ld.const.u32 %r6, [table+4]; mov.u64 %rd4, counter; atom.global.add.u32 %r7, [%rd4], 1; ld.global.u32 %r8, [counter];
        mov.b64 %rd5, s; cvta.param.u64 %rd6, %rd5; ld.param.u32 %r9, [%rd5+8];
        st.global.v4.u32 [%rd3], {{%r5, %r6, %r7, %r9}}; ret; }}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    let o = d.memory.alloc(512, "out").unwrap();
    let mut params = o.to_le_bytes().to_vec();
    params.extend([9u8, 0, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0, 3, 0, 0, 0]);
    let e = m.entry("k").unwrap();
    assert_eq!(e.params(), [(0, 8), (8, 16)]);
    let r = d.launch(e, Dim3::x(1), Dim3::x(32), 0, &params).unwrap();
    assert!(r.clean(), "{:?}", r.findings);
    let mut out = vec![0; 512];
    d.memory.read(o, &mut out).unwrap();
    let w = |l: usize, i: usize| u32::from_le_bytes(out[16 * l + 4 * i..16 * l + 4 * i + 4].try_into().unwrap());
    for l in 0..32 {
        let x = l as u32;
        assert_eq!([w(l, 0), w(l, 1), w(l, 2), w(l, 3)], [if x < 16 { x } else { 3 * x }, 200, 5 + x, 21]);
    }
}

fn block(ptx_body: &str, threads: u32) -> (Vec<u32>, Report) {
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 pout) {{ .reg .pred %p<9>; .reg .b32 %r<40>; .reg .b64 %rd<9>; .shared .align 16 .b8 sm[4096];
        ld.param.u64 %rd1, [pout]; mov.u32 %r0, %tid.x; mul.wide.u32 %rd2, %r0, 4; add.s64 %rd3, %rd1, %rd2; mov.u32 %r1, sm; shl.b32 %r2, %r0, 2; add.u32 %r2, %r2, %r1; shr.u32 %r3, %r0, 5;
        {ptx_body} st.global.u32 [%rd3], %r11; ret; }}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    let o = d.memory.alloc(4 * u64::from(threads), "out").unwrap();
    let r = d.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(threads), 0, &o.to_le_bytes()).unwrap();
    let mut out = vec![0; 4 * threads as usize];
    d.memory.read(o, &mut out).unwrap();
    (out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect(), r)
}

#[test]
fn barriers() {
    let (out, r) = block(
        "st.shared.u32 [%r2], %r0; bar.sync 0; sub.u32 %r4, 99, %r0; shl.b32 %r4, %r4, 2; add.u32 %r4, %r4, %r1; ld.shared.u32 %r11, [%r4];",
        100,
    );
    assert!(r.clean(), "{:?}", r.findings);
    assert!(out.iter().enumerate().all(|(i, x)| *x == 99 - i as u32));
    let (out, r) = block(
        "setp.lt.u32 %p1, %r0, 70; bar.red.popc.u32 %r11, 0, %p1; bar.red.and.pred %p2, 0, %p1; @%p2 mov.u32 %r11, 0; bar.red.or.pred %p2, 0, %p1; @!%p2 mov.u32 %r11, 0;",
        100,
    );
    assert!(r.clean(), "{:?}", r.findings);
    assert!(out.iter().all(|x| *x == 70));
    // A producer that only arrives, consumers that wait: barrier 1 for all 128 threads.
    let (out, r) = block(
        "setp.eq.u32 %p1, %r3, 0; @!%p1 bra WAIT; mov.u32 %r5, 42; st.shared.u32 [%r2], %r5; bar.arrive 1, 128; mov.u32 %r11, 1; bra OUT; WAIT: bar.sync 1, 128; and.b32 %r6, %r0, 31; shl.b32 %r6, %r6, 2; add.u32 %r6, %r6, %r1; ld.shared.u32 %r11, [%r6]; OUT: ",
        128,
    );
    assert!(r.clean(), "{:?}", r.findings);
    assert!(out[..32].iter().all(|x| *x == 1) && out[32..].iter().all(|x| *x == 42));
    // Threads that have returned are not waited for.
    let (_, r) =
        block("mov.u32 %r11, 3; st.global.u32 [%rd3], %r11; setp.gt.u32 %p1, %r0, 40; @%p1 ret; bar.sync 0;", 128);
    assert!(r.clean(), "{:?}", r.findings);
}

#[test]
fn atomics() {
    let (out, r) = block(
        "setp.eq.u32 %p1, %r0, 0; mov.u32 %r5, 0; @%p1 st.shared.u32 [%r1], %r5; @%p1 st.shared.u32 [%r1+4], %r5; bar.sync 0;
         atom.shared.add.u32 %r6, [%r1], 2; red.shared.max.u32 [%r1+4], %r0; bar.sync 0; ld.shared.u32 %r7, [%r1]; ld.shared.u32 %r8, [%r1+4]; add.u32 %r11, %r7, %r8; bar.sync 0;
         atom.shared.cas.b32 %r9, [%r1], 200, 7; atom.shared.inc.u32 %r10, [%r1+4], 1;",
        100,
    );
    assert!(r.clean(), "{:?}", r.findings);
    assert!(out.iter().all(|x| *x == 200 + 99));
}

#[test]
fn counters_of_known_patterns() {
    // 32 lanes of four bytes in a row: four sectors; stride 32 bytes: 32 sectors; banks likewise.
    let (_, r) = block(
        "mov.u32 %r11, 0; st.shared.u32 [%r2], %r0; shl.b32 %r4, %r0, 7; and.b32 %r4, %r4, 4095; add.u32 %r4, %r4, %r1; st.shared.u32 [%r4], %r0; bar.warp.sync 0xffffffff; ld.shared.u32 %r5, [%r1];",
        32,
    );
    let c = &r.counters;
    assert_eq!((c.global_store.requests, c.global_store.sectors, c.global_store.bytes), (1, 4, 128));
    assert_eq!((c.shared_store.requests, c.shared_store.wavefronts, c.shared_store.ideal), (2, 33, 2));
    assert_eq!((c.shared_load.requests, c.shared_load.wavefronts), (1, 1), "one word for all lanes is one pass");
    assert_eq!(c.mix["st.shared.u32"], 2);
    let json = c.to_json();
    assert!(json.contains("\"shared_store\":{\"requests\":2,\"wavefronts\":33,\"ideal\":2}"), "{json}");
}
