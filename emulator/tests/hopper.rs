//! Tensor copies, mbarriers and warpgroup products, as nvcc compiles them, and with one thing taken away each.

use gpu_emulator::{Device, Dim3, Kind, Module, Report, TensorMap};
use half::f16;

const PTX: &str = include_str!("data/hopper.ptx");

fn value(i: usize) -> f32 {
    ((i * 5 + i / 7) % 7) as f32 - 3.0
}

/// Runs a product with the tile kernel of a PTX text; gives C as well.
fn run(ptx: &str, m: usize, n: usize, k: usize) -> (Report, Vec<f16>) {
    run_with(ptx, m, n, k, false)
}
fn run_with(ptx: &str, m: usize, n: usize, k: usize, early: bool) -> (Report, Vec<f16>) {
    run_seeded(ptx, m, n, k, early, 0)
}
fn run_seeded(ptx: &str, m: usize, n: usize, k: usize, early: bool, seed: u64) -> (Report, Vec<f16>) {
    let module = Module::load(ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    let mut put = |name: &str, rows: usize, cols: usize, fill: bool| {
        let p = d.memory.alloc((rows * cols * 2) as u64, name).unwrap();
        if fill {
            let b: Vec<u8> = (0..rows * cols).flat_map(|i| f16::from_f32(value(i)).to_le_bytes()).collect();
            d.memory.write(p, &b).unwrap();
        }
        p
    };
    let (a, b, c) = (put("A", m, k, true), put("B", k, n, true), put("C", m, n, false));
    let map = |addr: u64, rows: usize, cols: usize, swizzle: u32| {
        let (dims, strides) = (vec![cols as u64, rows as u64], vec![2 * cols as u64]);
        TensorMap { elem: 2, swizzle, nan_fill: false, addr, dims, strides, boxes: vec![64, 64] }.encode().unwrap()
    };
    let mut p = Vec::new();
    p.extend(map(a, m, k, 128));
    p.extend(map(b, k, n, 128));
    p.extend(map(c, m, n, 0));
    p.extend((k as u32).to_le_bytes());
    let grid = Dim3::new(n.div_ceil(64) as u32, m.div_ceil(64) as u32, 1);
    d.options.max_instructions = 1 << 24;
    d.options.copies_land_early = early;
    d.options.shuffle = seed;
    d.options.written_once =
        vec![gpu_emulator::Region { address: c, row_bytes: 2 * n as u64, rows: m as u64, pitch: 2 * n as u64 }];
    let r = d.launch(module.entry("tile_tma").unwrap(), grid, Dim3::x(128), 32768, &p).unwrap();
    let mut out = vec![0; m * n * 2];
    d.memory.read(c, &mut out).unwrap();
    (r, out.chunks_exact(2).map(|x| f16::from_le_bytes([x[0], x[1]])).collect())
}
fn right(c: &[f16], m: usize, n: usize, k: usize) -> bool {
    (0..m * n).all(|i| {
        let want: f32 = (0..k).map(|x| value(i / n * k + x) * value(x * n + i % n)).sum();
        c[i] == f16::from_f32(want)
    })
}
fn text(r: &Report) -> String {
    r.findings.iter().map(|f| format!("{f}\n")).collect()
}

#[test]
fn products_are_exact() {
    for (m, n, k) in [(64, 64, 64), (64, 64, 16), (128, 192, 320), (72, 136, 200), (8, 8, 8)] {
        let (r, c) = run_with(PTX, m, n, k, true);
        assert!(r.clean() && right(&c, m, n, k), "{m}x{n}x{k}, early\n{}", text(&r));
        let (r, c) = run(PTX, m, n, k);
        assert!(r.clean(), "{m}x{n}x{k}\n{}", text(&r));
        assert!(right(&c, m, n, k), "{m}x{n}x{k}");
        let blocks = (m.div_ceil(64) * n.div_ceil(64)) as u64;
        let steps = k.div_ceil(64) as u64;
        assert_eq!(r.counters.bulk_load_bytes, blocks * steps * 16384);
        // Rows are whole numbers of 16 bytes here: they may begin and end inside a sector.
        let rows = |rows: usize, cols: usize| -> u64 {
            let ends = |r: usize, c: usize| (2 * (r * cols + c), 2 * (r * cols + (c + 64).min(cols)) - 1);
            let boxes = (0..rows).flat_map(|r| (0..cols).step_by(64).map(move |c| (r, c)));
            boxes.map(|(r, c)| ends(r, c)).map(|(first, last)| (last / 32 - first / 32 + 1) as u64).sum()
        };
        let loaded = rows(m, k) * n.div_ceil(64) as u64 + rows(k, n) * m.div_ceil(64) as u64;
        assert_eq!((r.counters.bulk_load_sectors, r.counters.bulk_store_sectors), (loaded, rows(m, n)));
        assert_eq!(r.counters.issued_macs, blocks * steps * 64 * 64 * 64);
    }
}

#[test]
fn random_turns_change_nothing() {
    let (first, c) = run(PTX, 128, 64, 320);
    for seed in 1..6 {
        let (r, d) = run_seeded(PTX, 128, 64, 320, false, seed);
        assert!(r.clean(), "seed {seed}\n{}", text(&r));
        assert_eq!(c, d);
        assert_eq!(r.counters.issued_macs, first.counters.issued_macs);
    }
}

/// A text with one instruction changed.
fn changed(from: &str, to: &str) -> String {
    assert!(PTX.contains(from), "{from}");
    PTX.replace(from, to)
}

#[test]
fn a_missing_proxy_fence() {
    let (r, c) = run(&changed("fence.proxy.async.shared::cta;", ""), 64, 64, 64);
    assert!(text(&r).contains("no fence.proxy.async"), "{}", text(&r));
    assert!(right(&c, 64, 64, 64), "the numbers do not show it");
}
#[test]
fn too_few_bytes_expected() {
    let (r, _) = run(&changed(", 16384;\n", ", 8192;\n"), 64, 64, 128);
    assert!(!r.clean());
}
#[test]
fn too_many_bytes_expected() {
    let (r, _) = run(&changed(", 16384;\n", ", 16400;\n"), 64, 64, 64);
    assert_eq!(r.fault, Some(Kind::Deadlock));
    assert!(text(&r).contains("16 bytes missing"), "{}", text(&r));
}
#[test]
fn stages_never_given_back() {
    let from = PTX.lines().find(|l| l.contains("mbarrier.arrive.shared::cta.b64")).unwrap();
    let (r, _) = run(&changed(from, ""), 64, 64, 256);
    assert_eq!(r.fault, Some(Kind::Deadlock));
    assert!(text(&r).contains("128 arrivals and 0 bytes missing"), "{}", text(&r));
}
#[test]
fn stages_given_back_too_early() {
    let (r, _) = run(&changed("wgmma.wait_group.sync.aligned 0;", ""), 64, 64, 256);
    assert!(r.findings.iter().any(|f| f.kind == Kind::Race && f.message.contains("wgmma")), "{}", text(&r));
}
#[test]
fn an_mbarrier_used_without_order() {
    // Without the barrier after it, other warps may come before the initialisation.
    let first = PTX.find("bar.sync").unwrap();
    let end = first + PTX[first..].find(';').unwrap() + 1;
    let (r, _) = run(&format!("{}{}", &PTX[..first], &PTX[end..]), 64, 64, 64);
    assert!(!r.clean());
}
#[test]
fn rows_off_sixteen_bytes() {
    // A store whose rows end after 68 columns would be cut by hardware; the map itself needs a stride of 16 bytes.
    let t = TensorMap {
        elem: 2,
        swizzle: 0,
        nan_fill: false,
        addr: 256,
        dims: vec![68, 64],
        strides: vec![144],
        boxes: vec![64, 64],
    };
    assert!(t.encode().is_some());
    assert!(TensorMap { strides: vec![136], ..t.clone() }.encode().is_none());
    assert!(TensorMap { addr: 8, ..t.clone() }.encode().is_none());
    assert!(TensorMap { swizzle: 64, ..t.clone() }.encode().is_none());
    assert!(TensorMap { boxes: vec![64, 512], ..t }.encode().is_none());
}

/// Where the ISA's canonical layouts put element (mn, k) of an operand of 64 x 16 halves, and their two offsets (leading, stride). The pattern
/// of a swizzle began `turn` rows of 128 bytes before the operand does.
fn canonical(k_major: bool, span: usize, turn: usize, mn: usize, k: usize) -> (usize, usize, usize) {
    // In an atom of eight rows a 16-byte piece moves by the row's number, halved or quartered for the narrower spans.
    let moved = |piece: usize, row: usize| match span {
        128 => piece ^ ((row + turn) % 8),
        64 => piece ^ ((row / 2 + turn) % 4),
        _ => piece ^ ((row / 4 + turn) % 2),
    };
    match (k_major, span) {
        (true, 0) => (mn / 8 * 256 + k / 8 * 128 + mn % 8 * 16 + k % 8 * 2, 128, 256),
        (false, 0) => (mn / 8 * 256 + k / 8 * 128 + k % 8 * 16 + mn % 8 * 2, 128, 256),
        (true, s) => (mn / 8 * 8 * s + mn % 8 * s + moved(k / 8, mn % 8) * 16 + k % 8 * 2, 16, 8 * s),
        (false, s) => {
            let run = s / 2;
            (
                mn / run * 16 * s + k / 8 * 8 * s + k % 8 * s + moved(mn % run / 8, k % 8) * 16 + mn % 8 * 2,
                16 * s,
                8 * s,
            )
        }
    }
}

#[test]
fn operands_in_every_layout() {
    let a = |m: usize, k: usize| value(m * 16 + k);
    let b = |k: usize, n: usize| value(k * 64 + n + 3);
    // Operands lie some rows of 128 bytes past a multiple of 1024, in a pattern that begins at that multiple, as tensor copies lay it out, or in
    // one that begins with them, which the base offset says.
    let places = [
        (0, false),
        (1, false),
        (3, false),
        (4, false),
        (6, false),
        (7, false),
        (1, true),
        (3, true),
        (4, true),
        (6, true),
    ];
    for (f16_acc, (past, based)) in [false, true].into_iter().flat_map(|f| places.map(|p| (f, p))) {
        for span in [0usize, 32, 64, 128] {
            for (a_k, b_k) in [(true, true), (true, false), (false, true), (false, false)] {
                let mut image = vec![0u8; 32768];
                let mut desc = [0u64; 2];
                for mn in 0..64 {
                    for k in 0..16 {
                        for (op, k_major) in [(0, a_k), (1, b_k)] {
                            let (off, lbo, sbo) = canonical(k_major, span, if based { 0 } else { past }, mn, k);
                            let v = if op == 0 { a(mn, k) } else { b(k, mn) };
                            let start = 16384 * op + 128 * past;
                            let at = start + off;
                            image[at..at + 2].copy_from_slice(&f16::from_f32(v).to_le_bytes());
                            let mode = match span {
                                128 => 1u64,
                                64 => 2,
                                32 => 3,
                                _ => 0,
                            };
                            // Dynamic shared memory starts at 1024 here; the kernel adds its address.
                            let base = if based && span > 0 { past as u64 } else { 0 };
                            desc[op] = (start as u64) >> 4
                                | (lbo as u64 >> 4) << 16
                                | (sbo as u64 >> 4) << 32
                                | base << 49
                                | mode << 62;
                        }
                    }
                }
                let (ty, regs) = if f16_acc { ("f16", 16) } else { ("f32", 32) };
                let d: Vec<String> = (0..regs).map(|i| format!("%r{}", 10 + i)).collect();
                let stores: String =
                    (0..regs).map(|i| format!("st.global.u32 [%rd4+{}], %r{};\n", 4 * i, 10 + i)).collect();
                let ptx = format!(
                    ".version 8.0\n.target sm_90a\n.address_size 64\n.extern .shared .align 1024 .b8 dyn[];
.visible .entry k(.param .u64 image, .param .u64 out, .param .u64 da, .param .u64 db)
{{
    .reg .b32 %r<60>; .reg .b64 %rd<20>; .reg .pred %p<4>;
    ld.param.u64 %rd1, [image]; ld.param.u64 %rd2, [out]; ld.param.u64 %rd5, [da]; ld.param.u64 %rd6, [db];
    mov.u32 %r1, %tid.x; mov.u32 %r2, dyn; shl.b32 %r3, %r1, 4; mov.u32 %r5, 0;
    L: add.u32 %r4, %r2, %r3; cvt.u64.u32 %rd7, %r3; add.s64 %rd8, %rd1, %rd7;
    ld.global.v4.u32 {{%r6, %r7, %r8, %r9}}, [%rd8]; st.shared.v4.u32 [%r4], {{%r6, %r7, %r8, %r9}};
    add.u32 %r3, %r3, 2048; setp.lt.u32 %p1, %r3, 32768; @%p1 bra L;
    fence.proxy.async; bar.sync 0;
    shr.u32 %r4, %r2, 4; cvt.u64.u32 %rd7, %r4; add.s64 %rd5, %rd5, %rd7; add.s64 %rd6, %rd6, %rd7;
    setp.ne.u32 %p2, 0, 0;
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n64k16.{ty}.f16.f16 {{{}}}, %rd5, %rd6, %p2, 1, -1, {}, {};
    wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;
    mul.wide.u32 %rd3, %r1, {}; add.s64 %rd4, %rd2, %rd3;
    {stores} ret;
}}",
                    d.join(", "),
                    u32::from(!a_k),
                    u32::from(!b_k),
                    4 * regs
                );
                let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
                let mut dev = Device::new();
                let i = dev.memory.alloc(32768, "image").unwrap();
                dev.memory.write(i, &image).unwrap();
                let o = dev.memory.alloc(128 * 4 * regs as u64, "out").unwrap();
                let params: Vec<u8> = [i, o, desc[0], desc[1]].iter().flat_map(|x| x.to_le_bytes()).collect();
                let r = dev.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(128), 32768, &params).unwrap();
                assert!(r.clean(), "{}", text(&r));
                let mut out = vec![0u8; 128 * 4 * regs];
                dev.memory.read(o, &mut out).unwrap();
                for t in 0..128usize {
                    for e in 0..32 {
                        // Warp w has rows 16 w to 16 w + 15; the rest is the layout of mma's accumulator, eight columns at a time.
                        let row = t / 32 * 16 + t % 32 / 4 + 8 * (e / 2 % 2);
                        let col = e / 4 * 8 + t % 4 * 2 + e % 2;
                        let want: f32 = -(0..16).map(|k| a(row, k) * b(k, col)).sum::<f32>();
                        let got = if f16_acc {
                            let at = t * 64 + e * 2;
                            f16::from_le_bytes([out[at], out[at + 1]]).to_f32()
                        } else {
                            let at = t * 128 + e * 4;
                            f32::from_le_bytes([out[at], out[at + 1], out[at + 2], out[at + 3]])
                        };
                        assert_eq!(
                            got, want,
                            "span {span}, {past} rows past 1024 bytes, based {based}, A along k: {a_k}, B along k: {b_k}, f16: {f16_acc}, thread {t}, element {e}"
                        );
                    }
                }
            }
        }
    }
}

/// One warpgroup over zeroed shared memory: `%rd5`, `%rd6` are descriptors, `%r10` to `%r13` and `%r20` to `%r23` accumulators of
/// eight columns, `%r30` to `%r33` A's fragments.
fn registers(body: &str) -> Report {
    let ptx = format!(
        ".version 8.0\n.target sm_90a\n.address_size 64\n.file 1 \"kernels/bad.cu\"\n
.visible .entry k(.param .u64 out)
{{
    .reg .b32 %r<60>; .reg .b64 %rd<20>; .reg .pred %p<4>; .shared .align 1024 .b8 sm[4096];
    ld.param.u64 %rd2, [out];
    mov.u32 %r1, %tid.x; mov.u32 %r2, sm; shl.b32 %r3, %r1, 5; add.u32 %r4, %r2, %r3; mov.u32 %r5, 0;
    st.shared.v4.u32 [%r4], {{%r5, %r5, %r5, %r5}}; st.shared.v4.u32 [%r4+16], {{%r5, %r5, %r5, %r5}};
    fence.proxy.async; bar.sync 0;
    shr.u32 %r4, %r2, 4; cvt.u64.u32 %rd5, %r4; add.u64 %rd5, %rd5, 0x1000080000; mov.u64 %rd6, %rd5;
    setp.eq.u32 %p2, 0, 0; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd2, %rd3;
    mov.b32 %r30, 0; mov.b32 %r31, 0; mov.b32 %r32, 0; mov.b32 %r33, 0;
    mov.b32 %r10, 0; mov.b32 %r11, 0; mov.b32 %r12, 0; mov.b32 %r13, 0;
    mov.b32 %r20, 0; mov.b32 %r21, 0; mov.b32 %r22, 0; mov.b32 %r23, 0;
    {body}
    ret;
}}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut dev = Device::new();
    let o = dev.memory.alloc(512, "out").unwrap();
    dev.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(128), 0, &o.to_le_bytes()).unwrap()
}
const FENCE: &str = "wgmma.fence.sync.aligned;";
const FIRST: &str =
    "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r10,%r11,%r12,%r13}, %rd5, %rd6, %p2, 1, 1, 0, 0;";
const SECOND: &str = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r20,%r21,%r22,%r23}, {%r30,%r31,%r32,%r33}, %rd6, %p2, 1, 1, 0;";
const COMMIT: &str = "wgmma.commit_group.sync.aligned;";
const WAIT: &str = "wgmma.wait_group.sync.aligned 0;";
const WAIT_1: &str = "wgmma.wait_group.sync.aligned 1;";
const STORE: &str = ".loc 1 50 3\nst.global.u32 [%rd4], %r11;";

/// The findings of a sequence of instructions.
fn said(sequence: &[&str]) -> String {
    let r = registers(&sequence.join("\n"));
    assert!(r.findings.iter().all(|f| f.kind == Kind::Race), "{}", text(&r));
    text(&r)
}

#[test]
fn registers_of_a_wgmma_in_flight() {
    let clean: [&[&str]; 6] = [
        &[FENCE, FIRST, COMMIT, WAIT, STORE],
        // Two groups, of which the first is waited for and read.
        &[FENCE, FIRST, COMMIT, SECOND, COMMIT, WAIT_1, STORE, WAIT],
        // Accumulators of one shape may be used again and again.
        &[FENCE, FIRST, FIRST, COMMIT, FIRST, COMMIT, WAIT, STORE],
        // Registers of no wgmma are free.
        &[FENCE, FIRST, COMMIT, "add.u32 %r40, %r1, 1;", WAIT, STORE],
        // Copies are what the compiler makes of values that go round a loop.
        &[FENCE, FIRST, COMMIT, "mov.b32 %r41, %r11; mov.b32 %r11, %r41;", WAIT, STORE],
        &[FENCE, FIRST, COMMIT, WAIT, STORE, FENCE, FIRST, COMMIT, WAIT],
    ];
    for s in clean {
        assert_eq!(said(s), "", "{s:?}");
    }
    let bad: [(&[&str], &str); 6] = [
        (
            &[FENCE, ".loc 1 49 3\n", FIRST, COMMIT, STORE, WAIT],
            "bad.cu:50: race: access to a register of the accumulator",
        ),
        (&[FENCE, FIRST, STORE, COMMIT, WAIT], "no wgmma.wait_group for it"),
        // The wait leaves the latest group alone.
        (&[FENCE, SECOND, COMMIT, FIRST, COMMIT, WAIT_1, STORE, WAIT], "a register of the accumulator"),
        (&[FENCE, SECOND, COMMIT, "mov.b32 %r32, 1;", WAIT], "a register of the A of the wgmma"),
        (&[FENCE, FIRST, COMMIT, "mov.b32 %r41, %r12; add.u32 %r42, %r41, 1;", WAIT], "a register of the accumulator"),
        // Even another wgmma may not take the result for its A before the wait.
        (
            &[
                FENCE,
                FIRST,
                "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r20,%r21,%r22,%r23}, {%r10,%r11,%r12,%r13}, %rd6, %p2, 1, 1, 0;",
                COMMIT,
                WAIT,
            ],
            "a register of the accumulator",
        ),
    ];
    for (s, what) in bad {
        assert!(said(s).contains(what), "{s:?} gives '{}'", said(s));
    }
}

#[test]
fn fences_of_wgmma() {
    assert!(said(&[FIRST, COMMIT, WAIT]).contains("no wgmma.fence before it"));
    let again = ["mov.b32 %r11, 0;", FIRST, COMMIT, WAIT];
    let begin = [FENCE, FIRST, COMMIT, WAIT];
    assert!(said(&[begin, again].concat()).contains("no wgmma.fence in between"));
    assert_eq!(said(&[&begin[..], &again[..1], &[FENCE], &again[1..]].concat()), "");
    // Reading counts as well, and so does the fragment of A.
    assert!(said(&[&begin[..], &[STORE, FIRST, COMMIT, WAIT]].concat()).contains("no wgmma.fence in between"));
    let a = "mov.b32 %r30, 1;";
    assert!(said(&[FENCE, SECOND, COMMIT, WAIT, a, SECOND, COMMIT, WAIT]).contains("no wgmma.fence in between"));
    // Another shape on the same registers needs one, the same shape does not.
    let wide = "wgmma.mma_async.sync.aligned.m64n16k16.f16.f16.f16 {%r10,%r11,%r12,%r13}, %rd5, %rd6, %p2, 1, 1, 0, 0;";
    assert!(said(&[FENCE, FIRST, wide, COMMIT, WAIT]).contains("no wgmma.fence in between"));
    assert_eq!(said(&[FENCE, FIRST, FENCE, wide, COMMIT, WAIT]), "");
    // What nvcc compiled, without its fences.
    let (r, c) = run(&changed("wgmma.fence.sync.aligned;", ""), 64, 64, 64);
    assert!(text(&r).contains("no wgmma.fence"), "{}", text(&r));
    assert!(right(&c, 64, 64, 64), "the numbers do not show it");
}

/// Two stores out of one block, each a group of its own, `wait`, and then a write to where the first, or the second, came from.
fn overwritten(wait: &str, second: bool) -> Report {
    let at = if second { "s+128" } else { "s" };
    let ptx = format!(
        ".version 8.0
        .target sm_90a
        .address_size 64
        .visible .entry k(.param .u64 p) {{
            .reg .b64 d; .reg .b32 r;
            .shared .align 128 .b32 s[64];
            ld.param.u64 d, [p];
            mov.u32 r, 1;
            st.shared.v4.u32 [s], {{r, r, r, r}};
            st.shared.v4.u32 [s+128], {{r, r, r, r}};
            fence.proxy.async.shared::cta;
            cp.async.bulk.global.shared::cta.bulk_group [d], [s], 16;
            cp.async.bulk.commit_group;
            cp.async.bulk.global.shared::cta.bulk_group [d+16], [s+128], 16;
            cp.async.bulk.commit_group;
            {wait}
            st.shared.u32 [{at}], r;
            ret;
        }}"
    );
    let module = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut device = Device::new();
    let out = device.memory.alloc(32, "out").unwrap();
    device.launch(module.entry("k").unwrap(), Dim3::x(1), Dim3::x(1), 0, &out.to_le_bytes()).unwrap()
}

#[test]
fn bulk_groups_are_waited_for_one_by_one() {
    let wait = |n: u32| format!("cp.async.bulk.wait_group.read {n};");
    for (n, first, second) in [(0, true, true), (1, true, false), (2, false, false)] {
        assert_eq!(overwritten(&wait(n), false).clean(), first, "first, at most {n} pending");
        assert_eq!(overwritten(&wait(n), true).clean(), second, "second, at most {n} pending");
    }
    let race = overwritten("", false);
    assert!(race.findings.iter().all(|f| f.kind == Kind::Race) && !race.clean(), "{}", text(&race));
}

/// CUTLASS clears a bit of the second word of the maps of small tensors, to go round an error of a driver: it has to mean nothing here.
#[test]
fn the_second_word_of_a_tensor_map_says_nothing() {
    for addr in [0x10, 0x0020_0000, 0x7000_0022_0900, u64::MAX << 40 >> 8 & !15] {
        let map = TensorMap {
            elem: 2,
            swizzle: 64,
            nan_fill: true,
            addr,
            dims: vec![u64::from(u32::MAX), 1 << 32, 0x20_0020, 7, 0x7fff_ffff],
            strides: vec![0xff_ffff_fff0, 0x20_0000, 0x7f_ffff_fff0, 16],
            boxes: vec![32, 255, 8, 1, 3],
        };
        assert_eq!(map.encode().unwrap()[8..16], [0; 8]);
    }
}
