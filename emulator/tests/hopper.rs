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
    let module = Module::load(ptx).unwrap_or_else(|e| panic!("{e}"));
    let mut d = Device::new();
    let mut put = |name: &str, rows: usize, cols: usize, fill: bool| {
        let p = d.memory.alloc((rows * cols * 2) as u64, name).unwrap();
        if fill {
            let b: Vec<u8> = (0..rows * cols)
                .flat_map(|i| f16::from_f32(value(i)).to_le_bytes())
                .collect();
            d.memory.write(p, &b).unwrap();
        }
        p
    };
    let (a, b, c) = (
        put("A", m, k, true),
        put("B", k, n, true),
        put("C", m, n, false),
    );
    let map = |addr: u64, rows: usize, cols: usize, swizzle: u32| {
        let (dims, strides) = (vec![cols as u64, rows as u64], vec![2 * cols as u64]);
        TensorMap {
            elem: 2,
            swizzle,
            nan_fill: false,
            addr,
            dims,
            strides,
            boxes: vec![64, 64],
        }
        .encode()
        .unwrap()
    };
    let mut p = Vec::new();
    p.extend(map(a, m, k, 128));
    p.extend(map(b, k, n, 128));
    p.extend(map(c, m, n, 0));
    p.extend((k as u32).to_le_bytes());
    let grid = Dim3::new(n.div_ceil(64) as u32, m.div_ceil(64) as u32, 1);
    d.options.max_instructions = 1 << 24;
    d.options.copies_land_early = early;
    d.options.written_once = vec![gpu_emulator::Region {
        address: c,
        row_bytes: 2 * n as u64,
        rows: m as u64,
        pitch: 2 * n as u64,
    }];
    let r = d
        .launch(
            module.entry("tile_tma").unwrap(),
            grid,
            Dim3::x(128),
            32768,
            &p,
        )
        .unwrap();
    let mut out = vec![0; m * n * 2];
    d.memory.read(c, &mut out).unwrap();
    (
        r,
        out.chunks_exact(2)
            .map(|x| f16::from_le_bytes([x[0], x[1]]))
            .collect(),
    )
}
fn right(c: &[f16], m: usize, n: usize, k: usize) -> bool {
    (0..m * n).all(|i| {
        let want: f32 = (0..k)
            .map(|x| value(i / n * k + x) * value(x * n + i % n))
            .sum();
        c[i] == f16::from_f32(want)
    })
}
fn text(r: &Report) -> String {
    r.findings.iter().map(|f| format!("{f}\n")).collect()
}

#[test]
fn products_are_exact() {
    for (m, n, k) in [
        (64, 64, 64),
        (64, 64, 16),
        (128, 192, 320),
        (72, 136, 200),
        (8, 8, 8),
    ] {
        let (r, c) = run_with(PTX, m, n, k, true);
        assert!(
            r.clean() && right(&c, m, n, k),
            "{m}x{n}x{k}, early\n{}",
            text(&r)
        );
        let (r, c) = run(PTX, m, n, k);
        assert!(r.clean(), "{m}x{n}x{k}\n{}", text(&r));
        assert!(right(&c, m, n, k), "{m}x{n}x{k}");
        let blocks = (m.div_ceil(64) * n.div_ceil(64)) as u64;
        let steps = k.div_ceil(64) as u64;
        assert_eq!(r.counters.bulk_load_bytes, blocks * steps * 16384);
        assert_eq!(r.counters.issued_macs, blocks * steps * 64 * 64 * 64);
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
    let from = PTX
        .lines()
        .find(|l| l.contains("mbarrier.arrive.shared::cta.b64"))
        .unwrap();
    let (r, _) = run(&changed(from, ""), 64, 64, 256);
    assert_eq!(r.fault, Some(Kind::Deadlock));
    assert!(
        text(&r).contains("128 arrivals and 0 bytes missing"),
        "{}",
        text(&r)
    );
}
#[test]
fn stages_given_back_too_early() {
    let (r, _) = run(
        &changed("wgmma.wait_group.sync.aligned 0;", ""),
        64,
        64,
        256,
    );
    assert!(
        r.findings
            .iter()
            .any(|f| f.kind == Kind::Race && f.message.contains("wgmma")),
        "{}",
        text(&r)
    );
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
    assert!(
        TensorMap {
            strides: vec![136],
            ..t.clone()
        }
        .encode()
        .is_none()
    );
    assert!(
        TensorMap {
            addr: 8,
            ..t.clone()
        }
        .encode()
        .is_none()
    );
    assert!(
        TensorMap {
            swizzle: 64,
            ..t.clone()
        }
        .encode()
        .is_none()
    );
    assert!(
        TensorMap {
            boxes: vec![64, 512],
            ..t
        }
        .encode()
        .is_none()
    );
}
