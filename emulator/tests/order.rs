//! Order between blocks: kernels in which they wait for one another, each right, and each with one fence, barrier or scope less. And
//! loops that wait for what never comes.

use gpu_emulator::{Device, Dim3, Kind, Module, Report};

const HEAD: &str = ".version 8.0\n.target sm_90\n.address_size 64\n.file 1 \"order.cu\"\n";
const SEEDS: [u64; 5] = [0, 1, 2, 3, 9];

/// `%rd1` data (4 KiB), `%rd2` flags (256 bytes, zero), `%rd3` results (4 KiB); `%r0` the thread, `%r1` the block, `%r2` blocks,
/// `%p1` whether it is the first thread, `%rd4`, `%rd5` and `%rd6` data, flags and results of the thread.
fn run(body: &str, blocks: u32, threads: u32, seed: u64) -> (Report, Vec<u32>) {
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c)
{{
    .reg .pred %p<9>; .reg .b32 %r<40>; .reg .b64 %rd<30>; .shared .align 16 .b8 sm[256];
    ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u64 %rd3, [c]; mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %nctaid.x;
    mov.u32 %r3, %ntid.x; mad.lo.u32 %r4, %r1, %r3, %r0; mul.wide.u32 %rd7, %r4, 4; add.s64 %rd4, %rd1, %rd7; add.s64 %rd6, %rd3, %rd7;
    mul.wide.u32 %rd8, %r0, 4; add.s64 %rd5, %rd2, %rd8; setp.eq.u32 %p1, %r0, 0; mov.u32 %r9, 1;
    {body}
    ret;
}}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}\n{ptx}"));
    let mut d = Device::new();
    d.options.shuffle = seed;
    d.options.max_instructions = 1 << 24;
    let p: Vec<u64> = [4096, 256, 4096].iter().map(|n| d.memory.alloc(*n, "memory").unwrap()).collect();
    d.memory.write(p[1], &[0; 256]).unwrap();
    d.memory.write(p[0], &[0; 4096]).unwrap();
    d.memory.write(p[2], &[0; 4096]).unwrap();
    let params: Vec<u8> = p.iter().flat_map(|x| x.to_le_bytes()).collect();
    let report = d.launch(m.entry("k").unwrap(), Dim3::x(blocks), Dim3::x(threads), 0, &params).unwrap();
    let mut out = vec![0; 4096];
    d.memory.read(p[2], &mut out).unwrap();
    (report, out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect())
}

/// The kernel as it is, at every seed, has no finding, and with each of the changes has a race at a line, at some seed and in no
/// other way.
fn check(body: &str, blocks: u32, threads: u32, line: u32, changes: &[(&str, &str)]) {
    for seed in SEEDS {
        let (r, _) = run(body, blocks, threads, seed);
        assert!(r.clean(), "seed {seed}: {:?}\n{body}", r.findings);
    }
    for (from, to) in changes {
        assert!(body.contains(from), "{from}");
        let wrong = body.replacen(from, to, 1);
        let mut found = false;
        for seed in SEEDS {
            let (r, _) = run(&wrong, blocks, threads, seed);
            for f in &r.findings {
                assert_eq!(f.kind, Kind::Race, "{from} -> {to}: {f}");
                found |= f.source.ends_with(&format!(":{line}"));
            }
        }
        assert!(found, "{from} -> {to}");
    }
}

#[test]
fn the_last_block_reads_what_all_have_written() {
    // One fence, after the barrier, by the thread that counts: it speaks for all.
    let body = "st.global.u32 [%rd4], %r4; bar.sync 0; @!%p1 bra JOIN; membar.gl; atom.global.add.u32 %r10, [%rd2], 1; membar.gl; st.shared.u32 [sm], %r10;
        JOIN: bar.sync 0; ld.shared.u32 %r10, [sm]; add.u32 %r11, %r2, -1; setp.ne.u32 %p2, %r10, %r11; @%p2 ret;
        mul.wide.u32 %rd9, %r0, 4; add.s64 %rd9, %rd9, %rd1; .loc 1 20 1\nld.global.u32 %r12, [%rd9]; ld.global.u32 %r13, [%rd9+256]; add.u32 %r12, %r12, %r13; st.global.u32 [%rd6], %r12;";
    check(
        body,
        4,
        64,
        20,
        &[
            ("bra JOIN; membar.gl;", "bra JOIN;"),
            ("bra JOIN; membar.gl;", "bra JOIN; membar.cta;"),
            ("st.global.u32 [%rd4], %r4; bar.sync 0;", "st.global.u32 [%rd4], %r4;"),
            // A fence before what it should publish.
            (
                "st.global.u32 [%rd4], %r4; bar.sync 0; @!%p1 bra JOIN; membar.gl;",
                "membar.gl; st.global.u32 [%rd4], %r4; bar.sync 0; @!%p1 bra JOIN;",
            ),
        ],
    );
    // As often: every thread makes its own fence, and then they meet.
    let every = body.replacen("bar.sync 0; @!%p1 bra JOIN; membar.gl;", "membar.gl; bar.sync 0; @!%p1 bra JOIN;", 1);
    check(&every, 4, 64, 20, &[("membar.gl; bar.sync 0; @!%p1", "membar.gl; @!%p1")]);
}

#[test]
fn a_chain_of_semaphores() {
    // Blocks add to the same sums one after another.
    let body = "@!%p1 bra GO; WAIT: ld.acquire.gpu.global.u32 %r10, [%rd2]; setp.ne.u32 %p2, %r10, %r1; @%p2 bra WAIT; GO: bar.sync 0;
        mul.wide.u32 %rd9, %r0, 4; add.s64 %rd9, %rd9, %rd3; .loc 1 30 1\nld.global.u32 %r11, [%rd9]; add.u32 %r11, %r11, %r4; st.global.u32 [%rd9], %r11;
        bar.sync 0; add.u32 %r12, %r1, 1; @%p1 st.release.gpu.global.u32 [%rd2], %r12;";
    check(
        body,
        5,
        64,
        30,
        &[
            ("ld.acquire.gpu", "ld.relaxed.gpu"),
            ("st.release.gpu", "st.relaxed.gpu"),
            ("st.release.gpu", "st.release.cta"),
            ("ld.acquire.gpu", "ld.acquire.cta"),
            ("GO: bar.sync 0;", "GO:"),
            ("bar.sync 0; add.u32 %r12", "add.u32 %r12"),
        ],
    );
    let (_, out) = run(body, 5, 64, 0);
    assert_eq!(out[7], (0..5).map(|b| 64 * b + 7).sum::<u32>());
    // The same with fences beside relaxed accesses.
    let fenced = body
        .replacen(
            "ld.acquire.gpu.global.u32 %r10, [%rd2]; setp.ne.u32 %p2, %r10, %r1; @%p2 bra WAIT;",
            "ld.volatile.global.u32 %r10, [%rd2]; setp.ne.u32 %p2, %r10, %r1; @%p2 bra WAIT; fence.acq_rel.gpu;",
            1,
        )
        .replacen("@%p1 st.release.gpu.global", "@%p1 fence.acq_rel.gpu; @%p1 st.volatile.global", 1);
    check(
        &fenced,
        5,
        64,
        30,
        &[
            ("bra WAIT; fence.acq_rel.gpu;", "bra WAIT;"),
            ("@%p1 fence.acq_rel.gpu;", ""),
            ("@%p1 fence.acq_rel.gpu;", "@%p1 fence.acq_rel.cta;"),
        ],
    );
}

#[test]
fn a_lock_and_what_it_guards() {
    let body = "@!%p1 ret; TRY: atom.global.cas.b32 %r10, [%rd2], 0, 1; setp.ne.u32 %p2, %r10, 0; @%p2 bra TRY; membar.gl;
        .loc 1 40 1\nld.global.u32 %r11, [%rd3]; add.u32 %r11, %r11, 1; .loc 1 40 1\nst.global.u32 [%rd3], %r11; membar.gl; atom.global.exch.b32 %r12, [%rd2], 0;";
    check(
        body,
        8,
        64,
        40,
        &[
            ("bra TRY; membar.gl;", "bra TRY;"),
            ("membar.gl; atom.global.exch", "atom.global.exch"),
            (
                "membar.gl; atom.global.exch.b32 %r12, [%rd2], 0;",
                "st.global.u32 [%rd6+8], 3; atom.global.exch.b32 %r12, [%rd2], 0; membar.gl;",
            ),
        ],
    );
    assert_eq!(run(body, 8, 64, 0).1[0], 8);
}

#[test]
fn lanes_do_not_speak_for_others() {
    // One warp writes, its first lane tells; one warp waits with its first lane, all read.
    let body = "setp.ne.u32 %p2, %r1, 0; @%p2 bra READ; st.global.u32 [%rd4], %r4; bar.warp.sync 0xffffffff; @!%p1 ret; st.release.gpu.global.u32 [%rd2], %r9; ret;
        READ: @!%p1 bra MEET; WAIT: ld.acquire.gpu.global.u32 %r10, [%rd2]; setp.eq.u32 %p3, %r10, 0; @%p3 bra WAIT; MEET: bar.warp.sync 0xffffffff;
        add.s64 %rd9, %rd1, %rd8; .loc 1 50 1\nld.global.u32 %r11, [%rd9]; st.global.u32 [%rd6], %r11;";
    check(body, 3, 32, 50, &[("%r4; bar.warp.sync 0xffffffff;", "%r4;"), ("MEET: bar.warp.sync 0xffffffff;", "MEET:")]);
    // Every lane has a flag of its own, and reads its own data, or a neighbour's.
    let own = "setp.ne.u32 %p2, %r1, 0; @%p2 bra READ; st.global.u32 [%rd4], %r4; st.release.gpu.global.u32 [%rd5], %r9; ret;
        READ: WAIT: ld.acquire.gpu.global.u32 %r10, [%rd5]; setp.eq.u32 %p3, %r10, 0; @%p3 bra WAIT; mov.u32 %r12, %r0;
        mul.wide.u32 %rd9, %r12, 4; add.s64 %rd9, %rd1, %rd9; .loc 1 51 1\nld.global.u32 %r11, [%rd9]; st.global.u32 [%rd6], %r11;";
    check(own, 3, 32, 51, &[("mov.u32 %r12, %r0;", "xor.b32 %r12, %r0, 1;")]);
}

#[test]
fn volatile_data_behind_a_flag() {
    // No plain access, so no race by the letter; but with a fence less the old value may be read.
    let body = "@!%p1 ret; mul.wide.u32 %rd9, %r1, 4; add.s64 %rd10, %rd1, %rd9; add.s64 %rd11, %rd2, %rd9; add.u32 %r20, %r1, 5;
        st.volatile.global.u32 [%rd10], %r20; membar.gl; st.volatile.global.u32 [%rd11], %r9; setp.eq.u32 %p2, %r1, 0; @%p2 ret;
        WAIT: ld.volatile.global.u32 %r10, [%rd11+-4]; setp.eq.u32 %p3, %r10, 0; @%p3 bra WAIT; membar.gl;
        .loc 1 60 1\nld.volatile.global.u32 %r11, [%rd10+-4]; st.global.u32 [%rd6], %r11;";
    check(body, 6, 32, 60, &[("%r20; membar.gl;", "%r20;"), ("bra WAIT; membar.gl;", "bra WAIT;")]);
}

#[test]
fn scopes_that_are_too_narrow() {
    check(".loc 1 70 1\natom.global.add.u32 %r10, [%rd2], 1;", 3, 64, 70, &[("atom.global", "atom.cta.global")]);
    check(".loc 1 71 1\nred.relaxed.gpu.global.add.u32 [%rd2], 1;", 3, 64, 71, &[("relaxed.gpu", "relaxed.cluster")]);
}

#[test]
fn warps_of_a_block_and_global_memory() {
    let body = "st.global.u32 [%rd4], %r0; bar.sync 0; sub.u32 %r10, %r3, %r0; add.u32 %r10, %r10, -1; mul.wide.u32 %rd9, %r10, 4; add.s64 %rd9, %rd1, %rd9;
        .loc 1 80 1\nld.global.u32 %r11, [%rd9]; st.global.u32 [%rd6], %r11;";
    check(body, 1, 128, 80, &[("st.global.u32 [%rd4], %r0; bar.sync 0;", ".loc 1 80 1\nst.global.u32 [%rd4], %r0;")]);
    // Neighbours in a warp are in lockstep; the same value from everybody does no harm.
    check(
        "mov.u32 %r10, 7; .loc 1 81 1\nst.global.u32 [%rd3], %r10;",
        1,
        128,
        81,
        &[("mov.u32 %r10, 7;", "mov.u32 %r10, %r0;")],
    );
    // An initialisation that not everybody waits for.
    let init = "@%p1 st.global.u32 [%rd2], 0; bar.sync 0; .loc 1 82 1\nred.global.add.u32 [%rd2], 1;";
    check(init, 1, 128, 82, &[("bar.sync 0;", ".loc 1 82 1\n")]);
}

#[test]
fn waits_for_what_never_comes() {
    let stuck = |body: &str, blocks: u32, threads: u32, line: u32| {
        for seed in SEEDS {
            let (r, _) = run(body, blocks, threads, seed);
            assert_eq!(r.fault, Some(Kind::Deadlock), "seed {seed}: {:?}", r.findings);
            let f = r.findings.iter().find(|f| f.kind == Kind::Deadlock).unwrap();
            assert!(
                f.source.ends_with(&format!(":{line}")) && f.message.contains("what nobody left can change"),
                "{f}"
            );
            // Found by looking, not by the limit.
            assert!(r.ticks < 1 << 22, "{}", r.ticks);
        }
    };
    stuck(
        "@!%p1 bra END; WAIT: .loc 1 90 1\nld.volatile.global.u32 %r10, [%rd2]; setp.eq.u32 %p2, %r10, 0; @%p2 bra WAIT; END: bar.sync 0;",
        3,
        64,
        90,
    );
    // A grid's barrier for a block too many.
    stuck(
        "@!%p1 ret; atom.global.add.u32 %r10, [%rd2], 1; WAIT: .loc 1 91 1\natom.global.add.u32 %r10, [%rd2], 0; setp.le.u32 %p2, %r10, %r2; nanosleep.u32 40; @%p2 bra WAIT;",
        12,
        64,
        91,
    );
    // Two locks, taken in opposite order.
    stuck(
        "@!%p1 ret; mul.wide.u32 %rd9, %r1, 4; add.s64 %rd9, %rd9, %rd2; sub.u32 %r12, 1, %r1; mul.wide.u32 %rd10, %r12, 4; add.s64 %rd10, %rd10, %rd2;
        L1: atom.global.cas.b32 %r10, [%rd9], 0, 1; setp.ne.u32 %p2, %r10, 0; @%p2 bra L1; red.global.add.u32 [%rd2+8], 1;
        L2: ld.relaxed.gpu.global.u32 %r10, [%rd2+8]; setp.ne.u32 %p2, %r10, 2; @%p2 bra L2;
        L3: .loc 1 92 1\natom.global.cas.b32 %r10, [%rd10], 0, 1; setp.ne.u32 %p2, %r10, 0; @%p2 bra L3;",
        2,
        32,
        92,
    );
    // An mbarrier that one thread never arrives at.
    stuck(
        "@!%p1 bra IN; mbarrier.init.shared::cta.b64 [sm], %r3; IN: bar.sync 0; setp.ne.u32 %p2, %r0, 5; @%p2 mbarrier.arrive.shared::cta.b64 %rd9, [sm];
        WAIT: .loc 1 93 1\nmbarrier.test_wait.parity.shared::cta.b64 %p3, [sm], 0; @!%p3 bra WAIT;",
        1,
        64,
        93,
    );
}

#[test]
fn long_waits_that_end() {
    // The one that is waited for has much to do, and writes nothing meanwhile.
    let body = "setp.ne.u32 %p2, %r1, 0; @%p2 bra WAIT; mov.u32 %r20, 0; WORK: add.u32 %r20, %r20, 1; setp.lt.u32 %p3, %r20, 150000; @%p3 bra WORK;
        @%p1 st.release.gpu.global.u32 [%rd2], %r9; ret;
        WAIT: ld.acquire.gpu.global.u32 %r10, [%rd2]; setp.eq.u32 %p3, %r10, 0; @%p3 bra WAIT; st.global.u32 [%rd6], %r10;";
    check(body, 3, 32, 0, &[]);
    // Every thread of a warp takes the same lock: the one that has it goes on while the others ask.
    let lock = "TRY: atom.acquire.gpu.global.cas.b32 %r10, [%rd2], 0, 1; setp.ne.u32 %p2, %r10, 0; @%p2 bra TRY;
        ld.volatile.global.u32 %r11, [%rd3]; add.u32 %r11, %r11, 1; st.volatile.global.u32 [%rd3], %r11; membar.gl; atom.release.gpu.global.exch.b32 %r12, [%rd2], 0;";
    for seed in SEEDS {
        let (r, out) = run(lock, 2, 64, seed);
        assert!(r.clean(), "{:?}", r.findings);
        assert_eq!(out[0], 128);
    }
    // One lane waits for what a later one of its warp writes.
    let lanes = "setp.eq.u32 %p2, %r0, 3; setp.eq.u32 %p3, %r0, 5; @!%p2 bra NEXT; WAIT: ld.acquire.gpu.global.u32 %r10, [%rd2]; setp.eq.u32 %p4, %r10, 0; @%p4 bra WAIT;
        st.global.u32 [%rd6], %r10; NEXT: @%p3 st.release.gpu.global.u32 [%rd2], %r9;";
    for seed in SEEDS {
        let (r, out) = run(lanes, 1, 32, seed);
        assert!(r.clean(), "{:?}", r.findings);
        assert_eq!(out[3], 1);
    }
}
