//! What nvcc makes of CUDA C++, run and compared with the same computation on the host.

use gpu_emulator::{Device, Dim3, Kind, Module, Report};
use half::f16;

const PTX: &str = include_str!("data/mixed.ptx");

fn half_value(i: usize) -> f32 {
    ((i * 7 + i / 5) % 9) as f32 - 4.0
}
fn halves(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| f16::from_f32(half_value(i)).to_le_bytes()).collect()
}
fn put(d: &mut Device, name: &str, bytes: &[u8]) -> u64 {
    let p = d.memory.alloc(bytes.len() as u64, name).unwrap();
    d.memory.write(p, bytes).unwrap();
    p
}
fn get<const N: usize, T>(d: &Device, p: u64, n: usize, f: fn([u8; N]) -> T) -> Vec<T> {
    let mut v = vec![0; n * N];
    d.memory.read(p, &mut v).unwrap();
    v.chunks_exact(N).map(|c| f(c.try_into().unwrap())).collect()
}
fn module() -> Module {
    Module::load(PTX).unwrap_or_else(|e| panic!("{e}"))
}
#[track_caller]
fn clean(r: &Report) {
    let text: Vec<String> = r.findings.iter().map(ToString::to_string).collect();
    assert!(r.clean(), "{}", text.join("\n"));
}

fn naive(m: usize, n: usize, k: usize, lda: usize, ldb: usize, ldc: usize, threads: usize) -> (Report, Vec<f16>) {
    let mut d = Device::new();
    d.options.threads = threads;
    let a = put(&mut d, "A", &halves((m - 1) * lda + k));
    let b = put(&mut d, "B", &halves((k - 1) * ldb + n));
    let c = put(&mut d, "C", &halves((m - 1) * ldc + n));
    let mut p: Vec<u8> = [a, b, c, lda as u64, ldb as u64, ldc as u64].iter().flat_map(|x| x.to_le_bytes()).collect();
    for x in [m as u32, n as u32, k as u32, 0.5f32.to_bits(), 2f32.to_bits(), 0] {
        p.extend(x.to_le_bytes());
    }
    let blocks = m.div_ceil(16) * n.div_ceil(16);
    let r = d.launch(module().entry("naive").unwrap(), Dim3::x(blocks as u32), Dim3::x(256), 0, &p).unwrap();
    let out = get(&d, c, (m - 1) * ldc + n, f16::from_le_bytes);
    (r, out)
}

#[test]
fn a_naive_product_is_exact() {
    for (m, n, k, lda, ldb, ldc) in [(1, 1, 1, 1, 1, 1), (17, 33, 5, 5, 33, 33), (40, 20, 31, 37, 21, 29)] {
        for threads in [1, 3] {
            let (r, out) = naive(m, n, k, lda, ldb, ldc, threads);
            clean(&r);
            for i in 0..m {
                for j in 0..ldc {
                    let at = i * ldc + j;
                    if at >= out.len() {
                        break;
                    }
                    let was = half_value(at);
                    let want = if j < n {
                        0.5 * (0..k).map(|x| half_value(i * lda + x) * half_value(x * ldb + j)).sum::<f32>() + 2.0 * was
                    } else {
                        was
                    };
                    assert_eq!(out[at].to_f32(), want, "{m}x{n}x{k} at {i},{j}");
                }
            }
            assert_eq!(r.counters.blocks as usize, m.div_ceil(16) * n.div_ceil(16));
        }
    }
}

#[test]
fn counters_do_not_depend_on_the_number_of_host_threads() {
    let a = naive(50, 70, 9, 9, 70, 70, 1).0.counters;
    let b = naive(50, 70, 9, 9, 70, 70, 4).0.counters;
    assert_eq!(a, b);
}

#[test]
fn a_wmma_tile() {
    let k = 48;
    let mut d = Device::new();
    let (a, b) = (put(&mut d, "A", &halves(16 * k)), put(&mut d, "B", &halves(16 * k)));
    let c = d.memory.alloc(1024, "C").unwrap();
    let mut p: Vec<u8> = [a, b, c].iter().flat_map(|x| x.to_le_bytes()).collect();
    p.extend((k as u32).to_le_bytes());
    let r = d.launch(module().entry("tile_wmma").unwrap(), Dim3::x(1), Dim3::x(32), 0, &p).unwrap();
    clean(&r);
    let out = get(&d, c, 256, f32::from_le_bytes);
    for i in 0..16 {
        for j in 0..16 {
            let want: f32 = (0..k).map(|x| half_value(i * k + x) * half_value(x * 16 + j)).sum();
            assert_eq!(out[16 * i + j], 2.0 * want);
        }
    }
    assert_eq!(r.counters.issued_macs, 16 * 16 * k as u64);
}

#[test]
fn copies_matrix_loads_and_mma() {
    for rows in [16u32, 11, 0] {
        let mut d = Device::new();
        // Rows that are not there lie outside the allocation.
        let a = if rows == 0 { put(&mut d, "A", &[0; 16]) } else { put(&mut d, "A", &halves(16 * rows as usize)) };
        let b = put(&mut d, "B", &halves(128));
        let c = d.memory.alloc(512, "C").unwrap();
        let mut p: Vec<u8> = [a, b, c].iter().flat_map(|x| x.to_le_bytes()).collect();
        p.extend(rows.to_le_bytes());
        let r = d.launch(module().entry("tile_mma").unwrap(), Dim3::x(1), Dim3::x(32), 768, &p).unwrap();
        clean(&r);
        let out = get(&d, c, 128, f32::from_le_bytes);
        for i in 0..16 {
            for j in 0..8 {
                let want: f32 = if i < rows as usize {
                    (0..16).map(|x| half_value(i * 16 + x) * half_value(x * 8 + j)).sum()
                } else {
                    0.0
                };
                assert_eq!(out[8 * i + j], want, "rows {rows} at {i},{j}");
            }
        }
        let cp = &r.counters.cp_async_cg;
        assert_eq!((cp.bytes, r.counters.zero_filled_bytes), (u64::from(rows) * 32, u64::from(16 - rows) * 32));
        assert_eq!((r.counters.ldmatrix.requests, r.counters.mma_instructions), (2, 1));
    }
}

#[test]
fn scalar_code() {
    for n in 1u32..7 {
        let mut d = Device::new();
        let dv: Vec<f64> = (0..32).map(|t| t as f64 * 0.75).collect();
        let fv: Vec<f32> = (0..32).map(|t| t as f32 * 0.5).collect();
        let iv: Vec<i32> = (0..32).map(|t| (t * 0x0123_4567) ^ (t << 27)).collect();
        let uv: Vec<u64> = (0..32).map(|t| t * 0x1234_5678_9abc).collect();
        let pd = put(&mut d, "d", &dv.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        let pf = put(&mut d, "f", &fv.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        let pi = put(&mut d, "i", &iv.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        let pu = put(&mut d, "u", &uv.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        let mut p: Vec<u8> = [pd, pf, pi, pu].iter().flat_map(|x| x.to_le_bytes()).collect();
        p.extend(n.to_le_bytes());
        let r = d.launch(module().entry("scalars").unwrap(), Dim3::x(1), Dim3::x(32), 0, &p).unwrap();
        clean(&r);

        let want_d: Vec<f64> = dv.iter().map(|x| x.mul_add(2.0, 1.0) / (x + 3.0) + x.sqrt()).collect();
        assert_eq!(get(&d, pd, 32, f64::from_le_bytes), want_d);

        let mut u: Vec<u64> = uv
            .iter()
            .map(|x| {
                let m = u64::from(n);
                (x / m)
                    .wrapping_add(x % 7)
                    .wrapping_add(((u128::from(*x) * u128::from(m)) >> 64) as u64)
                    .wrapping_add(u64::from(x.count_ones()))
                    .wrapping_add(x >> n)
            })
            .collect();
        if n == 6 {
            u.fill(4);
        }
        assert_eq!(get(&d, pu, 32, u64::from_le_bytes), u, "u, n = {n}");

        let m = n as i32;
        let mut i: Vec<i32> = iv
            .iter()
            .enumerate()
            .map(|(t, x)| {
                let x = *x;
                let funnel = ((((n as u64) << 32) | x as u32 as u64) >> (t & 31)) as u32;
                (x.count_ones() as i32)
                    .wrapping_add(x.leading_zeros() as i32)
                    .wrapping_add(x.reverse_bits())
                    .wrapping_add(x.wrapping_div(m))
                    .wrapping_add(x.wrapping_rem(m))
                    .wrapping_add(((i64::from(x) * i64::from(m)) >> 32) as i32)
                    .wrapping_add(x.wrapping_abs())
                    .wrapping_add(x)
                    .wrapping_add(funnel as i32)
            })
            .collect();
        // Three collectives in one expression, each over the values before it.
        let ballot = i.iter().enumerate().fold(0u32, |s, (t, x)| s | u32::from(*x > 0) << t);
        let sum = i.iter().fold(0i32, |s, x| s.wrapping_add(*x));
        i = i
            .iter()
            .map(|x| {
                let same = i.iter().enumerate().filter(|(_, y)| *y & 3 == x & 3).fold(0u32, |s, (t, _)| s | 1 << t);
                x.wrapping_add(ballot as i32).wrapping_add(same as i32).wrapping_add(sum)
            })
            .collect();
        let positive = i.iter().filter(|x| **x > 0).count() as i32;
        let last = (0..32).rfind(|q| (q * n) & 31 == (n * 3) & 31).map_or(0, |q| (q * n) as i32);
        i = i
            .iter()
            .map(|x| {
                let x = x.wrapping_add(positive);
                let x = match n {
                    1 => x.wrapping_mul(5),
                    2 => x.wrapping_sub(9),
                    4 => x.wrapping_add(11),
                    5 => x ^ 77,
                    _ => x,
                };
                x.wrapping_add(last)
            })
            .collect();
        assert_eq!(get(&d, pi, 32, i32::from_le_bytes), i, "i, n = {n}");

        // Floats within what the approximate functions leave.
        let f0: Vec<f32> = fv
            .iter()
            .map(|x| x / 3.0 + (x * 0.125).exp() + 1.0 / (x + 1.0).sqrt() + x.abs() + x.floor() + x.round_ties_even())
            .collect();
        let f1: Vec<f32> = (0..32).map(|t| f0[t] + (f0[t ^ 1] + f0[if t + 2 < 32 { t + 2 } else { t }])).collect();
        let got = get(&d, pf, 32, f32::from_le_bytes);
        for t in 0..32usize {
            let h = f1[t] + if f1[t] > 4.0 { f1[t] * 2.0 } else { f1[t].sin() };
            let other = 31 - t;
            let tile = (other & 3) as f32 + 1.0 + [10.0, 20.0, 30.0][other % 3] + (n + 1) as f32;
            let want = if n == 3 { 2.0 } else { h + tile + 496.0 };
            assert!((got[t] - want).abs() <= want.abs() * 1e-5, "f, n = {n}, lane {t}: {} and not {want}", got[t]);
        }
    }
}

#[test]
fn a_failed_assertion_names_its_line() {
    let mut d = Device::new();
    let z = put(&mut d, "zeros", &[0; 256]);
    let mut p: Vec<u8> = [z, z, z, z].iter().flat_map(|x| x.to_le_bytes()).collect();
    p.extend(99u32.to_le_bytes());
    // The shared tile is indexed with n first, and 99 is beyond it.
    let r = d.launch(module().entry("scalars").unwrap(), Dim3::x(1), Dim3::x(32), 0, &p).unwrap();
    assert!(matches!(r.fault, Some(Kind::OutOfBounds | Kind::Trap)));
    assert!(r.findings.iter().any(|f| f.source.starts_with("mixed.cu:")), "{:?}", r.findings);
}
