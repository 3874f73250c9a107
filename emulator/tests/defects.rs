//! Kernels with one defect each, and the finding that has to name it: kind, source line, lane or block, and the allocation.

use gpu_emulator::{Device, Dim3, Entry, Finding, Kind, Module, Report};

const HEAD: &str = ".version 8.0\n.target sm_80\n.address_size 64\n.file 1 \"kernels/bad.cu\"\n";

struct Run {
    report: Report,
    out: Vec<u32>,
}

/// A kernel with parameters `pin` (`%rd1`) and `pout` (`%rd2`), `%r0` the thread, `%r1` the start of 4 KiB of shared memory.
fn launch(body: &str, blocks: u32, threads: u32, prepare: impl Fn(&mut Device)) -> Run {
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 pin, .param .u64 pout)
{{
    .reg .pred %p<9>; .reg .b32 %r<60>; .reg .f32 %f<20>; .reg .b64 %rd<30>; .shared .align 128 .b8 sm[4096];
    ld.param.u64 %rd1, [pin]; ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; mov.u32 %r1, sm; mov.u32 %r2, %ctaid.x;
    mul.wide.u32 %rd3, %r0, 4; add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3; shl.b32 %r3, %r0, 2; add.u32 %r3, %r3, %r1; shr.u32 %r4, %r0, 5;
    {body}
    ret;
}}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    d.options.max_instructions = 1 << 20;
    let (a, b) = (d.memory.alloc(1000, "input").unwrap(), d.memory.alloc(1000, "output").unwrap());
    d.memory.write(a, &[0; 1000]).unwrap();
    prepare(&mut d);
    let params: Vec<u8> = [a, b].iter().flat_map(|x| x.to_le_bytes()).collect();
    let e: &Entry = m.entry("k").unwrap();
    let report = d.launch(e, Dim3::x(blocks), Dim3::x(threads), 0, &params).unwrap();
    let mut out = vec![0; 1000];
    d.memory.read(b, &mut out).unwrap();
    Run { report, out: out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect() }
}
fn run(body: &str, threads: u32) -> Run {
    launch(body, 1, threads, |_| {})
}
#[track_caller]
fn the_one(r: &Run, kind: Kind, line: u32, text: &str) -> Finding {
    let at = format!("kernels/bad.cu:{line}");
    let f = r
        .report
        .findings
        .iter()
        .find(|f| f.kind == kind && f.source.ends_with(&at))
        .unwrap_or_else(|| panic!("no {kind} at {at} in {:?}", r.report.findings));
    assert!(f.to_string().contains(text), "'{text}' is not in: {f}");
    assert_eq!(r.report.fault.is_some(), kind.fatal());
    f.clone()
}
#[track_caller]
fn clean(r: &Run) {
    assert!(r.report.clean(), "{:?}", r.report.findings);
}

#[test]
fn store_past_the_end() {
    let r = run("setp.lt.u32 %p1, %r0, 250; .loc 1 11 3\n st.global.u32 [%rd5], %r0;", 256);
    let f = the_one(&r, Kind::OutOfBounds, 11, "1 bytes past the end of output of 1000 bytes");
    assert_eq!((f.warp, f.lane), (7, Some(26)));
    clean(&run("setp.lt.u32 %p1, %r0, 250; @%p1 st.global.u32 [%rd5], %r0;", 256));
}
#[test]
fn load_before_the_start_and_across_the_end() {
    let r = run(".loc 1 12 3\n ld.global.u32 %r5, [%rd1+-4];", 1);
    the_one(&r, Kind::OutOfBounds, 12, "4 bytes before input");
    let r = run("add.s64 %rd6, %rd1, 992; .loc 1 13 3\n ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd6];", 1);
    the_one(&r, Kind::OutOfBounds, 13, "runs past the end: 992 bytes into input");
}
#[test]
fn null_and_wild_pointers() {
    let r = run("mov.u64 %rd6, 0; .loc 1 14 3\n ld.global.u32 %r5, [%rd6];", 1);
    the_one(&r, Kind::OutOfBounds, 14, "near no allocation");
}
#[test]
fn use_after_free() {
    let r = launch("mov.u64 %rd6, 0x700000020400; .loc 1 15 3\n ld.global.u32 %r5, [%rd6];", 1, 1, |d| {
        let p = d.memory.alloc(64, "scratch").unwrap();
        assert_eq!(p, 0x7000_0002_0800);
        let q = d.memory.alloc(64, "gone").unwrap();
        d.memory.free(q).unwrap();
        d.memory.free(p).unwrap();
    });
    assert_eq!(r.report.fault, Some(Kind::OutOfBounds));
    let r = launch("mov.u64 %rd6, 0x700000020800; .loc 1 15 3\n ld.global.u32 %r5, [%rd6];", 1, 1, |d| {
        let p = d.memory.alloc(64, "scratch").unwrap();
        d.memory.free(p).unwrap();
    });
    the_one(&r, Kind::OutOfBounds, 15, "scratch of 64 bytes, which was freed");
}
#[test]
fn misaligned_vectors() {
    let r = run(".loc 1 16 3\n ld.global.v2.u32 {%r5, %r6}, [%rd4];", 2);
    let f = the_one(&r, Kind::Misaligned, 16, "4 modulo 8");
    assert_eq!(f.lane, Some(1));
    let r = run(".loc 1 17 3\n cp.async.cg.shared.global [%r1], [%rd1+8], 16;", 1);
    the_one(&r, Kind::Misaligned, 17, "8 modulo 16");
    let r = run(
        "mov.u32 %r5, 1; st.shared.u32 [%r3], %r5; bar.sync 0; .loc 1 18 3\n ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r6}, [%r3];",
        32,
    );
    let f = the_one(&r, Kind::Misaligned, 18, "shared");
    assert_eq!(f.lane, Some(1));
}
#[test]
fn shared_memory_bounds() {
    let r = run("mov.u32 %r5, 1; .loc 1 19 3\n st.shared.u32 [%r1+4096], %r5;", 1);
    the_one(&r, Kind::OutOfBounds, 19, "offset 4096 of 4096 bytes");
}
#[test]
fn uninitialised_reads() {
    let r = run(".loc 1 20 3\n ld.shared.u32 %r5, [%r3];", 32);
    the_one(&r, Kind::Uninitialised, 20, "nothing has written");
    let r = run(".loc 1 21 3\n ld.global.u32 %r5, [%rd5];", 32);
    the_one(&r, Kind::Uninitialised, 21, "output");
    // One byte of four is missing.
    let r = run(
        "mov.u32 %r5, 1; st.shared.u16 [%r3], %r5; st.shared.u8 [%r3+2], %r5; .loc 1 22 3\n ld.shared.u32 %r5, [%r3];",
        1,
    );
    the_one(&r, Kind::Uninitialised, 22, "read of 4 bytes");
}
#[test]
fn what_is_loaded_ahead_and_never_used() {
    let fill = "st.shared.u32 [%r3], %r0; bar.sync 0; mov.u32 %r10, 0; mov.u32 %r11, 0; mov.u32 %r13, %r3;";
    // Each step loads what the next one adds; the last of them loads what nothing has written.
    let steps = |last: &str| {
        format!(
            "{fill} .loc 1 20 3\n ld.shared.u32 %r5, [%r13];
            L: add.u32 %r13, %r13, 2048; .loc 1 21 3\n ld.shared.u32 %r6, [%r13]; add.u32 %r10, %r10, %r5; mov.b32 %r5, %r6;
            add.u32 %r11, %r11, 1; setp.lt.u32 %p1, %r11, 1; @%p1 bra L; {last} st.global.u32 [%rd5], %r10;"
        )
    };
    let r = run(&steps(""), 128);
    clean(&r);
    assert_eq!(r.out[..128], (0..128).collect::<Vec<_>>());
    // Written over is as good as never used.
    clean(&run(&steps("mov.u32 %r5, 0; add.u32 %r10, %r10, %r5;"), 128));
    // The one lane that has something uses it.
    let some = "setp.eq.u32 %p2, %r0, 3; @%p2 st.shared.u32 [%r3+2048], 0;";
    let one = steps("@%p2 add.u32 %r10, %r10, %r5;").replace("bar.sync 0;", &format!("{some} bar.sync 0;"));
    clean(&run(&one, 128));
    for last in ["add.u32 %r10, %r10, %r5;", "mov.b32 %r7, %r5; @%p1 bra M; xor.b32 %r10, %r10, %r7; M:"] {
        let f = the_one(&run(&steps(last), 128), Kind::Uninitialised, 21, "nothing has written");
        assert_eq!(f.lane, Some(0));
        assert_eq!(f.count, 128);
    }
    // Rows of a matrix go to four lanes each, or to every fourth.
    let matrix = |trans: &str, row: u32, lane: u32| {
        format!(
            "setp.lt.u32 %p1, %r0, 4; mad.lo.u32 %r8, %r0, 16, %r1; and.b32 %r9, %r0, 7; mad.lo.u32 %r9, %r9, 16, %r1; shr.u32 %r12, %r0, 2;
            setp.ne.u32 %p2, %r0, {row}; setp.lt.and.u32 %p2, %r0, 8, %p2; @%p2 st.shared.v4.u32 [%r8], {{%r0, %r0, %r0, %r0}}; bar.warp.sync 0xffffffff;
            .loc 1 22 3\n ldmatrix.sync.aligned.m8n8.x1{trans}.shared.b16 {{%r5}}, [%r9];
            setp.eq.u32 %p3, %r0, {lane}; @%p3 add.u32 %r5, %r5, 1; @%p3 st.global.u32 [%rd5], %r5;"
        )
    };
    for lane in 0..32 {
        for (trans, mine) in [("", lane / 4 == 5), (".trans", lane % 4 == 5 / 2)] {
            let r = run(&matrix(trans, 5, lane), 32);
            if mine {
                the_one(&r, Kind::Uninitialised, 22, "offset 80 that nothing has written");
            } else {
                clean(&r);
            }
        }
    }
}
#[test]
fn copy_read_before_its_wait() {
    let copy = "cp.async.ca.shared.global [%r3], [%rd4], 4; cp.async.commit_group;";
    let r = run(&format!("{copy} .loc 1 23 3\n ld.shared.u32 %r5, [%r3];"), 32);
    the_one(&r, Kind::Uninitialised, 23, "asynchronous copy still has to write");
    clean(&run(&format!("{copy} cp.async.wait_group 0; ld.shared.u32 %r5, [%r3];"), 32));
    // Another warp's copies need a barrier besides its wait, even where it happens to be done in time.
    let other = "xor.b32 %r6, %r3, 128;";
    let r = run(&format!("{copy} cp.async.wait_group 0; {other} .loc 1 24 3\n ld.shared.u32 %r5, [%r6];"), 64);
    let f = r.report.findings.iter().find(|f| f.source.ends_with(":24")).unwrap();
    assert!(matches!(f.kind, Kind::Race | Kind::Uninitialised), "{f}");
    clean(&run(&format!("{copy} cp.async.wait_group 0; bar.sync 0; {other} ld.shared.u32 %r5, [%r6];"), 64));
    // The barrier without the wait does not help.
    let r = run(&format!("{copy} bar.sync 0; {other} .loc 1 25 3\n ld.shared.u32 %r5, [%r6];"), 64);
    the_one(&r, Kind::Uninitialised, 25, "no wait for its group");
}
#[test]
fn missing_barriers() {
    let (store, other) = ("st.shared.u32 [%r3], %r0;", "xor.b32 %r6, %r3, 128;");
    let r = run(&format!(".loc 1 30 3\n {store} {other} .loc 1 31 3\n ld.shared.u32 %r5, [%r6];"), 64);
    let f = the_one(&r, Kind::Race, 31, "not ordered after the write by warp 0 at kernels/bad.cu:30");
    assert_eq!(f.warp, 1);
    clean(&run(&format!("{store} bar.sync 0; {other} ld.shared.u32 %r5, [%r6];"), 64));
    // Overwriting what another warp still reads gives the right numbers here, and is a race.
    let r = run(&format!("{store} bar.sync 0; {other} ld.shared.u32 %r5, [%r6]; .loc 1 33 3\n {store}"), 64);
    the_one(&r, Kind::Race, 33, "not ordered after the read");
    clean(&run(&format!("{store} bar.sync 0; {other} ld.shared.u32 %r5, [%r6]; bar.sync 0; {store}"), 64));
    // A copy into a buffer that is still read.
    let r = run(
        &format!(
            "{store} bar.sync 0; {other} ld.shared.u32 %r5, [%r6]; .loc 1 34 3\n cp.async.ca.shared.global [%r3], [%rd4], 4;"
        ),
        64,
    );
    the_one(&r, Kind::Race, 34, "not ordered after the read");
    // A barrier of half of the warps orders only these.
    let r = run(
        &format!(
            "{store} setp.lt.u32 %p1, %r4, 2; @!%p1 bra L; bar.sync 1, 64; L: {other} .loc 1 35 3\n ld.shared.u32 %r5, [%r6];"
        ),
        128,
    );
    let f = the_one(&r, Kind::Race, 35, "");
    assert!(f.warp >= 2);
}
#[test]
fn a_race_that_is_meant() {
    let body = "st.shared.u32 [%r3], %r0; xor.b32 %r6, %r3, 128; .loc 1 36 3\n ld.shared.u32 %r5, [%r6];";
    let allow = |what: &'static str| {
        launch(body, 1, 64, move |d| {
            d.options.check_init = false;
            d.options.allow_race = vec![what.into()];
        })
    };
    clean(&allow("k"));
    assert!(!allow("other").report.clean());
    let left = allow("bad.cu:36").report.findings;
    assert!(left.iter().all(|f| !f.source.contains(":36")));
}
#[test]
fn random_turns() {
    // Ordered: every order of warps gives the same. Not ordered: some order gives something else.
    let body = |sync: &str| {
        format!(
            "st.shared.u32 [%r3], %r0; {sync} xor.b32 %r6, %r3, 896; ld.shared.u32 %r5, [%r6]; st.global.u32 [%rd5], %r5;"
        )
    };
    let go = |body: &str, seed: u64| {
        launch(body, 1, 224, move |d| {
            d.options.check_init = false;
            d.options.shuffle = seed;
        })
    };
    let (good, bad) = (body("bar.sync 0;").replace("896", "128"), body("").replace("896", "128"));
    let first = go(&good, 0);
    let mut different = 0;
    for seed in 1..20 {
        let r = go(&good, seed);
        clean(&r);
        assert_eq!(r.out, first.out);
        assert_eq!(r.report.counters, first.report.counters);
        different += u32::from(go(&bad, seed).out != first.out);
    }
    assert!(different > 0);
}
#[test]
fn barriers_that_never_open() {
    let r = run("setp.eq.u32 %p1, %r4, 0; @%p1 bra L; .loc 1 40 3\n bar.sync 1, 128; L:", 96);
    assert_eq!(r.report.fault, Some(Kind::Deadlock));
    let r = run("setp.eq.u32 %p1, %r4, 0; @%p1 bra L; .loc 1 41 3\n bar.sync 1, 96; L:", 96);
    let f = the_one(
        &r,
        Kind::Deadlock,
        41,
        "warp 1 waits at barrier 1 (64 arrived, 96 threads needed) at kernels/bad.cu:41",
    );
    assert_eq!(f.cta, [0, 0, 0]);
    let r = run("setp.lt.u32 %p1, %r0, 16; @%p1 bra L; .loc 1 42 3\n bar.sync 0; bra M; L: bar.sync 2; M:", 32);
    the_one(&r, Kind::Divergence, 42, "needs lanes");
}
#[test]
fn matrices_need_whole_warps() {
    let r = run(
        "setp.lt.u32 %p1, %r0, 16; mov.u32 %r5, 0; @!%p1 bra L; .loc 1 43 3\n ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r6}, [%r1]; L: bar.warp.sync 0xffffffff;",
        32,
    );
    assert!(matches!(r.report.fault, Some(Kind::Divergence)), "{:?}", r.report.findings);
    let r = run(
        "mov.u32 %r5, 0; .loc 1 44 3\n mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%r6, %r7}, {%r5, %r5}, {%r5}, {%r5, %r5};",
        20,
    );
    the_one(&r, Kind::Divergence, 44, "some lanes have ended or do not exist");
}
#[test]
fn shuffles_from_absent_lanes() {
    let r =
        run("setp.lt.u32 %p1, %r0, 16; @!%p1 bra L; .loc 1 45 3\n shfl.sync.bfly.b32 %r5, %r0, 16, 31, 0xffff; L:", 32);
    the_one(&r, Kind::Divergence, 45, "does not take part");
}
#[test]
fn endless_loops() {
    let r = run(".loc 1 46 3\n L: ld.volatile.global.u32 %r5, [%rd1]; setp.eq.u32 %p1, %r5, 0; @%p1 bra L;", 32);
    assert_eq!(r.report.fault, Some(Kind::Deadlock));
    the_one(&r, Kind::Deadlock, 46, "what nobody left can change");
    // One that counts does something new every time: the limit ends it.
    let r = run(
        "mov.u32 %r6, 0; .loc 1 47 3\n L: add.u32 %r6, %r6, 1; ld.volatile.global.u32 %r5, [%rd1]; setp.eq.u32 %p1, %r5, 0; @%p1 bra L; st.global.u32 [%rd5], %r6;",
        32,
    );
    the_one(&r, Kind::Timeout, 47, "still running after");
}
#[test]
fn a_block_may_wait_for_a_later_one() {
    // Block 0 spins until block 2 has set a flag.
    let body = "setp.eq.u32 %p1, %r2, 2; mov.u32 %r7, 1; @%p1 st.release.gpu.global.u32 [%rd1], %r7; setp.eq.u32 %p2, %r2, 0; @!%p2 ret;
        L: ld.acquire.gpu.global.u32 %r5, [%rd1]; setp.eq.u32 %p1, %r5, 0; @%p1 bra L; st.global.u32 [%rd5], %r5;";
    let r = launch(body, 3, 1, |_| {});
    clean(&r);
    assert_eq!(r.out[0], 1);
    // Without turns the one that would set the flag never starts.
    let r = launch(body, 3, 1, |d| d.options.resident = 1);
    assert_eq!(r.report.fault, Some(Kind::Deadlock));
}
#[test]
fn traps() {
    let r = run("setp.eq.u32 %p1, %r0, 3; .loc 1 47 3\n @%p1 trap;", 32);
    let f = the_one(&r, Kind::Trap, 47, "trap");
    assert_eq!(f.lane, Some(3));
}
#[test]
fn blocks_that_write_the_same() {
    let r = launch(".loc 1 50 3\n st.global.u32 [%rd5], %r2;", 2, 32, |_| {});
    let f = the_one(&r, Kind::Race, 50, "also written by block 0");
    assert_eq!(f.cta, [1, 0, 0]);
    // Neighbouring halves of one word belong to different blocks without harm.
    clean(&launch("mul.wide.u32 %rd6, %r2, 2; add.s64 %rd6, %rd6, %rd5; st.global.u16 [%rd6], %r2;", 2, 32, |_| {}));
    // So do neighbouring bytes; the same byte, or a byte of what another block writes whole, is another matter.
    let byte = "cvt.u64.u32 %rd6, %r2; add.s64 %rd6, %rd6, %rd5; st.global.u8 [%rd6], %r2;";
    clean(&launch(byte, 2, 1, |_| {}));
    let r = launch(".loc 1 52 3\n st.global.u8 [%rd5], %r2;", 2, 1, |_| {});
    the_one(&r, Kind::Race, 52, "also written by block 0");
    let r = launch(
        "setp.eq.u32 %p1, %r2, 0; @%p1 st.global.u8 [%rd5+1], %r0; @%p1 ret; .loc 1 53 3\n st.global.u32 [%rd5], %r0;",
        2,
        1,
        |_| {},
    );
    the_one(&r, Kind::Race, 53, "write of global memory 1 bytes into");
    // Reading what another block writes.
    let r = launch(
        "setp.eq.u32 %p1, %r2, 0; @%p1 st.global.u32 [%rd5], %r0; @%p1 ret; .loc 1 51 3\n ld.global.u32 %r5, [%rd5];",
        2,
        32,
        |_| {},
    );
    the_one(&r, Kind::Race, 51, "written by block 0 with no order");
    // The last block to arrive at a counter may read what the others wrote.
    let last = "mul.wide.u32 %rd6, %r2, 128; add.s64 %rd6, %rd6, %rd5; st.global.u32 [%rd6], %r0; membar.gl; bar.sync 0; mov.u32 %r7, 0;
        setp.eq.u32 %p1, %r0, 0; @%p1 atom.global.add.u32 %r7, [%rd1], 1; setp.eq.u32 %p2, %r7, 2; vote.sync.any.pred %p3, %p2, 0xffffffff;
        @!%p3 ret; ld.global.u32 %r8, [%rd5]; ld.global.u32 %r9, [%rd5+128]; ld.global.u32 %r10, [%rd5+256]; add.u32 %r8, %r8, %r9; add.u32 %r8, %r8, %r10; st.global.u32 [%rd5+512], %r8;";
    let r = launch(last, 3, 32, |_| {});
    clean(&r);
    assert_eq!(r.out[128 + 5], 15);
}
#[test]
fn flags_order_blocks() {
    // Data, then a flag with release; the reader sees the flag with acquire, then the data.
    let body = "setp.eq.u32 %p2, %r2, 0; @!%p2 bra W;
        L: ld.acquire.gpu.global.u32 %r5, [%rd1]; setp.eq.u32 %p1, %r5, 0; @%p1 bra L; ld.global.u32 %r6, [%rd2]; st.global.u32 [%rd2+4], %r6; ret;
        W: mov.u32 %r7, 9; st.global.u32 [%rd2], %r7; st.release.gpu.global.u32 [%rd1], %r7;";
    let r = launch(body, 2, 1, |_| {});
    clean(&r);
    assert_eq!(r.out[1], 9);
}
#[test]
fn every_element_written_once() {
    let expect = |body: &str, blocks: u32| {
        launch(body, blocks, 32, |d| {
            // Three rows of 32 bytes, 40 apart, in the second allocation.
            d.options.written_once =
                vec![gpu_emulator::Region { address: 0x7000_0001_0400, row_bytes: 32, rows: 3, pitch: 40 }];
        })
    };
    let row = "shr.u32 %r5, %r0, 3; and.b32 %r6, %r0, 7; mad.lo.u32 %r7, %r5, 40, 0; mad.lo.u32 %r7, %r6, 4, %r7; cvt.u64.u32 %rd6, %r7; add.s64 %rd6, %rd6, %rd2; setp.lt.u32 %p1, %r5, 3;";
    clean(&expect(&format!("{row} @%p1 st.global.u32 [%rd6], %r0;"), 1));
    let r =
        expect(&format!("{row} @%p1 st.global.u32 [%rd6], %r0; .loc 1 70 1\n @%p1 st.global.u16 [%rd6+2], %r0;"), 1);
    the_one(&r, Kind::Coverage, 70, "written a second time");
    let r =
        expect(&format!("{row} add.u32 %r6, %r6, 1; .loc 1 71 1\n @%p1 st.global.v2.u16 [%rd6+8], {{%r0, %r0}};"), 1);
    the_one(&r, Kind::Coverage, 71, "between the rows");
    let r = expect(&format!("{row} setp.ne.and.u32 %p1, %r0, 9, %p1; @%p1 st.global.u32 [%rd6], %r0;"), 1);
    let f = &r.report.findings[0];
    assert!(
        f.kind == Kind::Coverage && f.message.contains("4 bytes never written, the first in row 1 at byte 4"),
        "{f}"
    );
}
#[test]
fn several_launches_write_an_output_together() {
    // Writes `count` elements, of four bytes, from `from` on.
    let part = |from: u32, count: u32, line: u32| {
        let body = format!(
            "add.u32 %r5, %r0, {from}; mul.wide.u32 %rd6, %r5, 4; add.s64 %rd6, %rd6, %rd2; .loc 1 {line} 1
             setp.lt.u32 %p1, %r0, {count}; @%p1 st.global.u32 [%rd6], %r0;"
        );
        let ptx = format!(
            "{HEAD}.visible .entry k(.param .u64 pout) {{ .reg .pred %p<2>; .reg .b32 %r<6>; .reg .b64 %rd<7>;
             ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; {body} ret; }}"
        );
        Module::load(&ptx).unwrap()
    };
    let expect = |parts: &[(u32, u32)], together: u32| -> Vec<Report> {
        let mut d = Device::new();
        let out = d.memory.alloc(64, "output").unwrap();
        d.options.written_once = vec![gpu_emulator::Region { address: out, row_bytes: 64, rows: 1, pitch: 64 }];
        d.options.written_by = together;
        let launch = |d: &mut Device, &(from, count): &(u32, u32)| {
            let m = part(from, count, 80 + from);
            d.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(32), 0, &out.to_le_bytes()).unwrap()
        };
        parts.iter().map(|p| launch(&mut d, p)).collect()
    };
    let missing = "never written, the first in row 0 at byte";
    let said = |r: &Report, text: &str| {
        assert!(
            r.findings.len() == 1 && r.findings[0].kind == Kind::Coverage && r.findings[0].message.contains(text),
            "no '{text}' in {:?}",
            r.findings
        );
    };
    // Twice over, so that the second pair starts afresh.
    for report in expect(&[(0, 10), (10, 6), (0, 3), (3, 13)], 2) {
        assert!(report.clean(), "{:?}", report.findings);
    }
    let gap = expect(&[(0, 10), (11, 5)], 2);
    assert!(gap[0].clean(), "{:?}", gap[0].findings);
    said(&gap[1], &format!("4 bytes {missing} 40"));
    let twice = expect(&[(0, 10), (9, 7)], 2);
    said(&twice[1], "byte 36 of row 0 of an output is written a second time, the first was by an earlier launch");
    assert!(twice[1].findings[0].source.ends_with("kernels/bad.cu:89"), "{}", twice[1].findings[0].source);
    said(&expect(&[(0, 10), (10, 6)], 1)[1], &format!("40 bytes {missing} 0"));
}
#[test]
fn constants_are_read_only() {
    let ptx = format!(
        "{HEAD}.const .align 4 .u32 c = 5;\n.visible .entry k() {{ .reg .b32 %r<3>; .reg .b64 %rd<3>; mov.u64 %rd1, c; mov.u32 %r1, 1; .loc 1 60 1\n st.global.u32 [%rd1], %r1; ret; }}"
    );
    let m = Module::load(&ptx).unwrap();
    let r = Device::new().launch(&m.entries()[0], Dim3::x(1), Dim3::x(1), 0, &[]).unwrap();
    assert_eq!(r.fault, Some(Kind::ReadOnly));
    assert!(r.findings[0].source.ends_with("bad.cu:60"));
}
#[test]
fn readers_of_a_part_of_what_others_read() {
    // Warps 0 and 1 read sixteen bytes, warp 2 two of them; warp 3 comes after the first two only.
    let body = |at: u32| {
        format!(
            "setp.ne.u32 %p1, %r4, 3; @%p1 bra W; st.shared.v4.u32 [%r1], {{%r0, %r0, %r0, %r0}}; W: bar.sync 0;
            setp.ge.u32 %p2, %r4, 2; @%p2 bra N; ld.shared.v4.u32 {{%r5, %r6, %r7, %r8}}, [%r1]; N:
            setp.ne.u32 %p3, %r4, 2; @%p3 bra O; .loc 1 60 3\nld.shared.u16 %r5, [%r1+4]; bra OUT; O: bar.sync 1, 96;
            @%p1 bra OUT; .loc 1 61 3\nst.shared.u16 [%r1+{at}], %r0; OUT:"
        )
    };
    for at in [0, 2, 6, 8, 14] {
        clean(&run(&body(at), 128));
    }
    the_one(&run(&body(4), 128), Kind::Race, 61, "the read by warp 2 at kernels/bad.cu:60");
}
#[test]
fn strong_reads_meet_strong_writes_and_plain_ones_do_not() {
    let init = "st.shared.u32 [%r1], %r0; bar.sync 0;".replace("st.", "@!%p8 st.");
    let body = |read: &str, again: &str, write: &str| {
        format!(
            "setp.ne.u32 %p8, %r0, 0; {init} setp.ne.u32 %p1, %r4, 3; @!%p1 bra W; .loc 1 60 3\n {read} %r5, [%r1]; {again} bra OUT;
            W: .loc 1 61 3\n{write}; OUT:"
        )
    };
    let (volatile, add) = ("st.volatile.shared.u32 [%r1], 7", "atom.shared.add.u32 %r6, [%r1], 1");
    // One reader, and several of which some read twice, of either kind.
    for many in [true, false] {
        let body = |read: &str, again: &str, write: &str| {
            let b = body(read, again, write);
            if many { b } else { b.replace("@!%p1 bra W;", "@!%p1 bra W; setp.ne.u32 %p2, %r4, 2; @%p2 bra OUT;") }
        };
        for write in [volatile, add] {
            for seed in 0..4 {
                let shuffled = |d: &mut Device| d.options.shuffle = seed;
                clean(&launch(&body("ld.volatile.shared.u32", "", write), 1, 128, shuffled));
                let r = launch(&body("ld.shared.u32", "", write), 1, 128, shuffled);
                assert!(r.report.findings.iter().any(|f| f.kind == Kind::Race), "{write}, seed {seed}");
            }
            // A strong read after the plain one hides nothing.
            let r = run(&body("ld.shared.u32", "ld.volatile.shared.u32 %r7, [%r1];", write), 128);
            the_one(&r, Kind::Race, 61, "not ordered after the read");
        }
        let r = run(&body("ld.volatile.shared.u32", "", "st.shared.u32 [%r1], 7"), 128);
        the_one(&r, Kind::Race, 61, "not ordered after the read");
    }
}
#[test]
fn launches_that_cannot_be_made() {
    let m = Module::load(&format!("{HEAD}.visible .entry k(.param .u32 a) .maxntid 64, 1, 1 {{ ret; }}")).unwrap();
    let mut d = Device::new();
    let e = &m.entries()[0];
    assert!(d.launch(e, Dim3::x(1), Dim3::x(64), 0, &[0; 4]).unwrap().clean());
    assert!(d.launch(e, Dim3::x(1), Dim3::x(65), 0, &[0; 4]).is_err());
    assert!(d.launch(e, Dim3::x(0), Dim3::x(64), 0, &[0; 4]).is_err());
    assert!(d.launch(e, Dim3::x(1), Dim3::x(64), 0, &[0; 8]).is_err());
    assert!(d.launch(e, Dim3::x(1), Dim3::x(64), 1 << 20, &[0; 4]).is_err());
}

#[test]
fn unknown_forms_are_errors_with_their_line() {
    for (text, what) in [
        ("add.wrong.u32 %r1, %r1, 1;", "add.wrong.u32: unsupported modifier '.wrong'"),
        ("frobnicate.b32 %r1, %r1;", "unknown opcode 'frobnicate'"),
        ("add.u32 %r1, %r1;", "3 operands expected, 2 given"),
        ("add.u32 %r1, %rd1, 1;", "'%rd1' is not a register of 32 bits or less"),
        ("add.u64 %rd1, %r1, 1;", "'%r1' is not a register of 64 bits"),
        ("mov.u32 %r1, %r99;", "no register '%r99'"),
        ("bra NOWHERE;", "no label 'NOWHERE'"),
        ("ld.global.u32 %r1, [%r1];", "an address of 32 bits"),
        ("ld.global.v8.u32 {%r1, %r2}, [%rd1];", "unsupported form (vector length)"),
        ("mma.sync.aligned.m16n8k128.row.col.s32.s4.s4.s32 {%r1}, {%r1}, {%r1}, {%r1};", "unsupported form (shape)"),
        ("mma.sync.aligned.m16n8k32.row.col.f32.s8.s8.f32 {%r1}, {%r1}, {%r1}, {%r1};", "unsupported form (types)"),
        ("mma.sync.aligned.m16n8k8.row.col.f32.tf32.bf16.f32 {%r1}, {%r1}, {%r1}, {%r1};", "unsupported form (types)"),
        (
            "mma.sync.aligned.m16n8k16.row.col.satfinite.f32.f16.f16.f32 {%r1}, {%r1}, {%r1}, {%r1};",
            "unsupported form (types)",
        ),
        ("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%r1}, {%r1}, {%r1}, {%r1};", "needs sm_89"),
        ("wgmma.fence.sync.aligned;", "needs sm_90a, the target is sm_80"),
        ("cp.async.cg.shared.global [%r1], [%rd1], 8;", "unsupported form (copy size)"),
        ("div.full.u32 %r1, %r1, %r1;", "unsupported form"),
        ("call.uni nothing, ();", "no function 'nothing'"),
        ("@%r1 ret;", "'%r1' is not a predicate"),
        ("mov.b64 %rd1, {%r1, %r2, %r3};", "unsupported form (vector)"),
    ] {
        let ptx = format!(
            "{HEAD}.visible .entry k()\n{{\n.reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p<2>;\n.loc 1 77 1\n{text}\nret;\n}}"
        );
        let e = Module::load(&ptx).unwrap_err();
        assert!(e.message.contains(what), "{text}: {e}");
        assert_eq!(e.ptx_line, 9, "{text}: {e}");
        assert_eq!(e.source.as_deref(), Some("kernels/bad.cu:77"), "{text}");
    }
}

#[test]
fn device_functions_that_call_themselves_are_refused() {
    let ptx = format!("{HEAD}.func f() {{ call.uni f, (); ret; }}\n.visible .entry k() {{ call.uni f, (); ret; }}");
    assert!(Module::load(&ptx).unwrap_err().message.contains("recursion"));
}
#[test]
fn lines_that_the_compiler_left_out() {
    // `.loc` with line zero: the access belongs to what follows.
    let r = run(
        "bar.sync 0; .loc 1 0 3\n ld.shared.u32 %r5, [%r3]; .loc 1 85 3\n add.u32 %r5, %r5, 1; st.global.u32 [%rd5], %r5;",
        32,
    );
    the_one(&r, Kind::Uninitialised, 85, "that nothing has written");
    // Nothing follows but the end of the run: what stands before.
    let r = run(
        ".loc 1 86 3\n mov.u32 %r6, %r3; .loc 1 0 3\n ld.shared.u32 %r5, [%r6]; bra L; L: .loc 1 87 3\n st.global.u32 [%rd5], %r5;",
        32,
    );
    the_one(&r, Kind::Uninitialised, 86, "that nothing has written");
}
#[test]
fn wavefronts_of_fragments() {
    // A 16x16 fragment of halves with rows of `ld` elements is four 8x8 tiles; an accumulator in rows is a request for each tile.
    let counts = |ld: u32| {
        let words = 16 * ld / 2;
        let body = format!(
            "mov.u32 %r6, %r0; F: setp.ge.u32 %p1, %r6, {words}; @%p1 bra D; shl.b32 %r7, %r6, 2; add.u32 %r7, %r7, %r1; st.shared.u32 [%r7], 0; add.u32 %r6, %r6, 32; bra F;
             D: bar.sync 0; wmma.load.a.sync.aligned.row.m16n16k16.shared.f16 {{%r10,%r11,%r12,%r13,%r14,%r15,%r16,%r17}}, [sm], {ld};
             bar.sync 0; wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [sm], {{%f0,%f1,%f2,%f3,%f4,%f5,%f6,%f7}}, 20;"
        );
        let zero = (0..8).map(|i| format!("mov.f32 %f{i}, 0f00000000; ")).collect::<String>();
        let r = run(&format!("{zero}{body}"), 32);
        clean(&r);
        (r.report.counters.ldmatrix, r.report.counters.shared_store, u64::from(words / 32))
    };
    // Rows of 48 bytes do not meet in the banks, rows of 32 do in pairs, rows of 128 all eight.
    for (ld, wavefronts) in [(24, 4), (16, 8), (64, 32)] {
        let (load, store, filled) = counts(ld);
        assert_eq!((load.requests, load.wavefronts, load.ideal), (1, wavefronts, 4), "{ld}");
        assert_eq!((store.requests - filled, store.ideal - filled), (4, 8), "{ld}");
    }
}
