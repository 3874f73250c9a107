//! Forms that kernels use seldom, against the ISA's rules worked out here by other means than the emulator's.

use gpu_emulator::{Device, Dim3, Kind, Module, Report};

const HEAD: &str = ".version 9.0\n.target sm_90a\n.address_size 64\n";
const REGS: &str = ".reg .pred %p<9>; .reg .b8 %c<9>; .reg .b16 %h<20>; .reg .b32 %r<60>; .reg .f32 %f<60>;
    .reg .b64 %rd<40>; .reg .f64 %fd<60>; .reg .b128 %q<4>; .shared .align 128 .b8 sm[4096];";

/// Runs one block of a module whose kernel is `k(in, out)`, with 512 bytes for each.
fn launch(ptx: &str, threads: u32, cluster: u32, input: &[u32]) -> (Vec<u32>, Report) {
    let m = Module::load(ptx).unwrap_or_else(|e| panic!("{e}\n{ptx}"));
    let mut d = Device::new();
    let (a, b) = (d.memory.alloc(512, "in").unwrap(), d.memory.alloc(512, "out").unwrap());
    let bytes: Vec<u8> = (0..128).flat_map(|i| input.get(i).copied().unwrap_or(0).to_le_bytes()).collect();
    d.memory.write(a, &bytes).unwrap();
    d.memory.write(b, &[0; 512]).unwrap();
    let params: Vec<u8> = [a, b].iter().flat_map(|p| p.to_le_bytes()).collect();
    d.options.max_instructions = 1 << 20;
    let entry = m.entry("k").unwrap();
    let r = d.launch_clusters(entry, Dim3::x(cluster), Dim3::x(threads), Some(Dim3::x(cluster)), 0, &params).unwrap();
    let mut out = vec![0; 512];
    d.memory.read(b, &mut out).unwrap();
    (out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect(), r)
}

/// One thread a lane: `%r1..%r4` are its four words, what it leaves in `%r11..%r14` is returned.
fn lanes(functions: &str, body: &str, input: impl Fn(u32) -> [u32; 4]) -> Vec<[u32; 4]> {
    let words: Vec<u32> = (0..32).flat_map(input).collect();
    let ptx = format!(
        "{HEAD}{functions}.visible .entry k(.param .u64 pin, .param .u64 pout)\n{{ {REGS}
    ld.param.u64 %rd1, [pin]; ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; mul.wide.u32 %rd3, %r0, 16;
    add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3; ld.global.v4.u32 {{%r1, %r2, %r3, %r4}}, [%rd4];
    mov.u32 %r11, 0; mov.u32 %r12, 0; mov.u32 %r13, 0; mov.u32 %r14, 0;
    {body}
    st.global.v4.u32 [%rd5], {{%r11, %r12, %r13, %r14}}; ret; }}"
    );
    let (out, r) = launch(&ptx, 32, 1, &words);
    assert!(r.clean(), "{:?}", r.findings);
    out.chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect()
}

fn noise(i: u32) -> u32 {
    let x = (i.wrapping_add(1)).wrapping_mul(0x9e37_79b9);
    (x ^ x >> 15).wrapping_mul(0x85eb_ca6b) ^ x >> 7
}

#[test]
fn carries_chain() {
    // 128 bits in four words: sums, differences and a product of 64 by 64 bits.
    let input =
        |l: u32| std::array::from_fn(|i| if l < 4 { u32::MAX - (l + i as u32) % 2 } else { noise(4 * l + i as u32) });
    let got = lanes(
        "",
        "add.cc.u32 %r11, %r1, %r3; addc.cc.u32 %r12, %r2, %r4; addc.u32 %r13, 0, 0;
         sub.cc.u32 %r20, %r1, %r3; subc.cc.u32 %r21, %r2, %r4; subc.u32 %r22, 0, 0; xor.b32 %r14, %r20, %r21; xor.b32 %r14, %r14, %r22;",
        input,
    );
    for (l, g) in got.iter().enumerate() {
        let w = input(l as u32);
        let (a, b) = (u64::from(w[0]) | u64::from(w[1]) << 32, u64::from(w[2]) | u64::from(w[3]) << 32);
        let sum = u128::from(a) + u128::from(b);
        assert_eq!(g[..3], [sum as u32, (sum >> 32) as u32, (sum >> 64) as u32], "lane {l}");
        let (d, under) = a.overflowing_sub(b);
        assert_eq!(g[3], d as u32 ^ (d >> 32) as u32 ^ if under { u32::MAX } else { 0 }, "lane {l}");
    }
    let got = lanes(
        "",
        "mul.lo.u32 %r11, %r1, %r3; mul.hi.u32 %r12, %r1, %r3; mad.lo.cc.u32 %r12, %r1, %r4, %r12; madc.hi.u32 %r13, %r1, %r4, 0;
         mad.lo.cc.u32 %r12, %r2, %r3, %r12; madc.hi.cc.u32 %r13, %r2, %r3, %r13; addc.u32 %r14, 0, 0;
         mad.lo.cc.u32 %r13, %r2, %r4, %r13; madc.hi.u32 %r14, %r2, %r4, %r14;",
        input,
    );
    for (l, g) in got.iter().enumerate() {
        let w = input(l as u32).map(u128::from);
        let p = (w[0] | w[1] << 32) * (w[2] | w[3] << 32);
        assert_eq!(*g, [0, 32, 64, 96].map(|s| (p >> s) as u32), "lane {l}");
    }
}

/// The number of an eight-bit float by its definition.
fn eight(code: u32, fraction_bits: i32, bias: i32, infinity: bool) -> f64 {
    let exponent = (code & 0x7f) as i32 >> fraction_bits;
    let fraction = (code & ((1 << fraction_bits) - 1)) as f64;
    let top = (1 << (7 - fraction_bits)) - 1;
    let v = if infinity && exponent == top {
        if fraction == 0.0 { f64::INFINITY } else { f64::NAN }
    } else if !infinity && code & 0x7f == 0x7f {
        f64::NAN
    } else if exponent == 0 {
        fraction * 2f64.powi(1 - bias - fraction_bits)
    } else {
        (1.0 + fraction / 2f64.powi(fraction_bits)) * 2f64.powi(exponent - bias)
    };
    if code & 0x80 != 0 { -v } else { v }
}

#[test]
fn eight_bit_floats_convert_to_the_nearest() {
    for (name, fraction_bits, bias, infinity, largest) in [("e4m3", 3, 7, false, 448.0), ("e5m2", 2, 15, true, 57344.0)]
    {
        let finite: Vec<(u32, f64)> =
            (0..128).map(|c| (c, eight(c, fraction_bits, bias, infinity))).filter(|x| x.1.is_finite()).collect();
        // Every code's value, values between two codes, their middles, and what is too large.
        let mut values: Vec<f32> = Vec::new();
        for pair in finite.windows(2) {
            let (a, b) = (pair[0].1, pair[1].1);
            values.extend([a, (a + b) / 2.0, a * 0.6 + b * 0.4].map(|x| x as f32));
        }
        values.extend([largest as f32, largest as f32 * 4.0, f32::INFINITY]);
        for chunk in values.chunks(64) {
            let at = |l: u32, i: u32| chunk.get((2 * l + i) as usize).copied().unwrap_or(0.0);
            let got = lanes(
                "",
                &format!(
                    "mov.b32 %f1, %r1; mov.b32 %f2, %r2; cvt.rn.satfinite.{name}x2.f32 %h1, %f1, %f2; cvt.u32.u16 %r11, %h1;
                     cvt.rn.f16x2.{name}x2 %r12, %h1; neg.f32 %f1, %f1; cvt.rn.satfinite.relu.{name}x2.f32 %h2, %f1, %f2;
                     cvt.u32.u16 %r13, %h2; mov.u32 %r14, 0;"
                ),
                |l| [at(l, 0).to_bits(), at(l, 1).to_bits(), 0, 0],
            );
            for (l, g) in got.iter().enumerate() {
                for (i, code) in [(0, g[0] >> 8), (1, g[0] & 0xff)] {
                    let x = f64::from(at(l as u32, i)).min(largest);
                    let best = finite.iter().map(|f| (f.1 - x).abs()).fold(f64::INFINITY, f64::min);
                    let v = eight(code, fraction_bits, bias, infinity);
                    assert_eq!((v - x).abs(), best, "{name} of {x}: {code:#x}");
                    let ties = finite.iter().filter(|f| (f.1 - x).abs() == best).count();
                    assert!(ties == 1 || code & 1 == 0, "{name} of {x}: a tie goes to the even code, not {code:#x}");
                    let half = half::f16::from_bits((g[1] >> if i == 0 { 16 } else { 0 }) as u16).to_f64();
                    assert_eq!(half, v, "{name} {code:#x} as a half");
                }
                assert_eq!(g[2] >> 8, 0, "a negative number with .relu");
                assert_eq!(g[2] & 0xff, g[0] & 0xff);
            }
        }
    }
}

#[test]
fn bits_bytes_and_masks() {
    let input = |l: u32| [noise(l), noise(l + 100), l % 40, (l * 7) % 40];
    let got = lanes(
        "",
        "szext.clamp.s32 %r11, %r1, %r3; bmsk.clamp.b32 %r12, %r3, %r4; dp2a.hi.s32.u32 %r13, %r1, %r2, %r3;
         mov.b32 {%c1, %c2, %c3, %c4}, %r1; mov.b32 %r14, {%c4, %c3, %c2, %c1};",
        input,
    );
    for (l, g) in got.iter().enumerate() {
        let w = input(l as u32);
        let bits: Vec<bool> = (0..32).map(|i| w[0] >> i & 1 != 0).collect();
        let n = w[2].min(32) as usize;
        let sign = n > 0 && bits[n - 1];
        let want = (0..32).fold(0u32, |v, i| v | u32::from(if i < n { bits[i] } else { sign }) << i);
        assert_eq!(g[0], want, "szext of {n} bits");
        let mask = (0..32u32).filter(|i| *i >= w[2] && *i < w[2] + w[3]).fold(0u32, |v, i| v | 1 << i);
        assert_eq!(g[1], mask, "bmsk {} {}", w[2], w[3]);
        let a = [w[0] as i16, (w[0] >> 16) as i16].map(i64::from);
        let b = [w[1] >> 16 & 0xff, w[1] >> 24].map(i64::from);
        assert_eq!(g[2], (a[0] * b[0] + a[1] * b[1] + i64::from(w[2])) as u32);
        assert_eq!(g[3], w[0].swap_bytes());
    }
}

#[test]
fn minima_know_nan_and_signs() {
    let cases: [f32; 8] = [f32::NAN, -0.0, 0.0, 1.0, -2.0, 3.5, f32::INFINITY, -1e-40];
    let at = |l: u32| (cases[l as usize % 8], cases[(l as usize / 8 + l as usize) % 8]);
    let got = lanes(
        "",
        "mov.b32 %f1, %r1; mov.b32 %f2, %r2; min.NaN.f32 %f3, %f1, %f2; max.xorsign.abs.f32 %f4, %f1, %f2; max.ftz.NaN.f32 %f5, %f1, %f2;
         mov.b32 %r11, %f3; mov.b32 %r12, %f4; mov.b32 %r13, %f5; mov.u32 %r14, 0;",
        |l| [at(l).0.to_bits(), at(l).1.to_bits(), 0, 0],
    );
    for (l, g) in got.iter().enumerate() {
        let (a, b) = at(l as u32);
        if a.is_nan() || b.is_nan() {
            assert_eq!((g[0], g[2]), (0x7fff_ffff, 0x7fff_ffff), "{a} {b}");
        } else {
            assert_eq!(f32::from_bits(g[0]), if a < b { a } else { b }, "{a} {b}");
            let large = a.abs().max(b.abs()).copysign(a.signum() * b.signum());
            assert_eq!(f32::from_bits(g[1]), large, "{a} {b}");
            let flat = |x: f32| if x.is_subnormal() { 0f32.copysign(x) } else { x };
            assert_eq!(f32::from_bits(g[2]), flat(a).max(flat(b)), "{a} {b}");
        }
    }
}

#[test]
fn directed_rounding_brackets_the_exact_result() {
    let got = lanes(
        "",
        "mov.b32 %f1, %r1; mov.b32 %f2, %r2; div.rm.f32 %f3, %f1, %f2; div.rp.f32 %f4, %f1, %f2; sqrt.rz.f32 %f5, %f1; div.rn.f32 %f6, %f1, %f2;
         mov.b32 %r11, %f3; mov.b32 %r12, %f4; mov.b32 %r13, %f5; mov.b32 %r14, %f6;",
        |l| [(1.0 + l as f32 * 0.37).to_bits(), (3.0 + l as f32 * 0.11).to_bits(), 0, 0],
    );
    for (l, g) in got.iter().enumerate() {
        let (a, b) = (f64::from(1.0 + l as f32 * 0.37), f64::from(3.0 + l as f32 * 0.11));
        let [down, up, root, near] = g.map(f32::from_bits);
        // Products of two singles are exact as doubles.
        assert!(f64::from(down) * b <= a && f64::from(up) * b >= a, "lane {l}");
        assert!(up == down || up == down.next_up(), "lane {l}");
        assert!(near == up || near == down, "lane {l}");
        assert!(f64::from(root).powi(2) <= a && f64::from(root.next_up()).powi(2) > a, "lane {l}");
    }
}

#[test]
fn wide_registers_and_atomics() {
    let got = lanes(
        "",
        "mov.b64 %rd6, {%r1, %r2}; mov.b64 %rd7, {%r3, %r4}; mov.b128 %q1, {%rd6, %rd7}; mul.lo.u32 %r30, %r0, 16; mov.u32 %r31, sm;
         add.u32 %r30, %r30, %r31; st.shared.b128 [%r30], %q1; mov.b128 %q2, {%rd7, %rd6};
         atom.shared.exch.b128 %q3, [%r30], %q2; mov.b128 {%rd8, %rd9}, %q3; atom.shared.cas.b128 %q3, [%r30], %q1, %q1;
         ld.shared.v4.u32 {%r11, %r12, %r13, %r14}, [%r30]; mov.b64 {%r20, %r21}, %rd8; xor.b32 %r11, %r11, %r20;",
        |l| [noise(l), noise(l + 32), noise(l + 64), noise(l + 96)],
    );
    for (l, g) in got.iter().enumerate() {
        let w: [u32; 4] = std::array::from_fn(|i| noise(l as u32 + 32 * i as u32));
        // Exchanged for the other half first; the comparison then fails.
        assert_eq!(*g, [w[2] ^ w[0], w[3], w[0], w[1]], "lane {l}");
    }
}

#[test]
fn functions_are_called_by_name_and_by_address() {
    let functions = ".func (.reg .b32 o) twice (.reg .b32 i) { add.u32 o, i, i; ret; }
.func (.param .b32 o) first (.param .b32 i) { .reg .b32 t; ld.param.b32 t, [i]; add.u32 t, t, 100; st.param.b32 [o], t; ret; }
.func (.param .b32 o) second (.param .b32 i) { .reg .b32 t; ld.param.b32 t, [i]; mul.lo.u32 t, t, 3; st.param.b32 [o], t; ret; }
.global .align 8 .u64 table[2] = {first, second};
.global .align 4 .u32 numbers[3] = {7, 8, 9};
.global .align 8 .u64 place = generic(numbers)+4;
";
    let got = lanes(
        functions,
        "call (%r11), twice, (%r1); and.b32 %r20, %r0, 1; mul.wide.u32 %rd6, %r20, 8; mov.u64 %rd7, table; add.u64 %rd6, %rd6, %rd7;
         ld.global.u64 %rd8, [%rd6];
         proto: .callprototype (.param .b32 _) _ (.param .b32 _);
         { .param .b32 x; .param .b32 y; st.param.b32 [x], %r1; call (y), %rd8, (x), proto; ld.param.b32 %r12, [y]; }
         ld.global.u64 %rd9, [place]; ld.global.u32 %r13, [%rd9]; mov.u32 %r14, 0;",
        |l| [l + 5, 0, 0, 0],
    );
    for (l, g) in got.iter().enumerate() {
        let x = l as u32 + 5;
        assert_eq!(g[..3], [2 * x, if l % 2 == 0 { x + 100 } else { 3 * x }, 8], "lane {l}");
    }
    let again = format!("{HEAD}.func f () {{ call f; ret; }} .visible .entry k() {{ call f; ret; }}");
    assert!(Module::load(&again).unwrap_err().message.contains("recursion"));
}

#[test]
fn printf_and_assertions_speak() {
    let text = |s: &str| s.bytes().chain([0]).map(|b| b.to_string()).collect::<Vec<_>>().join(", ");
    let ptx = |call: &str| {
        format!(
            "{HEAD}.extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);
.extern .func __assertfail (.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e);
.global .align 1 .b8 fmt[] = {{{}}}; .global .align 1 .b8 word[] = {{{}}};
.visible .entry k(.param .u64 pin, .param .u64 pout)
{{ {REGS} .local .align 8 .b8 depot[32];
   mov.u32 %r1, %tid.x; sub.u32 %r1, 3, %r1; st.local.u32 [depot], %r1; mov.f64 %fd1, 0d3FF8000000000000; st.local.f64 [depot+8], %fd1;
   mov.u64 %rd4, word; cvta.global.u64 %rd4, %rd4; st.local.u64 [depot+16], %rd4; mov.u64 %rd1, depot; cvta.local.u64 %rd2, %rd1;
   mov.u64 %rd1, fmt; cvta.global.u64 %rd3, %rd1; {call} ret; }}",
            text("[%+4d|%-7.2f|%5s]\n"),
            text("warp")
        )
    };
    let print = "{ .param .b64 f; st.param.b64 [f], %rd3; .param .b64 a; st.param.b64 [a], %rd2; .param .b32 n; call.uni (n), vprintf, (f, a); }";
    let (_, r) = launch(&ptx(print), 2, 1, &[]);
    assert!(r.clean(), "{:?}", r.findings);
    assert_eq!(r.printed, "[  +3|1.50   | warp]\n[  +2|1.50   | warp]\n");
    let fail = "{ .param .b64 a; st.param.b64 [a], %rd4; .param .b64 b; st.param.b64 [b], %rd4; .param .b32 c; st.param.b32 [c], 12;
        .param .b64 d; st.param.b64 [d], %rd4; .param .b64 e; st.param.b64 [e], 1; call.uni __assertfail, (a, b, c, d, e); }";
    let (_, r) = launch(&ptx(fail), 1, 1, &[]);
    assert_eq!(r.fault, Some(Kind::Trap));
    assert!(r.findings[0].message.contains("\"warp\" failed in warp (warp:12)"), "{}", r.findings[0].message);
}

#[test]
fn copies_arrive_at_mbarriers() {
    // Thirty-two threads copy four bytes each; nobody waits for a group, all for the mbarrier.
    let body = |arrive: &str, count: u32| {
        format!(
            "{HEAD}.visible .entry k(.param .u64 pin, .param .u64 pout)
{{ {REGS} .shared .align 8 .b64 bar;
   ld.param.u64 %rd1, [pin]; ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; mul.wide.u32 %rd3, %r0, 4; setp.ne.u32 %p1, %r0, 0;
   @%p1 bra READY; mbarrier.init.shared.b64 [bar], {count}; READY: bar.sync 0;
   add.s64 %rd4, %rd1, %rd3; mov.u32 %r1, sm; mad.lo.u32 %r2, %r0, 4, %r1; cp.async.ca.shared.global [%r2], [%rd4], 4; {arrive}
   WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [bar], 0; @!%p2 bra WAIT;
   xor.b32 %r3, %r0, 31; mad.lo.u32 %r2, %r3, 4, %r1; ld.shared.u32 %r4, [%r2]; add.s64 %rd5, %rd2, %rd3; st.global.u32 [%rd5], %r4; ret; }}"
        )
    };
    let input: Vec<u32> = (0..32).map(noise).collect();
    let right = |arrive: &str, count: u32| {
        let (out, r) = launch(&body(arrive, count), 32, 1, &input);
        assert!(r.clean(), "{:?}", r.findings);
        assert!((0..32).all(|i| out[i] == input[31 - i]));
    };
    right("cp.async.mbarrier.arrive.noinc.shared.b64 [bar];", 32);
    // Without .noinc the arrival adds what it takes: the threads' own arrivals complete the phase.
    right("cp.async.mbarrier.arrive.shared.b64 [bar]; mbarrier.arrive.shared.b64 _, [bar];", 32);
    // Arriving oneself says nothing of copies under way.
    let (_, r) = launch(&body("mbarrier.arrive.shared.b64 _, [bar];", 32), 32, 1, &input);
    assert!(r.findings.iter().any(|f| f.kind == Kind::Uninitialised), "{:?}", r.findings);
    let (_, r) = launch(&body("cp.async.mbarrier.arrive.shared.b64 [bar];", 32), 32, 1, &input);
    assert_eq!(r.fault, Some(Kind::Deadlock));
}

#[test]
fn stores_and_reductions_between_blocks() {
    // Rank 0 sends a word and a bulk copy to rank 1, and adds to a counter there; rank 1 waits for all bytes at one mbarrier.
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 pin, .param .u64 pout)
{{ {REGS} .shared .align 8 .b64 bar;
   ld.param.u64 %rd1, [pin]; ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; mov.u32 %r1, sm; mov.u32 %r10, %cluster_ctarank;
   mad.lo.u32 %r2, %r0, 4, %r1; add.u32 %r3, %r0, 1000; st.shared.u32 [%r2], %r3; st.shared.u32 [%r2+1024], 5;
   setp.ne.u32 %p1, %r0, 0; @%p1 bra READY; mbarrier.init.shared.b64 [bar], 1; mbarrier.arrive.expect_tx.shared.b64 _, [bar], 136;
   fence.mbarrier_init.release.cluster; READY: fence.proxy.async; barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;
   setp.ne.u32 %p3, %r10, 0; @%p3 bra SECOND; @%p1 bra SENT;
   mapa.shared::cluster.u32 %r20, sm, 1; mapa.shared::cluster.u32 %r21, bar, 1; mov.u32 %r22, 77;
   st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%r20+512], %r22, [%r21];
   red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%r20+1028], %r22, [%r21];
   add.u32 %r23, %r20, 2048; cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r23], [%r1], 128, [%r21];
   bra SENT;
SECOND: mbarrier.try_wait.parity.shared.b64 %p2, [bar], 0; @!%p2 bra SECOND;
   ld.shared.u32 %r4, [sm+512]; ld.shared.u32 %r5, [sm+1028]; ld.shared.u32 %r6, [%r2+2048]; mul.wide.u32 %rd3, %r0, 4;
   add.s64 %rd4, %rd2, %rd3; st.global.u32 [%rd4], %r6; st.global.u32 [%rd2+128], %r4; st.global.u32 [%rd2+132], %r5;
SENT: barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned; ret; }}"
    );
    let (out, r) = launch(&ptx, 32, 2, &[]);
    assert!(r.clean(), "{:?}", r.findings);
    assert!((0..32).all(|i| out[i] == 1000 + i as u32));
    assert_eq!(out[32..34], [77, 82]);
}

#[test]
fn bulk_reductions_add_to_global_memory() {
    let body = |wait: &str| {
        format!(
            "{HEAD}.visible .entry k(.param .u64 pin, .param .u64 pout)
{{ {REGS}
   ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; mov.u32 %r1, sm; mad.lo.u32 %r2, %r0, 4, %r1; cvt.rn.f32.u32 %f1, %r0;
   st.shared.f32 [%r2], %f1; fence.proxy.async.shared::cta; bar.sync 0; setp.ne.u32 %p1, %r0, 0; @%p1 bra DONE;
   cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%rd2], [%r1], 128;
   cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%rd2], [%r1], 128;
   cp.async.bulk.commit_group; {wait}
DONE: bar.sync 0; st.shared.f32 [%r2], 0f00000000; ret; }}"
        )
    };
    let (out, r) = launch(&body("cp.async.bulk.wait_group.read 0;"), 32, 1, &[]);
    assert!(r.clean(), "{:?}", r.findings);
    assert!((0..32).all(|i| f32::from_bits(out[i]) == 2.0 * i as f32), "{out:?}");
    // Without the wait the copies read what is written later: a finding, and wrong numbers.
    let (out, r) = launch(&body(""), 32, 1, &[]);
    assert!(r.findings.iter().any(|f| f.kind == Kind::Race), "{:?}", r.findings);
    assert!((1..32).all(|i| f32::from_bits(out[i]) == 0.0));
}

#[test]
fn products_of_doubles_bits_and_small_integers() {
    // m8n8k4 of doubles: A by row, B by column, and C two to a lane.
    let value = |i: u32| f64::from(i % 7) - 3.0;
    let ptx = |body: &str| {
        format!(
            "{HEAD}.visible .entry k(.param .u64 pin, .param .u64 pout)\n{{ {REGS} ld.param.u64 %rd1, [pin]; ld.param.u64 %rd2, [pout];
   mov.u32 %r0, %tid.x; {body} ret; }}"
        )
    };
    let double = ptx(
        "rem.u32 %r1, %r0, 7; cvt.rn.f64.u32 %fd1, %r1; sub.f64 %fd1, %fd1, 0d4008000000000000; mul.lo.u32 %r1, %r0, 3; rem.u32 %r1, %r1, 7;
         cvt.rn.f64.u32 %fd2, %r1; sub.f64 %fd2, %fd2, 0d4008000000000000; mov.f64 %fd3, 0d3FF0000000000000; mov.f64 %fd4, %fd3;
         mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%fd5, %fd6}, {%fd1}, {%fd2}, {%fd3, %fd4}; cvt.rzi.s32.f64 %r2, %fd5; cvt.rzi.s32.f64 %r3, %fd6;
         mul.wide.u32 %rd3, %r0, 8; add.s64 %rd4, %rd2, %rd3; st.global.v2.u32 [%rd4], {%r2, %r3};",
    );
    let (out, r) = launch(&double, 32, 1, &[]);
    assert!(r.clean(), "{:?}", r.findings);
    for row in 0..8u32 {
        for col in 0..8u32 {
            let want: f64 = 1.0 + (0..4).map(|k| value(4 * row + k) * value(3 * (4 * col + k))).sum::<f64>();
            assert_eq!(out[(8 * row + col) as usize] as i32, want as i32, "row {row} column {col}");
        }
    }
    // Eight bits, four and one, m8n8 with 128 bits along the depth: element by element from the same words.
    let bits = |form: &str| {
        ptx(&format!(
            "mul.wide.u32 %rd3, %r0, 8; add.s64 %rd4, %rd1, %rd3; ld.global.v2.u32 {{%r1, %r2}}, [%rd4]; mov.u32 %r3, 0;
             mma.sync.aligned.{form} {{%r4, %r5}}, {{%r1}}, {{%r2}}, {{%r3, %r3}};
             add.s64 %rd4, %rd2, %rd3; st.global.v2.u32 [%rd4], {{%r4, %r5}};"
        ))
    };
    let input: Vec<u32> = (0..64).map(noise).collect();
    let element = |word: u32, e: u32, n: u32, signed: bool| {
        let v = i64::from(word >> (e * n) & ((1 << n) - 1));
        if signed && v >> (n - 1) != 0 { v - (1 << n) } else { v }
    };
    for (form, n, sa, sb) in
        [("m8n8k16.row.col.s32.s8.u8.s32", 8, true, false), ("m8n8k32.row.col.s32.u4.s4.s32", 4, false, true)]
    {
        let (out, r) = launch(&bits(form), 32, 1, &input);
        assert!(r.clean(), "{:?}", r.findings);
        for row in 0..8 {
            for col in 0..8 {
                let word = |i: usize, k: usize, b: usize| input[2 * (4 * i + k) + b];
                let want: i64 = (0..4)
                    .flat_map(|k| (0..32 / n).map(move |e| (k, e)))
                    .map(|(k, e)| element(word(row, k, 0), e, n, sa) * element(word(col, k, 1), e, n, sb))
                    .sum();
                assert_eq!(i64::from(out[8 * row + col] as i32), want, "{form} row {row} column {col}");
            }
        }
    }
    let (out, _) = launch(&bits("m8n8k128.row.col.s32.b1.b1.s32.xor.popc"), 32, 1, &input);
    for (i, o) in out.iter().enumerate().take(64) {
        let want: u32 =
            (0..4).map(|k| (input[2 * (4 * (i / 8) + k)] ^ input[2 * (4 * (i % 8) + k) + 1]).count_ones()).sum();
        assert_eq!(*o, want, "element {i}");
    }
}

#[test]
fn relaxed_arrivals_order_nothing_without_a_fence() {
    let body = |before: &str, arrive: &str, wait: &str, after: &str| {
        format!(
            "{HEAD}.visible .entry k(.param .u64 pin, .param .u64 pout)
{{ {REGS} .shared .align 8 .b64 bar;
   ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; setp.ne.u32 %p1, %r0, 0; @%p1 bra READY; mbarrier.init.shared.b64 [bar], 32;
READY: bar.sync 0; setp.ge.u32 %p3, %r0, 32; mov.u32 %r1, sm; @%p3 bra READER; mad.lo.u32 %r2, %r0, 4, %r1; st.shared.u32 [%r2], %r0; {before}
   mbarrier.arrive.{arrive}.shared::cta.b64 _, [bar]; ret;
READER: mbarrier.try_wait.parity.{wait}.shared::cta.b64 %p2, [bar], 0; @!%p2 bra READER; {after} sub.u32 %r3, %r0, 32; mad.lo.u32 %r2, %r3, 4, %r1;
   ld.shared.u32 %r4, [%r2]; mul.wide.u32 %rd3, %r3, 4; add.s64 %rd4, %rd2, %rd3; st.global.u32 [%rd4], %r4; ret; }}"
        )
    };
    let fence = "fence.acq_rel.cta;";
    let races = |before: &str, arrive: &str, wait: &str, after: &str| {
        let (_, r) = launch(&body(before, arrive, wait, after), 64, 1, &[]);
        assert!(r.fault.is_none(), "{:?}", r.findings);
        r.findings.iter().any(|f| f.kind == Kind::Race)
    };
    assert!(!races("", "release.cta", "acquire.cta", ""));
    assert!(races("", "relaxed.cta", "acquire.cta", ""));
    assert!(!races(fence, "relaxed.cta", "acquire.cta", ""));
    assert!(races("", "release.cta", "relaxed.cta", ""));
    assert!(!races("", "release.cta", "relaxed.cta", fence));
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let refused = |s: &str| {
        let e =
            Module::load(&format!("{HEAD}.visible .entry k(.param .u64 pin)\n{{ {REGS}\n{s}\nret; }}")).unwrap_err();
        assert!(e.ptx_line == 7, "{e}");
        e.message
    };
    for s in [
        "multimem.ld_reduce.relaxed.sys.global.add.f32 %f1, [%rd1];",
        "tex.2d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [%rd1, {%r1, %r2}];",
        "vadd.s32.s32.s32 %r1, %r2, %r3;",
        "cvt.f16.f32 %h1, %f1;",
        "cvt.rn.bf16x2.e4m3x2 %r1, %h1;",
        "st.relaxed.gpu.local.u32 [%rd1], %r1;",
        "mbarrier.arrive.acquire.cta.shared.b64 _, [sm];",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.xor.f32 [%rd1], [%r1], %r2;",
    ] {
        let opcode = s.split(['.', ' ']).next().unwrap();
        assert!(refused(s).contains(opcode), "{s}");
    }
}
/// What compilers other than nvcc write: bytes of an address by masks, a function by another name, and a block that has to be as it says.
#[test]
fn masks_of_addresses_and_aliases() {
    let head = ".global .align 4 .u32 numbers[3] = {7, 8, 9};
.global .align 8 .u8 packed[16] = {1, 0xff(numbers), 0xff00(numbers), 0xff0000(generic(numbers)+8), 2, 0xff00000000(numbers), 3, 0xFF0000000000(numbers), 0, 5};
.global .align 8 .u64 whole[2] = {0xffff(numbers+4), numbers+4};
.func (.param .b32 o) thrice (.param .b32 i) { .reg .b32 t; ld.param.b32 t, [i]; mul.lo.u32 t, t, 3; st.param.b32 [o], t; ret; }
.visible .func (.param .b32 o) other (.param .b32 i);
.alias other, thrice;
";
    let got = lanes(
        head,
        "mov.u64 %rd6, numbers; mov.u64 %rd7, packed; mul.wide.u32 %rd8, %r0, 1; and.b64 %rd8, %rd8, 15; add.u64 %rd7, %rd7, %rd8;
         ld.global.u8 %r11, [%rd7]; mov.b64 {%r12, %r13}, %rd6;
         setp.ge.u32 %p1, %r0, 16; @%p1 ld.global.u64 %rd9, [whole]; @%p1 cvt.u32.u64 %r11, %rd9;
         { .param .b32 x; .param .b32 y; st.param.b32 [x], %r1; call (y), other, (x); ld.param.b32 %r14, [y]; }",
        |l| [l + 5, 0, 0, 0],
    );
    for (l, g) in got.iter().enumerate() {
        let at = u64::from(g[1]) | u64::from(g[2]) << 32;
        let byte = |a: u64, n: u32| (a >> (8 * n)) as u32 & 255;
        let third = byte(at + 8, 2);
        let all = [1, byte(at, 0), byte(at, 1), third, 2, byte(at, 4), 3, byte(at, 5), 0, 5, 0, 0, 0, 0, 0, 0];
        assert_eq!(g[0], if l < 16 { all[l] } else { (at + 4) as u32 & 0xffff }, "lane {l} of {at:#x}");
        assert_eq!(g[3], 3 * (l as u32 + 5));
    }
    let nothing = format!("{HEAD}.alias a, b;\n.visible .entry k() {{ ret; }}");
    assert!(Module::load(&nothing).unwrap_err().message.contains("no function with a body"));
}
#[test]
fn a_block_is_as_the_kernel_requires_it() {
    let m = Module::load(&format!("{HEAD}.visible .entry k() .reqntid 8, 4 {{ ret; }}")).unwrap();
    let mut d = Device::new();
    let mut launch = |b: Dim3| d.launch(m.entry("k").unwrap(), Dim3::x(1), b, 0, &[]).map_err(|e| e.to_string());
    assert!(launch(Dim3::new(8, 4, 1)).unwrap().clean());
    for b in [Dim3::x(32), Dim3::x(16), Dim3::new(4, 8, 1), Dim3::new(8, 2, 2)] {
        assert!(launch(b).unwrap_err().contains("the kernel is built for 8x4x1"));
    }
    assert_eq!(m.entry("k").unwrap().block(), Some(Dim3::new(8, 4, 1)));
}
#[test]
fn policies_of_the_cache_change_no_value() {
    for make in [
        "createpolicy.fractional.L2::evict_first.b64 %rd6, 0.5;",
        "createpolicy.range.global.L2::evict_last.L2::evict_first.b64 %rd6, [%rd1], 0x100, 0x200;",
        "createpolicy.cvt.L2.b64 %rd6, 0x12f0000000000000;",
    ] {
        let out =
            lanes("", &format!("{make} ld.global.L2::cache_hint.u32 %r11, [%rd4], %rd6;"), |i| [noise(i), 0, 0, 0]);
        assert!(out.iter().enumerate().all(|(i, o)| o[0] == noise(i as u32)), "{make}");
    }
}
