//! Values that nothing has written: what may be done with them, bit by bit, and where it is told; and what else right kernels do that looks
//! wrong at first.

use gpu_emulator::{Device, Dim3, Kind, Module, Report};

const HEAD: &str = ".version 8.0\n.target sm_90a\n.address_size 64\n.file 1 \"kernels/bad.cu\"\n";

/// Runs a kernel with `%rd1` the address of 256 words by thread number and `%rd2` that of as many that nothing has written, `%rd4` and
/// `%rd5` this thread's in each, `%r0` the thread, `%r3` its word of shared memory.
fn launch(body: &str, blocks: u32, threads: u32, head: &str, prepare: impl Fn(&mut Device)) -> (Report, Vec<u32>) {
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 pin, .param .u64 pout) {head}
{{
    .reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<60>; .reg .f32 %f<20>; .reg .b64 %rd<30>; .shared .align 128 .b8 sm[4096];
    .local .align 16 .b8 own[64];
    ld.param.u64 %rd1, [pin]; ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; mov.u32 %r1, sm; mov.u32 %r2, %ctaid.x;
    mul.wide.u32 %rd3, %r0, 4; add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3; shl.b32 %r3, %r0, 2; add.u32 %r3, %r3, %r1;
    {body}
    ret;
}}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    d.options.max_instructions = 1 << 20;
    let (a, b) = (d.memory.alloc(1024, "input").unwrap(), d.memory.alloc(1024, "output").unwrap());
    d.memory.write(a, &(0..256u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    prepare(&mut d);
    let params: Vec<u8> = [a, b].iter().flat_map(|x| x.to_le_bytes()).collect();
    let report = d.launch(m.entry("k").unwrap(), Dim3::x(blocks), Dim3::x(threads), 0, &params).unwrap();
    let mut out = vec![0; 1024];
    d.memory.read(b, &mut out).unwrap();
    (report, out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect())
}
#[track_caller]
fn right(body: &str, value: impl Fn(u32) -> u32) {
    for seed in 0..4 {
        let (r, out) = launch(body, 1, 32, "", |d| d.options.shuffle = seed);
        assert!(r.clean(), "seed {seed}: {:?}", r.findings);
        for (i, v) in out.iter().take(32).enumerate() {
            assert_eq!(*v, value(i as u32), "thread {i}, seed {seed}");
        }
    }
}
/// What is said first, and that it is said of a line.
#[track_caller]
fn wrong(body: &str, kind: Kind, line: u32, says: &str) {
    let (r, _) = launch(body, 1, 32, "", |_| {});
    let f = r.findings.first().unwrap_or_else(|| panic!("nothing found"));
    assert!(f.kind == kind && f.source.ends_with(&format!(":{line}")) && f.message.contains(says), "{f}");
}

#[test]
fn masked_bits_need_no_value() {
    right(
        "and.b32 %r10, %r20, 0xffff0000; shr.u32 %r10, %r10, 31; and.b32 %r10, %r10, 0; add.u32 %r10, %r10, %r0; st.global.u32 [%rd5], %r10;",
        |i| i,
    );
    right(
        "bfi.b32 %r20, %r0, %r20, 0, 8; bfi.b32 %r20, 7, %r20, 8, 8; and.b32 %r10, %r20, 0xffff; st.global.u32 [%rd5], %r10;",
        |i| i | 0x700,
    );
    right("prmt.b32 %r10, %r20, %r0, 0x4440; and.b32 %r10, %r10, 0xff00; st.global.u32 [%rd5], %r10;", |i| i << 8);
    right("cvt.u16.u32 %h1, %r0; mov.b32 %r10, {%h1, %h2}; shl.b32 %r10, %r10, 16; st.global.u32 [%rd5], %r10;", |i| {
        i << 16
    });
    right(
        "mov.b64 %rd10, {%r20, %r0}; shr.u64 %rd10, %rd10, 32; cvt.u32.u64 %r10, %rd10; st.global.u32 [%rd5], %r10;",
        |i| i,
    );
    right(
        "lop3.b32 %r10, %r20, %r0, 0xff, 0x0c; xor.b32 %r11, %r20, %r20; add.u32 %r10, %r0, %r11; st.global.u32 [%rd5], %r10;",
        |i| i,
    );
    right("mul.lo.u32 %r10, %r20, 0; add.u32 %r10, %r10, %r0; st.global.u32 [%rd5], %r10;", |i| i);
    // The sum's lower half does not depend on the upper halves.
    right(
        "bfi.b32 %r20, %r0, %r20, 0, 16; add.u32 %r10, %r20, %r20; and.b32 %r10, %r10, 0xffff; st.global.u32 [%rd5], %r10;",
        |i| 2 * i,
    );
}
#[test]
fn decided_predicates_need_no_value() {
    right(
        "setp.eq.u32 %p1, %r20, 3; setp.gt.u32 %p2, %r0, 1000; and.pred %p1, %p1, %p2; selp.u32 %r10, 1, 2, %p1; st.global.u32 [%rd5], %r10;",
        |_| 2,
    );
    right(
        "or.b32 %r20, %r20, 1; setp.eq.u32 %p1, %r20, 2; selp.u32 %r10, 1, 2, %p1; st.global.u32 [%rd5], %r10;",
        |_| 2,
    );
    right(
        "or.b32 %r20, %r20, 8; setp.lt.u32 %p1, %r20, 8; selp.u32 %r10, 1, 2, %p1; st.global.u32 [%rd5], %r10;",
        |_| 2,
    );
    wrong(
        "or.b32 %r20, %r20, 1; .loc 1 7 1\nsetp.eq.u32 %p1, %r20, 3; @%p1 st.global.u32 [%rd5], %r0;",
        Kind::Uninitialised,
        7,
        "a predicate",
    );
}
#[test]
fn shuffles_carry_the_lack_along() {
    let half = "setp.lt.u32 %p1, %r0, 16; @%p1 mov.u32 %r20, 5;";
    right(&format!("{half} shfl.sync.idx.b32 %r10, %r20, 3, 31, 0xffffffff; st.global.u32 [%rd5], %r10;"), |_| 5);
    wrong(
        &format!("{half} shfl.sync.idx.b32 %r10, %r20, 19, 31, 0xffffffff; .loc 1 8 1\nst.global.u32 [%rd5], %r10;"),
        Kind::Uninitialised,
        8,
        "an operand",
    );
    wrong(
        &format!(
            "{half} setp.eq.u32 %p2, %r20, 5; vote.sync.all.pred %p3, %p2, 0xffffffff; .loc 1 9 1\n@%p3 st.global.u32 [%rd5], %r0;"
        ),
        Kind::Uninitialised,
        9,
        "a predicate",
    );
}
#[test]
fn padding_is_copied_and_told_where_it_is_read() {
    // A vector of which one part has no value is stored; reading the others is right.
    let store = "shl.b32 %r5, %r0, 3; add.u32 %r5, %r5, %r1; .loc 1 5 1\nst.shared.v2.u32 [%r5], {%r0, %r20};";
    right(&format!("{store} bar.sync 0; ld.shared.u32 %r10, [%r5]; st.global.u32 [%rd5], %r10;"), |i| i);
    wrong(
        &format!("{store} bar.sync 0; .loc 1 6 1\nld.shared.u32 %r10, [%r5+4]; st.global.u32 [%rd5], %r10;"),
        Kind::Uninitialised,
        6,
        "nothing has written",
    );
    // What was computed from nothing is told at the store.
    wrong(
        "fma.rn.f32 %f1, %f2, %f3, %f4; mov.b32 %r10, %f1; shl.b32 %r5, %r0, 3; add.u32 %r5, %r5, %r1; .loc 1 7 1\nst.shared.v2.u32 [%r5], {%r0, %r10};",
        Kind::Uninitialised,
        7,
        "an operand",
    );
    wrong(".loc 1 8 1\nst.global.u32 [%rd5], %r20;", Kind::Uninitialised, 8, "an operand");
}
#[test]
fn local_memory_has_no_value_at_first() {
    right("st.local.u32 [own+4], %r0; ld.local.v2.u32 {%r10, %r11}, [own]; st.global.u32 [%rd5], %r11;", |i| i);
    wrong(
        "st.local.u32 [own+4], %r0; ld.local.v2.u32 {%r10, %r11}, [own]; .loc 1 7 1\nst.global.u32 [%rd5], %r10;",
        Kind::Uninitialised,
        7,
        "an operand",
    );
    // Through a generic address, and a struct of which a byte is copied along and left alone.
    right(
        "cvta.local.u64 %rd10, own; st.u8 [%rd10+8], %r0; ld.u32 %r10, [%rd10+8]; and.b32 %r10, %r10, 255; st.global.u32 [%rd5], %r10;",
        |i| i,
    );
    wrong(
        "cvta.local.u64 %rd10, own; ld.u32 %r10, [%rd10+8]; add.u32 %r10, %r10, 1; .loc 1 9 1\nst.global.u32 [%rd5], %r10;",
        Kind::Uninitialised,
        9,
        "an operand",
    );
}
#[test]
fn threads_that_have_ended_are_not_awaited() {
    let body = "setp.ge.u32 %p1, %r0, 50; @%p1 bra END; st.shared.u32 [%r3], %r0; bar.sync 0; xor.b32 %r5, %r3, 4; ld.shared.u32 %r10, [%r5]; st.global.u32 [%rd5], %r10; END:";
    let (r, out) = launch(body, 1, 128, "", |_| {});
    assert!(r.clean(), "{:?}", r.findings);
    assert!((0..50).all(|i| out[i] == i as u32 ^ 1));
    // Those that come to it later than others in their warp, or not at all and go on, are.
    let body = "setp.ge.u32 %p1, %r0, 50; .loc 1 5 1\n@%p1 bra ELSE; bar.sync 0; ELSE: st.global.u32 [%rd5], %r0;";
    let (r, _) = launch(body, 1, 128, "", |_| {});
    assert_eq!(r.fault, Some(Kind::Divergence), "{:?}", r.findings);
}
#[test]
fn a_plain_load_before_compare_and_exchange() {
    let body = "ld.global.u32 %r10, [%rd1]; AGAIN: mov.u32 %r11, %r10; add.u32 %r12, %r11, 1; atom.global.cas.b32 %r10, [%rd1], %r11, %r12;
        setp.ne.u32 %p1, %r10, %r11; @%p1 bra AGAIN;";
    let count = |body: &str, seed: u64| {
        let (r, _) = launch(body, 5, 1, "", |d| d.options.shuffle = seed);
        r.findings.iter().map(|f| f.kind).collect::<Vec<_>>()
    };
    for seed in 0..5 {
        assert_eq!(count(body, seed), []);
    }
    // What is loaded for another purpose is a race.
    let other = format!(".loc 1 6 1\nld.global.u32 %r15, [%rd1]; mov.u32 %r16, %r15; .loc 1 7 1\n{body}");
    assert_eq!(count(&other, 0), [Kind::Race, Kind::Race]);
}

/// A barrier of the whole grid, as cooperative groups make it.
const GRID_SYNC: &str = "bar.sync 0; mov.u32 %r20, %envreg1; mov.u32 %r21, %envreg2; mov.b64 %rd10, {%r21, %r20};
    setp.ne.u32 %p1, %r0, 0; @%p1 bra MET;
    mov.u32 %r22, %nctaid.x; sub.u32 %r23, 0x80000001, %r22; setp.eq.u32 %p2, %r2, 0; selp.u32 %r24, %r23, 1, %p2;
    .loc 1 12 1\natom.add.release.gpu.u32 %r25, [%rd10+4], %r24;
    POLL: ld.acquire.gpu.u32 %r26, [%rd10+4]; xor.b32 %r27, %r25, %r26; setp.ge.s32 %p3, %r27, 0; @%p3 bra POLL;
    MET: bar.sync 0;";

#[test]
fn blocks_of_a_grid_meet() {
    // Each block writes a word and then reads its neighbour's; more blocks than take turns at first.
    let body = format!(
        "mul.wide.u32 %rd6, %r2, 4; add.s64 %rd7, %rd2, %rd6; setp.eq.u32 %p4, %r0, 0; @%p4 st.global.u32 [%rd7], %r2; {GRID_SYNC}
        add.u32 %r30, %r2, 1; rem.u32 %r30, %r30, %r22; @!%p4 ret; mul.wide.u32 %rd6, %r30, 4; add.s64 %rd7, %rd2, %rd6; ld.global.u32 %r31, [%rd7];
        setp.ne.u32 %p5, %r31, %r30; @%p5 trap;"
    );
    for (seed, threads) in [(0, 1), (3, 1), (0, 2)] {
        let (r, _) = launch(&body, 12, 64, "", |d| {
            (d.options.shuffle, d.options.threads, d.options.max_instructions) = (seed, threads, 1 << 26)
        });
        assert!(r.clean(), "seed {seed}, {threads} threads: {:?}", r.findings);
    }
    let (r, _) = launch(&body, 4, 64, "", |d| d.options.cooperative = false);
    assert_eq!(r.fault, Some(Kind::OutOfBounds), "{:?}", r.findings);
    assert!(r.findings[0].source.ends_with(":12"));
}

#[test]
fn registers_are_moved_within_what_the_block_has() {
    // Of 384 threads each begins with 168 registers: a warpgroup gives 128 back, and two take 64.
    let body = |down: u32, up: u32| {
        format!(
            "setp.lt.u32 %p1, %r0, 128; @%p1 bra PRODUCER; .loc 1 4 1\nsetmaxnreg.inc.sync.aligned.u32 {up}; bra MET;
            PRODUCER: .loc 1 5 1\nsetmaxnreg.dec.sync.aligned.u32 {down}; MET: bar.sync 0; st.global.u32 [%rd4], %r0;"
        )
    };
    let run = |body: &str, head: &str, seed| {
        launch(body, 1, 256 + 128, head, |d| {
            d.options.shuffle = seed;
            let more = d.memory.alloc(4096, "more").unwrap();
            d.memory.write(more, &[0; 4096]).unwrap();
        })
        .0
    };
    let small = |s: String| s.replace("st.global.u32 [%rd4], %r0;", "");
    for seed in 0..5 {
        assert!(run(&small(body(40, 232)), ".maxntid 384, 1, 1 .minnctapersm 1", seed).clean());
        let r = run(&small(body(40, 240)), ".maxntid 384, 1, 1 .minnctapersm 1", seed);
        assert!(r.fault == Some(Kind::Deadlock) && r.findings[0].source.ends_with(":4"), "{:?}", r.findings);
        assert!(r.findings[0].message.contains("more registers"), "{:?}", r.findings);
    }
    // Without a limit nobody can know what there is.
    assert!(run(&small(body(40, 240)), "", 0).clean());
    let r = run(&small(body(176, 232)), ".maxntid 384, 1, 1 .minnctapersm 1", 0);
    assert!(r.fault == Some(Kind::Trap) && r.findings[0].source.ends_with(":5"), "{:?}", r.findings);
    let r = run(&small(body(40, 96)), ".maxnreg 88", 0);
    assert!(r.clean(), "{:?}", r.findings);
    // One warp of a warpgroup alone.
    let lone = "setp.lt.u32 %p1, %r0, 32; .loc 1 6 1\n@%p1 bra L; bra M; L: setmaxnreg.dec.sync.aligned.u32 24; M: bar.sync 0;";
    assert_eq!(run(lone, ".maxntid 384, 1, 1 .minnctapersm 1", 0).fault, Some(Kind::Deadlock));
    let e = Module::load(&format!("{HEAD}.entry k() {{ setmaxnreg.dec.sync.aligned.u32 20; ret; }}")).unwrap_err();
    assert!(e.to_string().contains("24 to 256"), "{e}");
}

#[test]
fn phases_that_nobody_sees_end() {
    // The first warp fills a word twice, the second reads it once for each time.
    let body = |wait: &str| {
        format!("setp.eq.u32 %p1, %r0, 0; @%p1 mbarrier.init.shared.b64 [%r1], 1; @%p1 mbarrier.init.shared.b64 [%r1+8], 32; bar.sync 0;
            mov.u32 %r5, 0; setp.ge.u32 %p2, %r0, 32; @%p2 bra READER; @!%p1 ret;
            WRITER: {wait} st.shared.u32 [%r1+128], %r5; .loc 1 6 1\nmbarrier.arrive.shared.b64 _, [%r1]; add.u32 %r5, %r5, 1; setp.lt.u32 %p3, %r5, 4; @%p3 bra WRITER; ret;
            READER: and.b32 %r6, %r5, 1; W: mbarrier.try_wait.parity.shared.b64 %p4, [%r1], %r6; @!%p4 bra W;
            ld.shared.u32 %r7, [%r1+128]; mbarrier.arrive.shared.b64 _, [%r1+8]; add.u32 %r5, %r5, 1; setp.lt.u32 %p3, %r5, 4; @%p3 bra READER;")
    };
    let wait = "xor.b32 %r8, %r5, 1; and.b32 %r8, %r8, 1; V: mbarrier.try_wait.parity.shared.b64 %p5, [%r1+8], %r8; @!%p5 bra V;";
    for seed in 0..5 {
        let (r, _) = launch(&body(wait), 1, 64, "", |d| d.options.shuffle = seed);
        assert!(r.clean(), "{:?}", r.findings);
    }
    let (r, _) = launch(&body(""), 1, 64, "", |_| {});
    let f = &r.findings[0];
    assert!(
        f.kind == Kind::Race && f.source.ends_with(":6") && f.message.contains("nobody had seen the end of phase 0"),
        "{f}"
    );
}
