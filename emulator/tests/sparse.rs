//! Sparse products: where PTX ISA 9.7.14.6 puts the elements of A that are there, against a product of the whole matrices.

use gpu_emulator::{Device, Dim3, Kind, Module, Report};
use half::{bf16, f16};

/// Shape and types, the type of A's and B's elements, depth, bits of an element, and those of four threads that have the places.
type Case = (&'static str, &'static str, usize, usize, usize);

const CASES: [Case; 12] = [
    ("m16n8k16.row.col.f32.f16.f16.f32", "f16", 16, 16, 1),
    ("m16n8k32.row.col.f32.f16.f16.f32", "f16", 32, 16, 2),
    ("m16n8k16.row.col.f32.bf16.bf16.f32", "bf16", 16, 16, 1),
    ("m16n8k32.row.col.f32.bf16.bf16.f32", "bf16", 32, 16, 2),
    ("m16n8k8.row.col.f32.tf32.tf32.f32", "tf32", 8, 32, 1),
    ("m16n8k16.row.col.f32.tf32.tf32.f32", "tf32", 16, 32, 2),
    ("m16n8k32.row.col.s32.s8.s8.s32", "s8", 32, 8, 2),
    ("m16n8k64.row.col.s32.s8.s8.s32", "s8", 64, 8, 4),
    ("m16n8k64.row.col.s32.s4.s4.s32", "s4", 64, 4, 2),
    ("m16n8k128.row.col.s32.s4.s4.s32", "s4", 128, 4, 4),
    ("m16n8k64.row.col.satfinite.s32.u4.s4.s32", "u4", 64, 4, 2),
    ("m16n8k128.row.col.satfinite.s32.u4.s4.s32", "u4", 128, 4, 4),
];

fn bits(ty: &str, v: i32) -> u32 {
    match ty {
        "f16" => u32::from(f16::from_f32(v as f32).to_bits()),
        "bf16" => u32::from(bf16::from_f32(v as f32).to_bits()),
        "tf32" => (v as f32).to_bits(),
        "s4" | "u4" => v as u32 & 15,
        _ => v as u8 as u32,
    }
}

/// Sixteen words for each lane: four of A, four of B, four of C and the places.
fn run(case: Case, selector: usize, ordered: bool, words: &[[u32; 16]]) -> (Report, Vec<[u32; 4]>) {
    let (shape, _, k, width, _) = case;
    let list = |first: usize, n: usize| (0..n).map(|i| format!("%r{}", first + i)).collect::<Vec<_>>().join(", ");
    let (na, nb) = (k * width / 128, k * width / 128);
    let ptx = format!(
        ".version 8.5\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 pin, .param .u64 pout)
{{
    .reg .b32 %r<40>; .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [pin]; ld.param.u64 %rd2, [pout]; mov.u32 %r0, %tid.x;
    mul.wide.u32 %rd3, %r0, 64; add.s64 %rd4, %rd1, %rd3; mul.wide.u32 %rd5, %r0, 16; add.s64 %rd6, %rd2, %rd5;
    ld.global.v4.u32 {{%r1, %r2, %r3, %r4}}, [%rd4]; ld.global.v4.u32 {{%r5, %r6, %r7, %r8}}, [%rd4+16];
    ld.global.v4.u32 {{%r9, %r10, %r11, %r12}}, [%rd4+32]; ld.global.u32 %r13, [%rd4+48];
    mma.sp{}.sync.aligned.{shape} {{{}}}, {{{}}}, {{{}}}, {{{}}}, %r13, {selector};
    st.global.v4.u32 [%rd6], {{%r20, %r21, %r22, %r23}};
    ret;
}}",
        if ordered { "::ordered_metadata" } else { "" },
        list(20, 4),
        list(1, na),
        list(5, nb),
        list(9, 4)
    );
    let m = Module::load(&ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    let (a, b) = (d.memory.alloc(64 * 32, "in").unwrap(), d.memory.alloc(512, "out").unwrap());
    let bytes: Vec<u8> = words.iter().flatten().flat_map(|w| w.to_le_bytes()).collect();
    d.memory.write(a, &bytes).unwrap();
    let params: Vec<u8> = [a, b].iter().flat_map(|x| x.to_le_bytes()).collect();
    let r = d.launch(m.entry("k").unwrap(), Dim3::x(1), Dim3::x(32), 0, &params).unwrap();
    let mut out = vec![0; 512];
    d.memory.read(b, &mut out).unwrap();
    let w: Vec<u32> = out.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    (r, w.chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect())
}

/// The registers of a product of matrices that `seed` makes, and what has to come out.
fn problem(case: Case, selector: usize, seed: usize) -> (Vec<[u32; 16]>, Vec<Vec<i32>>) {
    let (_, ty, k, width, threads) = case;
    // Of four bits, two of four pairs of elements are there.
    let chunk = match width {
        32 => 2,
        4 => 8,
        _ => 4,
    };
    let there = chunk / 2;
    let pair_places = |n: usize| [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]][n % 6];
    // Of every chunk of a row the places of its elements, in order.
    let places = |row: usize, c: usize| -> Vec<usize> {
        let n = row * 13 + c * 7 + seed * 5 + row * c;
        if there == 1 {
            return vec![n % 2];
        }
        let two = pair_places(n);
        if width == 4 { two.iter().flat_map(|p| [2 * p, 2 * p + 1]).collect() } else { two.to_vec() }
    };
    let least = if ty == "u4" { 7 } else { -4 };
    let value = |row: usize, col: usize| ((row * 7 + col * 3 + seed) % 9) as i32 + least;
    let whole =
        |row: usize, col: usize| if places(row, col / chunk).contains(&(col % chunk)) { value(row, col) } else { 0 };
    let b = |row: usize, col: usize| ((row * 5 + col * 11 + seed) % 7) as i32 - 3;
    let c = |row: usize, col: usize| (row * 8 + col) as i32 - 60;
    let result: Vec<Vec<i32>> = (0..16)
        .map(|r| (0..8).map(|n| c(r, n) + (0..k).map(|i| whole(r, i) * b(i, n)).sum::<i32>()).collect())
        .collect();
    let mut words = vec![[0u32; 16]; 32];
    let per = 32 / width;
    for (lane, w) in words.iter_mut().enumerate() {
        let (group, thread) = (lane / 4, lane % 4);
        for i in 0..k * width / 128 * per {
            // Registers go to the row, the row eight below, and then to the second half of the depth.
            let (reg, e) = (i / per, i % per);
            let row = group + 8 * (reg % 2);
            let first = thread * 2 * per + if reg < 2 { 0 } else { 8 * per };
            let ch = first / chunk + e / there;
            let col = ch * chunk + places(row, ch)[e % there];
            w[reg] |= bits(ty, value(row, col)) << (width * e);
            w[4 + reg] |=
                bits(if ty == "u4" { "s4" } else { ty }, b(thread * per + 4 * per * reg + e, group)) << (width * e);
        }
        for i in 0..4 {
            let v = c(group + 8 * (i / 2), 2 * thread + i % 2);
            w[8 + i] = if matches!(ty, "s8" | "s4" | "u4") { v as u32 } else { (v as f32).to_bits() };
        }
    }
    for row in 0..16 {
        for ch in 0..k / chunk {
            let p = places(row, ch);
            let four = match p[..] {
                [x] => [0b0100, 0b1110][x],
                [x, y] => x | y << 2,
                [x, _, y, _] => x / 2 | (y / 2) << 2,
                _ => 0,
            };
            // Bytes, and pairs of four bits: a word for every row of 32 columns; else half a word, below the one of the row eight below.
            let (thread, shift) = if width <= 8 {
                (row / 8 + 2 * (ch / 8), 4 * (ch % 8))
            } else {
                (ch / 4, 16 * (row / 8) + 4 * (ch % 4))
            };
            words[4 * (row % 8) + threads * selector + thread][12] |= (four as u32) << shift;
        }
    }
    (words, result)
}

#[test]
fn sparse_products_of_every_type() {
    for case in CASES {
        for selector in 0..4 / case.4 {
            for seed in 0..5 {
                let (words, want) = problem(case, selector, seed);
                let (r, out) = run(case, selector, seed % 2 == 0, &words);
                assert!(r.clean(), "{}: {:?}", case.0, r.findings);
                for (lane, o) in out.iter().enumerate() {
                    for (i, bits) in o.iter().enumerate() {
                        let v = if matches!(case.1, "s8" | "s4" | "u4") {
                            *bits as i32
                        } else {
                            f32::from_bits(*bits) as i32
                        };
                        let (row, col) = (lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2);
                        assert_eq!(
                            v, want[row][col],
                            "{} selector {selector} seed {seed} row {row} column {col}",
                            case.0
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn places_that_no_element_can_have() {
    let (mut words, _) = problem(CASES[0], 2, 1);
    // Row 3, the second chunk: twice the same place.
    words[4 * 3 + 2][12] = words[4 * 3 + 2][12] & !0xf0 | 0x50;
    let (r, _) = run(CASES[0], 2, false, &words);
    assert_eq!(r.fault, Some(Kind::Trap));
    assert!(r.findings[0].message.contains("0101 for the places of elements of row 3"), "{:?}", r.findings);
    // Out of order: meant in one form, and without meaning in the other.
    words[4 * 3 + 2][12] = words[4 * 3 + 2][12] & !0xf0 | 0x10;
    assert!(run(CASES[0], 2, false, &words).0.clean());
    assert_eq!(run(CASES[0], 2, true, &words).0.fault, Some(Kind::Trap));
    // Threads that cannot have the places.
    let ptx = ".version 8.5\n.target sm_80\n.address_size 64\n.visible .entry k()\n{ .reg .b32 %r<40>;
        mma.sp.sync.aligned.m16n8k32.row.col.f16.f16.f16.f16 {%r0,%r1},{%r2,%r3,%r4,%r5},{%r6,%r7,%r8,%r9},{%r0,%r1},%r10,2; ret; }";
    assert!(Module::load(ptx).unwrap_err().to_string().contains("sparsity selector"));
}
