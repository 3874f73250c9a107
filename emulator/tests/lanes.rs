//! Lanes of a warp that part, and wait for what others of it have to do: as on hardware since Volta, all of them go on.

use gpu_emulator::{Device, Dim3, Kind, Module, Report};

/// One warp of a kernel `k(out)`, with the registers and the shared memory that the bodies below use.
fn run(body: &str, seed: u64) -> (Vec<u32>, Report) {
    let ptx = format!(
        ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 pout)\n{{
    .reg .pred %p<9>; .reg .b32 %r<20>; .reg .b64 %rd<9>; .shared .align 8 .b64 bar[4];
    ld.param.u64 %rd1, [pout]; mov.u32 %r0, %tid.x; mul.wide.u32 %rd2, %r0, 4; add.s64 %rd3, %rd1, %rd2;
    setp.eq.u32 %p1, %r0, 0; mov.u32 %r1, bar;
    @%p1 mbarrier.init.shared.b64 [%r1], 32; @%p1 mbarrier.init.shared.b64 [%r1+8], 31;
    @%p1 mbarrier.init.shared.b64 [%r1+16], 1; @%p1 mbarrier.init.shared.b64 [%r1+24], 16;
    bar.warp.sync 0xffffffff;
    {body}
    st.global.u32 [%rd3], %r0;
    ret; }}"
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}\n{ptx}"));
    let mut d = Device::new();
    let out = d.memory.alloc(128, "out").unwrap();
    d.options.max_instructions = 1 << 20;
    d.options.shuffle = seed;
    let r = d.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(32), 0, &out.to_le_bytes()).unwrap();
    let mut bytes = vec![0; 128];
    d.memory.read(out, &mut bytes).unwrap();
    (bytes.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect(), r)
}

#[track_caller]
fn ends(body: &str) {
    for seed in 0..6 {
        let (out, r) = run(body, seed);
        assert!(r.clean(), "seed {seed}: {:?}", r.findings);
        assert!(out.iter().enumerate().all(|(i, v)| *v == i as u32), "seed {seed}: {out:?}");
    }
}

/// The elected lane goes on to its next wait while the others have still to arrive, as compilers make of `if (elected) issue(); arrive();`
/// where they copy the arrival into both ways.
#[test]
fn one_lane_runs_ahead_of_the_arrivals_of_the_others() {
    ends(
        "@!%p1 bra OTHERS;
    mbarrier.arrive.shared.b64 _, [%r1];
    W0: mbarrier.try_wait.parity.shared.b64 %p2, [%r1], 0; @!%p2 bra W0;
    bra.uni DONE;
    OTHERS: mbarrier.arrive.shared.b64 _, [%r1];
    W1: mbarrier.try_wait.parity.shared.b64 %p3, [%r1], 0; @!%p3 bra W1;
    DONE:",
    );
}

/// What the lane waits for is done where the ways have met again, by lanes that did not have to take its way.
#[test]
fn lanes_that_only_pass_by_do_not_wait_for_a_lane_that_waits_for_them() {
    ends(
        "@!%p1 bra AFTER;
    { .reg .pred %q; setp.gt.u32 %q, %r1, 0; @!%q bra IN; mov.u32 %r5, 1;
    IN: }
    W0: mbarrier.try_wait.parity.shared.b64 %p2, [%r1+8], 0; @!%p2 bra W0;
    AFTER:
    @!%p1 mbarrier.arrive.shared.b64 _, [%r1+8];",
    );
}

/// Two halves of a warp hand over to each other twice, each by an mbarrier of its own.
#[test]
fn halves_of_a_warp_take_turns() {
    ends(
        "setp.lt.u32 %p4, %r0, 16; @%p1 mbarrier.inval.shared.b64 [%r1+8]; @%p1 mbarrier.init.shared.b64 [%r1+8], 16; bar.warp.sync 0xffffffff;
    @%p4 bra LOW;
    HIGH: mbarrier.arrive.shared.b64 _, [%r1+24];
    W0: mbarrier.try_wait.parity.shared.b64 %p2, [%r1+8], 0; @!%p2 bra W0;
    mbarrier.arrive.shared.b64 _, [%r1+24];
    W2: mbarrier.try_wait.parity.shared.b64 %p2, [%r1+8], 1; @!%p2 bra W2;
    bra.uni DONE;
    LOW:
    W1: mbarrier.try_wait.parity.shared.b64 %p3, [%r1+24], 0; @!%p3 bra W1;
    mbarrier.arrive.shared.b64 _, [%r1+8];
    W3: mbarrier.try_wait.parity.shared.b64 %p3, [%r1+24], 1; @!%p3 bra W3;
    mbarrier.arrive.shared.b64 _, [%r1+8];
    DONE:",
    );
}

/// Every lane asks about another mbarrier, and that of the first lane opens last.
#[test]
fn lanes_that_ask_about_several_mbarriers_go_on_one_by_one() {
    ends(
        "shr.u32 %r4, %r0, 4; mad.lo.u32 %r5, %r4, 16, %r1; @%p1 mbarrier.arrive.shared.b64 _, [%r1+16];
    @%p1 mbarrier.inval.shared.b64 [%r1]; @%p1 mbarrier.init.shared.b64 [%r1], 16; bar.warp.sync 0xffffffff;
    W0: mbarrier.try_wait.parity.shared.b64 %p2, [%r5], 0; @%p2 bra OUT; bra.uni W0;
    OUT: setp.ge.u32 %p5, %r0, 16; @%p5 mbarrier.arrive.shared.b64 _, [%r1];",
    );
}

/// And where nobody of the warp can help, it is a deadlock all the same.
#[test]
fn a_wait_that_no_lane_can_end_is_a_deadlock() {
    for body in [
        "@!%p1 bra OTHERS;
    W0: mbarrier.try_wait.parity.shared.b64 %p2, [%r1], 0; @!%p2 bra W0;
    OTHERS: mbarrier.arrive.shared.b64 _, [%r1+16];"
            .replace("[%r1+16]", "[%r1+8]")
            .replace("OTHERS: ", "OTHERS: @!%p1 "),
        "@!%p1 bra OTHERS;
    W0: mbarrier.try_wait.parity.shared.b64 %p2, [%r1], 0; @!%p2 bra W0; bra.uni DONE;
    OTHERS:
    W1: mbarrier.try_wait.parity.shared.b64 %p3, [%r1+24], 0; @!%p3 bra W1;
    DONE:"
            .into(),
    ] {
        for seed in [0, 1, 2] {
            let (_, r) = run(&body, seed);
            assert_eq!(r.fault, Some(Kind::Deadlock), "{:?}", r.findings);
        }
    }
}

/// With one arrival too few to wait for, the last lane's counts for the phase after, and the next round opens early.
#[test]
fn arrivals_that_run_over_into_the_next_phase() {
    let body = |bar: u32| {
        format!(
            "mbarrier.arrive.shared.b64 _, [%r1+{bar}]; W0: mbarrier.try_wait.parity.shared.b64 %p2, [%r1+{bar}], 0; @!%p2 bra W0;"
        )
    };
    assert!(run(&body(0), 0).1.clean());
    let (_, r) = run(&body(8), 0);
    let f = &r.findings[0];
    assert!(f.kind == Kind::Race && f.lane == Some(31) && f.message.contains("end phase 0 of an mbarrier"), "{f}");
    // Lanes of one instruction at several mbarriers end a phase of each.
    assert!(run("shr.u32 %r4, %r0, 4; mad.lo.u32 %r5, %r4, 8, %r1; @%p1 mbarrier.inval.shared.b64 [%r1]; @%p1 mbarrier.init.shared.b64 [%r1], 16;
        @%p1 mbarrier.inval.shared.b64 [%r1+8]; @%p1 mbarrier.init.shared.b64 [%r1+8], 16; bar.warp.sync 0xffffffff;
        mbarrier.arrive.shared.b64 _, [%r5];", 1).1.clean());
}
