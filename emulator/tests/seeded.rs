//! Small kernels for sm_90a, each beside what it becomes with one thing wrong: the first is clean, and of the second the first thing
//! said names the kind of fault and the line.

use gpu_emulator::{Device, Dim3, Kind, Module, Report, TensorMap};

/// Runs a block of 128 threads: `%rd1` a matrix of 64 x 64 halves, `%rd2` its tensor map with a box of 64 x 64, `%rd3` another such matrix
/// with nothing in it, `%rd4` its map; `%r0` the thread, `%r1` 16 KiB of shared memory, `%r2` four mbarriers, `%p0` the first thread.
fn run(body: &str) -> Report {
    let ptx = format!(
        ".version 8.0\n.target sm_90a\n.address_size 64\n.file 1 \"kernels/bad.cu\"
.visible .entry k(.param .u64 pin, .param .u64 pout, .param .align 64 .b8 min[128], .param .align 64 .b8 mout[128])
{{
    .reg .pred %p<9>; .reg .b32 %r<60>; .reg .b64 %rd<30>; .shared .align 1024 .b8 sm[16384]; .shared .align 8 .b64 bars[4];
    ld.param.u64 %rd1, [pin]; mov.b64 %rd2, min; ld.param.u64 %rd3, [pout]; mov.b64 %rd4, mout;
    mov.u32 %r0, %tid.x; mov.u32 %r1, sm; mov.u32 %r2, bars; setp.eq.u32 %p0, %r0, 0;
    shl.b32 %r3, %r0, 2; add.u32 %r4, %r1, %r3; mul.wide.u32 %rd5, %r0, 4; add.s64 %rd6, %rd3, %rd5; mov.u32 %r5, 0;
    {body}
    ret;
}}"
    );
    let module = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}\n{body}"));
    let mut device = Device::new();
    device.options.max_instructions = 1 << 18;
    let matrices = ["in", "out"].map(|name| device.memory.alloc(64 * 64 * 2, name).unwrap());
    device.memory.write(matrices[0], &[0; 64 * 64 * 2]).unwrap();
    let mut params: Vec<u8> = matrices.iter().flat_map(|p| p.to_le_bytes()).collect();
    params.resize(64, 0);
    for addr in matrices {
        let (dims, strides, boxes) = (vec![64, 64], vec![128], vec![64, 64]);
        let map = TensorMap { elem: 2, swizzle: 0, nan_fill: false, addr, dims, strides, boxes };
        params.extend(map.encode().unwrap());
    }
    device.launch(module.entry("k").unwrap(), Dim3::x(1), Dim3::x(128), 0, &params).unwrap()
}

/// Pieces of a kernel, the faulty ones among them with the line that is to be named.
const INIT: &str = "@%p0 mbarrier.init.shared::cta.b64 [%r2], 1; @%p0 fence.mbarrier_init.release.cluster; bar.sync 0;";
const EXPECT: &str = ".loc 1 20 1\n@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 8192;";
const LOAD: &str = ".loc 1 21 1\n@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%rd2, {%r5, %r5}], [%r2];";
const WAIT: &str = ".loc 1 22 1\nAGAIN: mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], 0; @!%p1 bra AGAIN;";
const READ: &str = ".loc 1 23 1\nld.shared.u32 %r6, [%r4];";
const WRITE: &str = ".loc 1 30 1\nst.shared.u32 [%r4], %r5; st.shared.u32 [%r4+512], %r5;";
const FENCE: &str = "fence.proxy.async.shared::cta;";
const SYNC: &str = "bar.sync 0;";
const STORE: &str = ".loc 1 31 1\n@%p0 cp.async.bulk.global.shared::cta.bulk_group [%rd3], [%r1], 1024;";
const COMMIT: &str = "@%p0 cp.async.bulk.commit_group;";
const STORED: &str = "@%p0 cp.async.bulk.wait_group.read 0;";
const AGAIN: &str = ".loc 1 33 1\nst.shared.u32 [%r4], %r0;";
/// Zeroes for both operands of a product, and their descriptors.
const OPERANDS: &str = "mov.u32 %r7, 0; FILL: add.u32 %r8, %r4, %r7; .loc 1 40 1\nst.shared.u32 [%r8], %r5; add.u32 %r7, %r7, 512; setp.lt.u32 %p2, %r7, 4096; @%p2 bra FILL;
    shr.u32 %r9, %r1, 4; cvt.u64.u32 %rd8, %r9; add.u64 %rd8, %rd8, 0x1000080000; mov.u64 %rd9, %rd8; setp.eq.u32 %p3, 0, 0;
    mov.b32 %r10, 0; mov.b32 %r11, 0; mov.b32 %r12, 0; mov.b32 %r13, 0;";
/// Descriptors of what a copy has brought.
const DESCRIPTOR: &str = "shr.u32 %r9, %r1, 4; cvt.u64.u32 %rd8, %r9; add.u64 %rd8, %rd8, 0x0000000100080000; mov.u64 %rd9, %rd8; setp.ne.u32 %p3, 0, 0;
    mov.b32 %r10, 0; mov.b32 %r11, 0; mov.b32 %r12, 0; mov.b32 %r13, 0;";
const BEGIN: &str = "wgmma.fence.sync.aligned;";
const MULTIPLY: &str = ".loc 1 41 1\nwgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r10, %r11, %r12, %r13}, %rd8, %rd9, %p3, 1, 1, 0, 0;";
const DONE: &str = "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;";
const RESULT: &str = ".loc 1 43 1\nst.global.u32 [%rd6], %r11;";

struct Bug {
    name: &'static str,
    right: Vec<String>,
    /// What is replaced in the right kernel, and by what.
    swap: (&'static str, &'static str),
    kind: Kind,
    line: u32,
    says: &'static str,
}

#[rustfmt::skip]
fn bugs() -> Vec<Bug> {
    use Kind::{Deadlock, Divergence, Misaligned, OutOfBounds, Race, Trap, Uninitialised};
    let bug = |name, right: &[&str], swap, kind, line, says| {
        Bug { name, right: right.iter().map(|s| (*s).to_owned()).collect(), swap, kind, line, says }
    };
    let load = [INIT, EXPECT, LOAD, WAIT, READ];
    let store = [WRITE, FENCE, SYNC, STORE, COMMIT, STORED, SYNC, AGAIN];
    let product = [OPERANDS, FENCE, SYNC, BEGIN, MULTIPLY, DONE, RESULT];
    let bulk = ".loc 1 25 1\n@%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1], 8192, [%r2];";
    let bulks = [INIT, EXPECT, bulk, WAIT, READ];
    let other: &'static str = Box::leak(
        format!("{BEGIN} setp.ge.u32 %p4, %r0, 96; @!%p4 bra SAME; {} bra DONE; SAME:", MULTIPLY.replace("41 1", "45 1")).into_boxed_str(),
    );
    let product_done = MULTIPLY.to_owned() + " DONE:";
    let product_read = [OPERANDS, FENCE, SYNC, BEGIN, &product_done, DONE, RESULT];
    let byte = ".loc 1 60 1\nadd.u32 %r6, %r1, %r0; st.shared.u8 [%r6], %r0; bar.sync 0; ld.shared.u8 %r7, [%r6]; st.global.u32 [%rd6], %r7;";
    let registers = ".loc 1 61 1\nmov.b32 %r20, 5; .loc 1 62 1\nadd.u32 %r21, %r20, %r0; .loc 1 63 1\nst.global.u32 [%rd6], %r21;";
    let guarded = "setp.lt.u32 %p4, %r0, 64; @%p4 mov.u32 %r20, 1; @!%p4 mov.u32 %r20, 2; .loc 1 63 1\nst.global.u32 [%rd6], %r20;";
    let branch = "setp.lt.u32 %p4, %r0, 64; .loc 1 64 1\n@%p4 bra SKIP; mov.u32 %r20, 1; SKIP:";
    let address = "mov.u32 %r20, %r4; .loc 1 65 1\nst.shared.u32 [%r20], %r0;";
    // What a compiler leaves: a value that is chosen away, half a pair that nobody reads, a predicate that another one decides.
    let harmless = "setp.lt.u32 %p4, %r0, 512; selp.u32 %r21, %r0, %r20, %p4; mov.b64 %rd10, {%r21, %r20}; mov.b64 {%r22, %r23}, %rd10;
        setp.ge.u32 %p5, %r0, 512; and.pred %p5, %p5, %p6; @%p5 bra NEVER; st.global.u32 [%rd6], %r22; NEVER: .loc 1 66 1\nmov.u32 %r24, 0; st.global.u32 [%rd6], %r24;";
    vec![
        // Registers.
        bug("a register that nothing has written", &[registers], ("mov.b32 %r20, 5;", ""), Uninitialised, 63, "nothing has written"),
        bug("one that some lanes have not written", &[guarded], ("@!%p4 mov.u32 %r20, 2;", ""), Uninitialised, 63, "nothing has written"),
        bug("a branch by a predicate that nothing has set", &[branch], ("setp.lt.u32 %p4, %r0, 64;", ""), Uninitialised, 64, "a predicate"),
        bug("an address that nothing has written", &[address], ("mov.u32 %r20, %r4;", ""), Uninitialised, 65, "an operand"),
        bug("a register that does no harm", &[harmless], ("mov.u32 %r24, 0;", ""), Uninitialised, 66, "an operand"),
        bug("accumulators that nothing has set", &product, ("mov.b32 %r11, 0;", ""), Uninitialised, 41, "nothing has written"),
        // Bytes of one pair by two warps are two places; one byte by two warps is not.
        bug("bytes", &[byte], ("%r1, %r0;", "%r1, 7;"), Race, 60, "write"),
        // Tensor copies and mbarriers.
        bug("the parity of the phase before", &load, ("[%r2], 0;", "[%r2], 1;"), Uninitialised, 23, "copy still has to write"),
        bug("a wait whose result nobody looks at", &load, ("@!%p1 bra AGAIN;", ""), Race, 22, "looked at by nobody"),
        bug("a wait whose result goes nowhere", &load, ("@!%p1 bra AGAIN;", "selp.u32 %r9, 1, 0, %p1; add.u32 %r9, %r9, 1;"), Race, 22, "looked at by nobody"),
        bug("no wait", &load, (WAIT, ""), Uninitialised, 23, "copy still has to write"),
        bug("too few bytes expected", &load, ("8192;", "4096;"), Deadlock, 22, "-4096 bytes missing"),
        bug("too many bytes expected", &load, ("8192;", "8208;"), Deadlock, 22, "16 bytes missing"),
        bug("nobody arrives", &load, ("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 8192;", "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r2], 8192;"), Deadlock, 22, "1 arrivals"),
        bug("two arrivals where one is expected", &load, ("8192;", "8192; .loc 1 24 1\n@%p0 mbarrier.arrive.shared::cta.b64 _, [%r2];"), Trap, 24, ""),
        bug("an mbarrier that was never initialised", &load, ("@%p0 mbarrier.init.shared::cta.b64 [%r2], 1;", ""), Trap, 20, ""),
        bug("no order after the initialisation", &load, ("bar.sync 0;", ""), Race, 22, ""),
        bug("initialised twice", &load, ("8192;", "8192; .loc 1 24 1\n@%p0 mbarrier.init.shared::cta.b64 [%r2], 1;"), Trap, 24, "was not invalidated"),
        bug("an mbarrier off its eight bytes", &load, (", [%r2], 8192;", ", [%r2+4], 8192;"), Misaligned, 20, "modulo 8"),
        bug("a target off its 128 bytes", &load, ("bytes [%r1],", "bytes [%r1+64],"), Misaligned, 21, "128"),
        bug("a box past the end of shared memory", &load, ("bytes [%r1],", "bytes [%r1+8320],"), OutOfBounds, 21, "shared"),
        bug("everyone's copy, not one thread's", &load, ("@%p0 cp.async.bulk.tensor", "cp.async.bulk.tensor"), Race, 21, "not ordered after the write by a bulk copy"),
        bug("read while the next copy lands", &load, ("[%r4];", "[%r4]; @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 8192; .loc 1 26 1\n@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%rd2, {%r5, %r5}], [%r2];"), Uninitialised, 23, "copy still has to write"),
        bug("a bulk copy of a size that is no multiple of 16", &bulks, ("8192, [%r2]", "8184, [%r2]"), Misaligned, 25, "16"),
        bug("a bulk copy from an address off 16 bytes", &bulks, ("[%rd1],", "[%rd1+8],"), Misaligned, 25, "modulo 16"),
        bug("a bulk copy past the end of its source", &bulks, ("[%rd1],", "[%rd1+16],"), OutOfBounds, 25, "in of 8192 bytes"),
        // Copies out of shared memory.
        bug("no fence before the store", &store, (FENCE, ""), Race, 31, "no fence.proxy.async"),
        bug("the fence by a warp that neither wrote nor stores", &store, ("fence.proxy.async.shared::cta; bar.sync 0;", "bar.sync 0; setp.ge.u32 %p4, %r0, 96; @%p4 fence.proxy.async.shared::cta;"), Race, 31, "no fence.proxy.async"),
        bug("no barrier before the store", &store, ("fence.proxy.async.shared::cta; bar.sync 0;", "fence.proxy.async.shared::cta;"), Uninitialised, 31, ""),
        bug("the buffer used again before it was read", &store, (STORED, ""), Race, 33, "not ordered after the read"),
        bug("the wait by a thread that stored nothing", &store, (STORED, "setp.eq.u32 %p4, %r0, 32; @%p4 cp.async.bulk.wait_group.read 0;"), Race, 33, "not ordered after the read"),
        bug("a copy in no group", &store, (COMMIT, ""), Race, 33, "not ordered after the read"),
        bug("nobody is told of the wait", &store, ("wait_group.read 0; bar.sync 0;", "wait_group.read 0;"), Race, 33, "not ordered after the read"),
        bug("a row of the box that nobody wrote and the tensor has", &[WRITE, FENCE, SYNC, "mov.u32 %r6, 56; .loc 1 34 1\n@%p0 cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%rd4, {%r5, %r6}], [%r1];", COMMIT, STORED], ("56;", "55;"), Uninitialised, 34, "at offset 1024 that nothing has written"),
        // Products of a warpgroup.
        bug("operands without a fence", &product, (FENCE, ""), Race, 41, "no fence.proxy.async"),
        bug("no wgmma.fence", &product, (BEGIN, ""), Race, 41, "no wgmma.fence"),
        bug("the result before the wait", &product, ("wgmma.wait_group.sync.aligned 0;", ""), Race, 43, "accumulator"),
        bug("a wait that leaves the group", &product, ("wait_group.sync.aligned 0;", "wait_group.sync.aligned 1;"), Race, 43, "accumulator"),
        bug("a group that was not committed", &product, ("wgmma.commit_group.sync.aligned;", ""), Race, 43, "accumulator"),
        bug("operands written before the wait", &product, ("wgmma.commit_group.sync.aligned;", "wgmma.commit_group.sync.aligned; .loc 1 42 1\nst.shared.u32 [%r4], %r5;"), Race, 42, "not ordered after the read by a wgmma of the warpgroup of warp 0 at kernels/bad.cu:41"),
        bug("a lane that left", &product, (BEGIN, "setp.eq.u32 %p4, %r0, 5; @%p4 ret; .loc 1 44 1\nwgmma.fence.sync.aligned;"), Divergence, 44, "lanes have ended"),
        bug("a lane that left before the commit", &product, ("wgmma.commit_group", "setp.eq.u32 %p4, %r0, 5; @%p4 ret; .loc 1 44 1\nwgmma.commit_group"), Divergence, 44, "lanes have ended"),
        bug("a lane that left before the wait", &product, ("wgmma.wait_group", "setp.eq.u32 %p4, %r0, 5; @%p4 ret; .loc 1 44 1\nwgmma.wait_group"), Divergence, 44, "lanes have ended"),
        bug("a warp that left", &product, (BEGIN, "setp.ge.u32 %p4, %r0, 96; @%p4 ret; wgmma.fence.sync.aligned;"), Deadlock, 41, "other warps of its warpgroup"),
        bug("a warp that goes round the product", &product, (BEGIN, "setp.ge.u32 %p4, %r0, 96; @%p4 bar.sync 1, 128; wgmma.fence.sync.aligned;"), Deadlock, 41, "waits at barrier 1"),
        bug("warps at two products", &product_read, (BEGIN, other), Divergence, 45, "while warp"),
        bug("a descriptor past the end of shared memory", &product, ("add.u64 %rd8, %rd8, 0x1000080000;", "add.u64 %rd8, %rd8, 0x1000080f00;"), OutOfBounds, 41, "shared"),
        bug("operands that were never written", &product, ("%r7, 4096;", "%r7, 512;"), Uninitialised, 41, ""),
        bug("a descriptor with another swizzle than the copy", &[INIT, "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 8192;", LOAD, WAIT, DESCRIPTOR, BEGIN, MULTIPLY, DONE, RESULT], ("0x0000000100080000;", "0x4000000000080000;"), Trap, 41, "a swizzle of 128 bytes, of shared memory at offset 0 that a tensor copy wrote with no swizzle"),
        bug("a base offset for a pattern that a tensor copy began at 1024 bytes", &[INIT, "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 8192;", LOAD, WAIT, DESCRIPTOR, BEGIN, MULTIPLY, DONE, RESULT], ("0x0000000100080000;", "0x4002000100080000;"), Trap, 41, "that a tensor copy wrote: its pattern begins at multiples of 1024"),
        // Barriers and matrices.
        bug("a barrier of 100 threads", &[".loc 1 50 1\nbar.sync 1, 128;"], ("128;", "100;"), Trap, 50, "multiple of"),
        bug("an arrival for nobody", &["setp.lt.u32 %p4, %r0, 64; .loc 1 51 1\n@%p4 bar.arrive 1, 128; .loc 1 52 1\n@!%p4 bar.sync 1, 128;"], ("bar.arrive 1", "bar.arrive 2"), Deadlock, 52, "64 arrived, 128"),
        bug("a row off its 16 bytes", &["and.b32 %r6, %r0, 31; shl.b32 %r6, %r6, 4; add.u32 %r6, %r6, %r1; and.b32 %r7, %r0, 96; shl.b32 %r7, %r7, 4; add.u32 %r6, %r6, %r7; .loc 1 53 1\nstmatrix.sync.aligned.m8n8.x1.shared.b16 [%r6], {%r5};"], ("[%r6], {", "[%r6+8], {"), Misaligned, 53, "modulo 16"),
    ]
}

fn listed(report: &Report) -> String {
    report.findings.iter().map(|f| format!("\n    {f}")).collect()
}

#[test]
fn each_is_clean_without_its_bug_and_named_with_it() {
    let bugs = bugs();
    let mut missed = Vec::new();
    for bug in &bugs {
        let right = bug.right.join(" ");
        let report = run(&right);
        if !report.clean() {
            missed.push(format!("{}, which is right here:{}", bug.name, listed(&report)));
            continue;
        }
        let (from, to) = bug.swap;
        assert!(right.contains(from), "{}: no '{from}'", bug.name);
        let report = run(&right.replacen(from, to, 1));
        let named = report.findings.first().is_some_and(|f| {
            f.kind == bug.kind && f.source == format!("kernels/bad.cu:{}", bug.line) && f.message.contains(bug.says)
        });
        if !named {
            missed.push(format!("{}:{}", bug.name, listed(&report)));
        }
    }
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), bugs.len(), missed.join("\n"));
}
