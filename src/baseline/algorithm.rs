//! An algorithm of the library's own search, and what it says about itself.

use super::library::{Library, RawAlgorithm, RawResult};
use std::fmt;

/// One answer of the library's search for a problem.
#[derive(Debug, Clone)]
pub struct Algorithm {
    pub(super) raw: RawAlgorithm,
    /// Workspace that it needs, in bytes.
    pub workspace_bytes: usize,
    /// Its rank in the search: 0 is what the library would take.
    pub rank: usize,
    /// Waves of CTAs, by the library's estimate.
    pub waves: f32,
    config: Config,
}

/// `cublasLtMatmulAlgoConfigAttributes_t`, as far as algorithms are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Config {
    id: u32,
    tile: u32,
    split_k: u32,
    reduction: u32,
    swizzle: u32,
    custom: u32,
    stages: u32,
    inner_shape: u32,
    cluster_shape: u32,
}

impl Algorithm {
    pub(super) fn new(library: &Library, result: &RawResult, rank: usize) -> Algorithm {
        let get = |attribute: i32| -> u32 {
            let mut value = [0u8; 4];
            let mut written = 0;
            // SAFETY: the algorithm is whole, and at most four bytes are written. Some attributes are 16 bits wide: the
            // second call reads those.
            let read = |bytes: usize, value: &mut [u8; 4], written: &mut usize| unsafe {
                library.algorithm_get(&result.algorithm, attribute, value.as_mut_ptr().cast(), bytes, written)
            };
            match read(4, &mut value, &mut written).or_else(|_| read(2, &mut value, &mut written)) {
                Ok(()) => u32::from_ne_bytes(value),
                Err(_) => 0,
            }
        };
        let config = Config {
            id: get(0),
            tile: get(1),
            split_k: get(2),
            reduction: get(3),
            swizzle: get(4),
            custom: get(5),
            stages: get(6),
            inner_shape: get(7),
            cluster_shape: get(8),
        };
        Algorithm { raw: result.algorithm, workspace_bytes: result.workspace_bytes, rank, waves: result.waves, config }
    }
}

/// The library's own numbers for what it chose, enough to find the same algorithm again.
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.config;
        write!(
            f,
            "algorithm {} tile {} stages {} split-K {} reduction {} swizzle {} custom {} inner {} cluster {} rank {} workspace {}",
            c.id,
            c.tile,
            c.stages,
            c.split_k,
            c.reduction,
            c.swizzle,
            c.custom,
            c.inner_shape,
            c.cluster_shape,
            self.rank,
            self.workspace_bytes
        )
    }
}
