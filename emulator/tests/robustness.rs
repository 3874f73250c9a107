//! No text makes the loader or the interpreter panic: whatever comes out is a value or an error.

use proptest::prelude::*;

#[path = "../fuzz/body.rs"]
mod body;

const PTX: &str = concat!(include_str!("data/mixed.ptx"), "\n// next\n");
const HOPPER: &str = include_str!("data/hopper.ptx");

fn try_all(text: &str) {
    body::ptx(text.as_bytes());
}

fn lines() -> Vec<&'static str> {
    PTX.lines().filter(|l| !l.trim_start().starts_with("//")).collect()
}

const SPICE: [&str; 30] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    ":",
    "@",
    "!",
    "|",
    "-",
    "+",
    "_",
    "%r1",
    "%rd1",
    "%p1",
    "0",
    "4294967295",
    "0x7fffffffffffffff",
    "-1",
    "99999999999999999999",
    ".reg",
    ".loc 1 1 1",
    ".shared .align 4 .b8 q[4294967295];",
    "bra",
    "ret;",
    "\"",
    "\u{e9}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_changed(at in proptest::collection::vec((0usize..PTX.len(), any::<u8>()), 1..6)) {
        let mut b = PTX.as_bytes().to_vec();
        for (i, x) in at {
            b[i] = x & 0x7f;
        }
        try_all(&String::from_utf8(b).unwrap());
    }
    #[test]
    fn lines_moved(moves in proptest::collection::vec((0usize..1000, 0usize..1000, 0u8..3), 1..5)) {
        let mut l = lines();
        for (a, b, how) in moves {
            let (a, b) = (a % l.len(), b % l.len());
            match how {
                0 => l.swap(a, b),
                1 => { l.remove(a); }
                _ => { let x = l[a]; l.insert(b, x); }
            }
        }
        try_all(&l.join("\n"));
    }
    #[test]
    fn words_replaced(at in proptest::collection::vec((0usize..100_000, 0usize..SPICE.len(), 0usize..100_000), 1..5)) {
        let mut w: Vec<&str> = PTX.split_inclusive([' ', '\t', '\n', ',']).collect();
        for (i, s, j) in at {
            let n = w.len();
            // Either foreign matter or a word from elsewhere in the text.
            w[i % n] = if j % 2 == 0 { SPICE[s] } else { w[j % n] };
        }
        try_all(&w.concat());
    }
    #[test]
    fn words_replaced_for_hopper(at in proptest::collection::vec((0usize..100_000, 0usize..SPICE.len(), 0usize..100_000), 1..5)) {
        let mut w: Vec<&str> = HOPPER.split_inclusive([' ', '\t', '\n', ',', '.']).collect();
        for (i, s, j) in at {
            let n = w.len();
            w[i % n] = if j % 2 == 0 { SPICE[s] } else { w[j % n] };
        }
        try_all(&w.concat());
    }
    #[test]
    fn text_cut_off(n in 0usize..PTX.len()) {
        if PTX.is_char_boundary(n) {
            try_all(&PTX[..n]);
        }
    }
    #[test]
    fn any_text(s in "\\PC{0,200}") {
        try_all(&s);
        try_all(&format!(".version 8.0\n.target sm_80\n.address_size 64\n.entry k() {{ .reg .b32 %r<9>; .reg .b64 %rd<9>; {s} }}"));
    }
}

#[test]
fn hostile_texts() {
    let head = ".version 8.0\n.target sm_90a\n.address_size 64\n";
    for body in [
        ".entry k(.param .align 8 .b8 p[99999999999]) { ret; }",
        ".entry k() { .reg .b32 %r<4294967295>; mov.u32 %r4294967294, 1; ret; }",
        ".entry k() { .local .b8 big[4294967296]; ret; }",
        ".global .b8 x[4294967296];",
        ".entry k() { L: bra L; }",
        ".entry k() { .reg .pred %p<2>; L: @%p1 bra L; @!%p1 bra M; M: bra L; }",
        ".entry k() { bra L; .reg .b32 %r<2>; L: }",
        ".entry k() { {{{{{{{{{{ ret; }}}}}}}}}} }",
        ".entry k() { .reg .b32 r; bfi.b32 r, -1, -1, -1, -1; shl.b32 r, r, -1; shf.l.clamp.b32 r, r, r, -1; bfe.s32 r, r, -1, -1; div.s32 r, -2147483648, -1; rem.s32 r, -2147483648, -1; abs.s32 r, -2147483648; ret; }",
        ".entry k() { .reg .b64 r; .reg .b32 q; div.s64 r, -9223372036854775808, -1; bfi.b64 r, r, r, -1, -1; bfe.s64 r, r, -1, -1; cvt.rzi.s32.f64 q, 0dFFF0000000000000; add.sat.s32 q, q, q; ret; }",
        ".entry k() { .reg .b64 r; mov.u64 r, 0xffffffffffffffff; ld.global.v4.u32 {_, _, _, _}, [r+9223372036854775807]; ret; }",
        ".entry k() { .reg .b64 r; mov.u64 r, 0xfffffffffffffff0; ld.v4.u32 {_, _, _, _}, [r]; ret; }",
        ".entry k() { .reg .b32 r; mov.u32 r, 0xfffffff0; ld.shared.v4.u32 {_, _, _, _}, [r]; ret; }",
        ".entry k() { .reg .b32 r; ld.local.u32 r, [-4]; ret; }",
        ".entry k() { .reg .b32 r; bar.sync 99; ret; }",
        ".entry k() { .reg .b64 d; .reg .pred p; .shared .b64 b; mbarrier.arrive.shared.b64 d, [b]; ret; }",
        ".entry k() { .shared .align 8 .b64 b; mbarrier.init.shared.b64 [b], 4294967295; ret; }",
        ".entry k() { .reg .pred p; .shared .align 8 .b64 b; mbarrier.init.shared.b64 [b], 1; L: mbarrier.try_wait.parity.shared.b64 p, [b], 0; @!p bra L; ret; }",
        ".entry k() { .reg .b64 d; .shared .align 8 .b64 b; mbarrier.init.shared.b64 [b], 1; mbarrier.arrive.expect_tx.shared.b64 d, [b], 4294967295; ret; }",
        ".entry k(.param .align 64 .b8 m[128]) { .reg .b64 d; .shared .align 128 .b64 b[64]; mbarrier.init.shared.b64 [b], 1; mov.b64 d, m; cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [b+128], [d, {-1, 2147483647}], [b]; ret; }",
        ".entry k() { .reg .b64 d; .shared .align 128 .b64 b[64]; mbarrier.init.shared.b64 [b], 1; mov.b64 d, -16; cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [b+128], [d], 4294967280, [b]; cp.async.bulk.global.shared::cta.bulk_group [d], [b], 4294967280; ret; }",
        ".entry k() { .reg .b64 d; .reg .b32 r<4>; .reg .pred p; mov.b64 d, -1; setp.eq.u32 p, r1, r2; wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {r0, r1, r2, r3}, d, d, p, 1, 1, 0, 1; ret; }",
        ".entry k() { bar.sync 1, 2048; ret; }",
        ".entry k() { cp.async.wait_group 99999999999; cp.async.wait_all; ret; }",
        ".entry k() { .reg .pred p; .reg .b32 r; setp.eq.u32 p, 1, 2; vote.sync.ballot.b32 r, p, 0; elect.sync r|p, 0; redux.sync.add.u32 r, r, 0; match.any.sync.b32 r, r, 0; ret; }",
    ] {
        try_all(&format!("{head}{body}"));
    }
}
