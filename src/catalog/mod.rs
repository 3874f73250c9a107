//! The kernels that this program holds: names, tiles, alignment contracts and compiled images.
//!
//! `kernels/catalog.toml` is the one list; `build.rs` compiles what it names and this module reads the same file.

mod images;
mod packed;
mod schema;
mod shares;

pub use images::{Image, image, images, kernel_source};
pub use packed::{Packed, packed};
pub use schema::{Catalog, DTYPES, Helper, Kernel, LAYOUTS, ROUTES, SourceFile, UNITS, Variant, capability};
pub use shares::Shares;

use crate::problem::{DType, Operand, Problem};

use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    // build.rs has parsed this very text with these very types, so it cannot fail here.
    schema::parse(include_str!("../../kernels/catalog.toml")).expect("build.rs checked kernels/catalog.toml")
});

/// The catalogue of CUDA kernels.
pub fn catalog() -> &'static Catalog {
    &CATALOG
}

/// The CPU's one kernel: a library SGEMM between a widening and a narrowing.
pub fn cpu_kernel() -> &'static Kernel {
    static CPU: LazyLock<Kernel> = LazyLock::new(|| {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (dtypes, layouts) = (names(&["f16", "bf16", "tf32"]), names(&schema::LAYOUTS));
        Kernel {
            name: "cpu_sgemm".to_owned(),
            file: String::new(),
            summary: "CPU: rows widened to FP32, matrixmultiply's SGEMM, and the result narrowed again".to_owned(),
            unit: "cpu".to_owned(),
            min_cc: 0,
            variants: vec![Variant {
                name: "matrixmultiply".to_owned(),
                dtypes: dtypes.clone(),
                layouts: layouts.clone(),
                tile: [1, 1, 1],
                stages: 1,
                threads: 1,
                cluster: 1,
                splits: 1,
                align_bytes: 1,
                ..Variant::default()
            }],
            dtypes,
            layouts,
        }
    });
    &CPU
}

/// The library that our kernels are compared with: cuBLASLt, found at run time. Never chosen unless asked for by name.
pub fn baseline_kernel() -> &'static Kernel {
    static BASELINE: LazyLock<Kernel> = LazyLock::new(|| {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (dtypes, layouts) = (names(&schema::DTYPES), names(&schema::LAYOUTS));
        let variant = |name: &str| Variant {
            name: name.to_owned(),
            dtypes: dtypes.clone(),
            layouts: layouts.clone(),
            tile: [1, 1, 1],
            stages: 1,
            threads: 1,
            cluster: 1,
            align_bytes: 1,
            ..Variant::default()
        };
        Kernel {
            name: "cublaslt".to_owned(),
            file: String::new(),
            summary: "cuBLASLt, where it is installed: the fastest algorithm that its search offers, by measurement, or the first"
                .to_owned(),
            unit: "library".to_owned(),
            min_cc: 80,
            variants: vec![variant("best"), variant("first")],
            dtypes: dtypes.clone(),
            layouts,
        }
    });
    &BASELINE
}

impl Variant {
    /// Whether it takes the problem's type and layout.
    pub fn takes_form(&self, problem: &Problem) -> bool {
        self.takes(problem.dtype.name(), problem.layout.name())
    }

    /// The symbol to launch for the problem's type and layout.
    pub fn symbol_for(&self, problem: &Problem) -> String {
        self.symbol(problem.dtype.name(), problem.layout.name())
    }

    /// What the base address and the row stride of an operand must be a multiple of, in bytes: its contract, and never less than
    /// an element.
    pub fn align_of(&self, operand: Operand, dtype: DType) -> u64 {
        let (said, element) = match operand {
            Operand::A => (self.align_a.unwrap_or(self.align_bytes), dtype.bytes()),
            Operand::B => (self.align_b.unwrap_or(self.align_bytes), dtype.bytes()),
            Operand::C => (self.align_c.unwrap_or(1), dtype.c_bytes()),
        };
        u64::from(said).max(element)
    }

    /// What a problem offers of that: the alignment of all rows, or of their distance where the base may lie anywhere.
    pub fn align_had(&self, operand: Operand, problem: &Problem) -> u64 {
        let mut place = problem.placement(operand);
        if self.frees_base(operand) {
            place.offset = 0;
        }
        place.align_bytes(problem.element_bytes(operand))
    }

    /// Whether an operand's base may lie at any element.
    pub fn frees_base(&self, operand: Operand) -> bool {
        let name = operand.name().to_ascii_lowercase();
        self.free_base.as_ref().is_some_and(|free| free.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Layout;

    #[test]
    fn the_names_of_the_schema_are_those_of_the_program() {
        assert_eq!(DType::ALL.map(DType::name), schema::DTYPES);
        assert_eq!(Layout::ALL.map(Layout::name), schema::LAYOUTS);
    }

    #[test]
    fn a_kernel_has_the_files_of_its_list_and_no_others() {
        for kernel in catalog().kernels.iter().chain([cpu_kernel(), baseline_kernel()]) {
            let files = kernel.files();
            let others = catalog().files.iter().map(|f| f.path.clone()).chain([String::new(), kernel.file.clone()]);
            for path in others.chain(files.clone()) {
                assert_eq!(kernel.has_file(&path), files.contains(&path), "{} and {path:?}", kernel.name);
            }
        }
    }

    #[test]
    fn variants_inherit_from_their_kernel_and_override_it() {
        let text = r#"
            schema = 1
            [[file]]
            path = "a.cu"
            ptx_arch = "compute_80"
            cubins = []
            [[kernel]]
            name = "k"
            file = "a.cu"
            summary = "s"
            unit = "simt"
            min_cc = 80
            dtype = ["f16", "i8"]
            layouts = ["nn", "tn"]
            [[kernel.variant]]
            name = "both"
            entry = "gemm_{dtype}_{layout}"
            tile = [1, 2, 3]
            stages = 1
            threads = 32
            shared_bytes = 0
            align_bytes = 2
            [[kernel.variant]]
            name = "one"
            entry = "gemm"
            dtype = "tf32"
            layouts = "nt"
            min_cc = 89
            tile = [1, 2, 3]
            stages = 1
            threads = 32
            shared_bytes = 0
            align_bytes = 16
            align_b = 2
            align_c = 8
            free_base = "a"
            max_n = 8
        "#;
        let catalog = schema::parse(text).unwrap();
        let [both, one] = &catalog.kernels[0].variants[..] else { panic!("two variants") };
        assert_eq!(both.symbols(), ["gemm_f16_nn", "gemm_f16_tn", "gemm_i8_nn", "gemm_i8_tn"]);
        assert_eq!((both.min_cc, both.cluster, both.route.as_str()), (Some(80), 1, "direct"));
        assert_eq!(Operand::ALL.map(|o| both.align_of(o, DType::I8)), [2, 2, 4]);
        assert!(one.takes("tf32", "nt") && !one.takes("f16", "nn"));
        assert_eq!((one.symbols(), one.min_cc), (vec!["gemm".to_owned()], Some(89)));
        assert_eq!(Operand::ALL.map(|o| one.align_of(o, DType::Tf32)), [16, 4, 8]);
        assert_eq!(one.limits()[1], (0, 8));
        let mut odd = Problem::new(8, 8, 8).in_form(Layout::Nt, DType::Tf32);
        (odd.offset_a, odd.offset_b) = (1, 1);
        assert_eq!([Operand::A, Operand::B].map(|o| one.align_had(o, &odd)), [32, 4]);
    }
}
