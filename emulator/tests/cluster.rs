//! Clusters: where blocks find themselves, each other's shared memory, the cluster's barrier, and what goes wrong without it.

use gpu_emulator::{Device, Dim3, Kind, LaunchError, Module, Region, Report, TensorMap};
use half::f16;

const PTX: &str = include_str!("data/cluster.ptx");
const HEAD: &str = ".version 8.0\n.target sm_90\n.address_size 64\n.file 1 \"kernels/bad.cu\"\n";

fn text(r: &Report) -> String {
    r.findings.iter().map(|f| format!("{f}\n")).collect()
}

/// A kernel with `%rd2` the output, `%r0` the thread, `%r1` the start of 4 KiB of shared memory, `%r2` the rank, `%r3` the other
/// rank of a pair, `%r4` the place of the thread's word and `%r5` that place in the other block, `%rd4` the thread's output word.
fn launch(
    body: &str,
    grid: Dim3,
    cluster: Option<Dim3>,
    threads: u32,
    prepare: impl Fn(&mut Device),
) -> (Report, Vec<u32>) {
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 pout)
{{
    .reg .pred %p<9>; .reg .b32 %r<60>; .reg .b64 %rd<30>; .shared .align 128 .b8 sm[4096]; .shared .align 8 .b64 bar;
    ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x; mov.u32 %r1, sm; mov.u32 %r2, %cluster_ctarank; xor.b32 %r3, %r2, 1;
    shl.b32 %r4, %r0, 2; add.u32 %r4, %r4, %r1; mapa.shared::cluster.u32 %r5, %r4, %r3; mov.u32 %r6, %ctaid.x; mov.u32 %r7, %ntid.x;
    mad.lo.u32 %r8, %r6, %r7, %r0; mul.wide.u32 %rd3, %r8, 4; add.s64 %rd4, %rd2, %rd3; setp.eq.u32 %p1, %r2, 0; setp.eq.u32 %p2, %r0, 0;
    {body}
    ret;
}}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    d.options.max_instructions = 1 << 20;
    let o = d.memory.alloc(4096, "output").unwrap();
    d.memory.write(o, &[0; 4096]).unwrap();
    prepare(&mut d);
    let r = d.launch_clusters(m.entry("k").unwrap(), grid, Dim3::x(threads), cluster, 0, &o.to_le_bytes()).unwrap();
    let mut out = vec![0; 4096];
    d.memory.read(o, &mut out).unwrap();
    (r, out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect())
}
/// Four blocks of 64 threads in clusters of two.
fn pairs(body: &str) -> (Report, Vec<u32>) {
    launch(body, Dim3::x(4), Some(Dim3::x(2)), 64, |_| {})
}
#[track_caller]
fn says(body: &str, kind: Kind, what: &str) {
    let (r, _) = pairs(body);
    assert!(
        r.findings.iter().any(|f| f.kind == kind && f.to_string().contains(what)),
        "'{what}' is not in: {}",
        text(&r)
    );
}

const ARRIVE: &str = "barrier.cluster.arrive.release.aligned;";
const RELAXED: &str = "barrier.cluster.arrive.relaxed.aligned;";
const WAIT: &str = "barrier.cluster.wait.acquire.aligned;";
const WRITE: &str = "mad.lo.u32 %r9, %r6, 1000, %r0; st.shared.u32 [%r4], %r9;";
const READ: &str = ".loc 1 30 3\nld.shared::cluster.u32 %r10, [%r5]; st.global.u32 [%rd4], %r10;";

/// What every thread reads of the other block's words.
fn swapped(out: &[u32]) -> bool {
    (0..256u32).all(|i| out[i as usize] == ((i / 64) ^ 1) * 1000 + i % 64)
}

#[test]
fn where_blocks_are() {
    // A grid of 4x6x2 in clusters of 2x3x1: by the ISA the ranks count x first, and so do the places of blocks in the grid.
    let body = "mov.u32 %r10, %ctaid.y; mov.u32 %r11, %nctaid.x; mov.u32 %r12, %ctaid.z; mov.u32 %r13, %nctaid.y;
        mad.lo.u32 %r14, %r12, %r13, %r10; mad.lo.u32 %r14, %r14, %r11, %r6; mul.wide.u32 %rd3, %r14, 64; add.s64 %rd4, %rd2, %rd3;
        mov.u32 %r20, %clusterid.x; mov.u32 %r21, %clusterid.y; mov.u32 %r22, %clusterid.z; mov.u32 %r23, %nclusterid.x;
        mov.u32 %r24, %nclusterid.y; mov.u32 %r25, %nclusterid.z; mov.u32 %r26, %cluster_ctaid.x; mov.u32 %r27, %cluster_ctaid.y;
        mov.u32 %r28, %cluster_ctaid.z; mov.u32 %r29, %cluster_nctaid.x; mov.u32 %r30, %cluster_nctaid.y; mov.u32 %r31, %cluster_nctarank;
        st.global.v4.u32 [%rd4], {%r20, %r21, %r22, %r23}; st.global.v4.u32 [%rd4+16], {%r24, %r25, %r26, %r27};
        st.global.v4.u32 [%rd4+32], {%r28, %r29, %r30, %r31}; st.global.u32 [%rd4+48], %r2;";
    let (r, out) = launch(body, Dim3::new(4, 6, 2), Some(Dim3::new(2, 3, 1)), 1, |_| {});
    assert!(r.clean(), "{}", text(&r));
    assert_eq!(r.counters.blocks, 48);
    for (x, y, z) in (0..48).map(|i| (i % 4, i / 4 % 6, i / 24)) {
        let at = (z * 24 + y * 4 + x) * 16;
        let want = [x / 2, y / 3, z, 2, 2, 2, x % 2, y % 3, 0, 2, 3, 6, x % 2 + 2 * (y % 3)];
        assert_eq!(out[at..at + 13], want.map(|v| v as u32), "{x} {y} {z}");
    }
}

#[test]
fn words_of_the_other_block() {
    let (r, out) = pairs(&[WRITE, ARRIVE, WAIT, READ, ARRIVE, WAIT].join("\n"));
    assert!(r.clean() && swapped(&out), "{}", text(&r));
    // By a generic address as well, whose block getctarank knows.
    let generic = "cvt.u64.u32 %rd5, %r4; cvta.shared.u64 %rd6, %rd5; mapa.u64 %rd7, %rd6, %r3; ld.u32 %r10, [%rd7];
        getctarank.u64 %r11, %rd7; setp.ne.u32 %p3, %r11, %r3; @%p3 trap; getctarank.shared::cluster.u32 %r11, %r4; setp.ne.u32 %p3, %r11, %r2;
        @%p3 trap; st.global.u32 [%rd4], %r10;";
    let (r, out) = pairs(&[WRITE, ARRIVE, WAIT, generic, ARRIVE, WAIT].join("\n"));
    assert!(r.clean() && swapped(&out), "{}", text(&r));
    // Stores and atomics go there too, and leave the own word alone.
    let store = "add.u32 %r11, %r9, 7; st.shared::cluster.u32 [%r5], %r11; barrier.cluster.arrive; barrier.cluster.wait;
        atom.shared::cluster.add.u32 %r12, [%r5], 1; barrier.cluster.arrive; barrier.cluster.wait; ld.shared.u32 %r10, [%r4]; st.global.u32 [%rd4], %r10;";
    let (r, out) = pairs(&[WRITE, ARRIVE, WAIT, store].join("\n"));
    assert!(r.clean(), "{}", text(&r));
    assert!((0..256u32).all(|i| out[i as usize] == ((i / 64) ^ 1) * 1000 + i % 64 + 8));
    // An own address is the own block's in the cluster's space.
    let (r, out) = pairs(&format!("{WRITE} ld.shared::cluster.u32 %r10, [%r4]; st.global.u32 [%rd4], %r10;"));
    assert!(r.clean() && (0..256u32).all(|i| out[i as usize] == i / 64 * 1000 + i % 64), "{}", text(&r));
}

#[test]
fn order_in_a_cluster() {
    says(&[WRITE, READ, ARRIVE, WAIT].join("\n"), Kind::Race, "of the block of rank");
    says(&[WRITE, RELAXED, WAIT, READ, ARRIVE, WAIT].join("\n"), Kind::Race, "bad.cu:30");
    // The ISA's own way to use the relaxed arrival.
    let (r, out) = pairs(&[WRITE, "fence.acq_rel.cluster;", RELAXED, WAIT, READ, ARRIVE, WAIT].join("\n"));
    assert!(r.clean() && swapped(&out), "{}", text(&r));
    says(&[WRITE, "fence.acq_rel.cta;", RELAXED, WAIT, READ, ARRIVE, WAIT].join("\n"), Kind::Race, "bad.cu:30");
    // A barrier of the block is none of the cluster.
    says(&[WRITE, "bar.sync 0;", READ, ARRIVE, WAIT].join("\n"), Kind::Race, "bad.cu:30");
    // Global memory is ordered by the cluster's barrier too.
    let global = "st.global.u32 [%rd4], %r0; barrier.cluster.arrive; barrier.cluster.wait; shl.b32 %r20, %r2, 9; cvt.u64.u32 %rd8, %r20;
        sub.s64 %rd9, %rd4, %rd8; ld.global.u32 %r21, [%rd9+256];";
    let (r, _) = launch(global, Dim3::x(2), Some(Dim3::x(2)), 64, |_| {});
    assert!(r.clean(), "{}", text(&r));
    let (r, _) = launch(
        &global.replace("barrier.cluster.arrive; barrier.cluster.wait;", ""),
        Dim3::x(2),
        Some(Dim3::x(2)),
        64,
        |_| {},
    );
    assert!(r.findings.iter().any(|f| f.kind == Kind::Race), "{}", text(&r));
}

#[test]
fn blocks_that_go_too_early() {
    // Read, and gone: the block that is read from may be over before, whichever ran first here.
    let (r, out) = pairs(&[WRITE, ARRIVE, WAIT, READ].join("\n"));
    assert!(
        text(&r).contains("ends without an order after the use of its shared memory")
            || text(&r).contains("which has ended"),
        "{}",
        text(&r)
    );
    assert!(r.fault.is_some() || swapped(&out));
    // One block only reads from the other; the numbers are right and the order is not.
    let late = format!("@!%p1 bra DONE; {READ} DONE:");
    says(&[WRITE, ARRIVE, WAIT, &late].join("\n"), Kind::Race, "the block of rank 1 ends without an order");
    let turned = late.replace("@!%p1", "@%p1");
    says(&[WRITE, ARRIVE, WAIT, &turned].join("\n"), Kind::OutOfBounds, "the block of rank 0, which has ended");
}

const INIT: &str = "@!%p2 bra IN; mov.u32 %r20, bar; mbarrier.init.shared::cta.b64 [%r20], 64; fence.mbarrier_init.release.cluster; IN:";
const SEND: &str = "mov.u32 %r20, bar; mapa.shared::cluster.u32 %r21, %r20, %r3; st.shared::cluster.u32 [%r5], %r8;
    mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r21];";
const AWAIT: &str = "AGAIN: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p4, [%r20], 0; @!%p4 bra AGAIN;
    .loc 1 40 3\nld.shared.u32 %r10, [%r4]; st.global.u32 [%rd4], %r10;";

#[test]
fn arrivals_from_the_other_block() {
    let (r, out) = pairs(&[INIT, RELAXED, WAIT, SEND, AWAIT].join("\n"));
    assert!(r.clean(), "{}", text(&r));
    assert!((0..256u32).all(|i| out[i as usize] == ((i / 64) ^ 1) * 64 + i % 64));
    // Without the wait the other block's store comes at any time.
    let no_wait = AWAIT.replace("@!%p4 bra AGAIN;", "").replace("try_wait", "test_wait");
    says(&[WRITE, INIT, ARRIVE, WAIT, SEND, &no_wait, ARRIVE, WAIT].join("\n"), Kind::Race, "bad.cu:40");
    // Without the fence of the initialisation a relaxed arrival does not publish it.
    let bare = INIT.replace("fence.mbarrier_init.release.cluster;", "");
    says(&[&bare, RELAXED, WAIT, SEND, AWAIT].join("\n"), Kind::Race, "");
    let (r, _) = pairs(&[&bare, ARRIVE, WAIT, SEND, AWAIT].join("\n"));
    assert!(r.clean(), "{}", text(&r));
    // Only arrivals go there: no waits, and no results.
    says(
        &[INIT, ARRIVE, WAIT, SEND, &AWAIT.replace("[%r20]", "[%r21]")].join("\n"),
        Kind::OutOfBounds,
        "own block is needed",
    );
    let result = SEND.replace("b64 _,", "b64 %rd8,");
    says(&[INIT, ARRIVE, WAIT, &result, AWAIT].join("\n"), Kind::Trap, "has no result");
}

#[test]
fn misuse() {
    says(&format!("{ARRIVE} {ARRIVE} {WAIT}"), Kind::Trap, "a second arrival");
    says(WAIT, Kind::Trap, "no arrival before");
    says(
        &format!("@%p1 bra OUT; {ARRIVE} {WAIT} {ARRIVE} {WAIT} ret; OUT: bar.sync 1, 128;"),
        Kind::Deadlock,
        "128 threads",
    );
    says(
        "mov.u32 %r3, 2; mapa.shared::cluster.u32 %r5, %r4, %r3;",
        Kind::OutOfBounds,
        "mapa to rank 2 in a cluster of 2",
    );
    says("ld.shared.u32 %r10, [%r5];", Kind::OutOfBounds, "own block is needed");
    says("ld.shared::cluster.u32 %r10, [%r5+8192];", Kind::OutOfBounds, "offset 8192 of");
    // Threads that have ended are not waited for.
    let (r, _) = pairs(&format!("@%p1 ret; {ARRIVE} {WAIT}"));
    assert!(r.clean(), "{}", text(&r));
    // Without a cluster a block is alone in one.
    let (r, _) = launch(&format!("{ARRIVE} {WAIT}"), Dim3::x(3), None, 64, |_| {});
    assert!(r.findings.iter().all(|f| f.message.contains("mapa to rank 1")) && !r.clean(), "{}", text(&r));
}

#[test]
fn launches_in_clusters() {
    let module = |head: &str| Module::load(&format!("{HEAD}.visible .entry k() {head} {{ ret; }}"));
    let run = |head: &str, grid: u32, cluster: Option<u32>| {
        let m = module(head).unwrap();
        Device::new().launch_clusters(&m.entries()[0], Dim3::x(grid), Dim3::x(32), cluster.map(Dim3::x), 0, &[])
    };
    let refused = |r: Result<Report, LaunchError>, what: &str| match r {
        Err(LaunchError::Dimensions(s)) => s.contains(what),
        _ => false,
    };
    assert!(run("", 4, Some(4)).is_ok() && run("", 4, None).is_ok());
    assert!(refused(run("", 4, Some(3)), "in clusters of 3x1x1"));
    assert!(refused(run("", 32, Some(32)), "at most 16"));
    assert!(refused(run("", 4, Some(0)), "at least one"));
    // The kernel's own size holds where the launch gives none, and no other may be given.
    assert!(run(".reqnctapercluster 2", 4, None).is_ok() && run(".reqnctapercluster 2", 4, Some(2)).is_ok());
    assert!(refused(run(".reqnctapercluster 2", 5, None), "clusters of 2"));
    assert!(refused(run(".reqnctapercluster 2", 4, Some(4)), "built for 2x1x1"));
    assert!(refused(run(".explicitcluster", 4, None), "launched without"));
    assert!(
        run(".explicitcluster", 4, Some(2)).is_ok() && run(".explicitcluster .reqnctapercluster 2", 4, None).is_ok()
    );
    assert!(refused(run(".maxclusterrank 2", 4, Some(4)), "at most 2"));
    // With .blocksareclusters the grid counts clusters.
    let counted = run(".blocksareclusters .reqnctapercluster 2", 3, None).unwrap();
    assert_eq!(counted.counters.blocks, 6);
    assert!(
        Module::load(&format!(
            "{}.visible .entry k() {{ barrier.cluster.arrive; ret; }}",
            HEAD.replace("sm_90", "sm_80")
        ))
        .is_err()
    );
}

fn value(i: usize) -> f32 {
    ((i * 5 + i / 7) % 7) as f32 - 3.0
}

/// Multiplies with the kernel of two blocks a cluster that send halves of B to each other.
fn multiply(ptx: &str, [m, n, k]: [usize; 3], early: bool, seed: u64) -> (Report, bool) {
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
    let map = |addr: u64, rows: usize, cols: usize, swizzle: u32, height: u32| {
        let (dims, strides) = (vec![cols as u64, rows as u64], vec![2 * cols as u64]);
        TensorMap { elem: 2, swizzle, nan_fill: false, addr, dims, strides, boxes: vec![64, height] }.encode().unwrap()
    };
    let params =
        [&map(a, m, k, 128, 64)[..], &map(b, k, n, 128, 32), &map(c, m, n, 0, 64), &(k as u32).to_le_bytes()].concat();
    d.options.max_instructions = 1 << 24;
    d.options.copies_land_early = early;
    d.options.shuffle = seed;
    d.options.written_once = vec![Region { address: c, row_bytes: 2 * n as u64, rows: m as u64, pitch: 2 * n as u64 }];
    let grid = Dim3::new(n.div_ceil(64) as u32, m.div_ceil(128) as u32 * 2, 1);
    let r = d.launch(module.entry("tile_pair").unwrap(), grid, Dim3::x(128), 32768, &params).unwrap();
    let mut out = vec![0; m * n * 2];
    d.memory.read(c, &mut out).unwrap();
    let right = (0..m * n).all(|i| {
        let want: f32 = (0..k).map(|x| value(i / n * k + x) * value(x * n + i % n)).sum();
        f16::from_le_bytes([out[2 * i], out[2 * i + 1]]) == f16::from_f32(want)
    });
    (r, right)
}

#[test]
fn products_with_multicast_are_exact() {
    for shape in [[128, 64, 64], [256, 128, 320], [200, 72, 136]] {
        for (early, seed) in [(false, 0), (true, 0), (false, 1), (false, 2), (true, 3)] {
            let (r, right) = multiply(PTX, shape, early, seed);
            assert!(r.clean(), "{shape:?} {early} {seed}\n{}", text(&r));
            assert!(right, "{shape:?} {early} {seed}");
        }
    }
}

/// What is found in nvcc's text with one thing changed.
fn changed(from: &str, to: &str) -> (Report, bool) {
    assert!(PTX.contains(from), "{from}");
    multiply(&PTX.replace(from, to), [128, 64, 320], false, 0)
}

#[test]
fn multicast_with_one_thing_taken_away() {
    // Half the bytes are expected: what every block gets counts, not what it asked for.
    let (r, _) = changed(", 16384;\n", ", 12288;\n");
    assert!(!r.clean());
    // The stage is taken to be free when the own block has read it.
    let (r, _) = changed(", 256;\n", ", 128;\n");
    assert!(!r.clean());
    // Nobody waits for the other at the end.
    let last = PTX.rfind("barrier.cluster.arrive.release.aligned;").unwrap();
    let cut = PTX[..last].to_owned()
        + &PTX[last..]
            .replace("barrier.cluster.arrive.release.aligned;", "")
            .replace("barrier.cluster.wait.acquire.aligned;", "");
    let (r, right) = multiply(&cut, [128, 64, 320], false, 0);
    assert!(text(&r).contains("ends without an order") || text(&r).contains("which has ended"), "{}", text(&r));
    assert!(right || r.fault.is_some());
    // The other block's barriers are used before they are known to be there.
    let (r, _) = changed("fence.mbarrier_init.release.cluster;", "");
    assert!(r.findings.iter().any(|f| f.kind == Kind::Race), "{}", text(&r));
    // Sent to a block that is not there.
    let (r, _) = changed("mov.u16 \t%rs1, 3;", "mov.u16 \t%rs1, 7;");
    assert!(text(&r).contains("a multicast to ranks 0x7 in a cluster of 2 blocks"), "{}", text(&r));
}
