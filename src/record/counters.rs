//! What the emulated device counted. Every figure is defined by the Nsight Compute metric that it should equal on a GPU.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Accesses to global memory of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Warp instructions with at least one active lane: `l1tex__t_requests_pipe_lsu_mem_global_op_*`.
    pub requests: u64,
    /// Distinct 32-byte sectors of each request, added up: `l1tex__t_sectors_pipe_lsu_mem_global_op_*`.
    pub sectors: u64,
    /// Bytes that the lanes asked for.
    pub bytes: u64,
    /// Lanes that moved 1, 2, 4, 8 and 16 bytes each.
    pub width: [u64; 5],
}

/// Accesses to shared memory of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wavefronts {
    /// Warp instructions with at least one active lane.
    pub requests: u64,
    /// Passes through the 32 banks that they took: `memory_l1_wavefronts_shared`.
    pub wavefronts: u64,
    /// Passes that as many bytes take without a conflict: `memory_l1_wavefronts_shared_ideal`.
    pub ideal: u64,
}

/// Counters of one or more launches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Loads from global memory.
    pub global_load: Traffic,
    /// Stores to global memory.
    pub global_store: Traffic,
    /// Atomics on global memory.
    pub global_atomic: Traffic,
    /// `cp.async` through the L1.
    pub cp_async_ca: Traffic,
    /// `cp.async` past the L1.
    pub cp_async_cg: Traffic,
    /// Bytes that `cp.async` filled with zeros instead of loading them.
    pub zero_filled_bytes: u64,
    /// Bulk and tensor copies into shared memory.
    pub bulk_loads: u64,
    /// Their bytes, zeros outside of the tensor included.
    pub bulk_load_bytes: u64,
    /// 32-byte sectors that they read, each row of a box by itself.
    pub bulk_load_sectors: u64,
    /// Bulk and tensor copies to global memory.
    pub bulk_stores: u64,
    /// Their bytes.
    pub bulk_store_bytes: u64,
    /// 32-byte sectors that they write, each row of a box by itself.
    pub bulk_store_sectors: u64,
    /// Loads from shared memory other than `ldmatrix`.
    pub shared_load: Wavefronts,
    /// Stores to shared memory.
    pub shared_store: Wavefronts,
    /// `ldmatrix`.
    pub ldmatrix: Wavefronts,
    /// What `cp.async` writes to shared memory.
    pub shared_cp_async: Wavefronts,
    /// Matrix instructions, a warp each.
    pub mma_instructions: u64,
    /// Multiply-adds that they did, on padding and empty parts of tiles too.
    pub issued_macs: u64,
    /// Barriers of a block, a warp each.
    pub barriers: u64,
    /// Blocks.
    pub blocks: u64,
    /// Instructions of PTX, a warp each.
    pub warp_instructions: u64,
    /// Instructions of PTX, an active lane each.
    pub thread_instructions: u64,
    /// Instructions of PTX by opcode, a warp each.
    pub mix: BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_later_emulator_are_left_out_and_missing_ones_are_zero() {
        let text = r#"{"global_load": {"requests": 2, "sectors": 9, "later": 1}, "later": [], "issued_macs": 7}"#;
        let counters: Counters = serde_json::from_str(text).unwrap();
        assert_eq!((counters.global_load.sectors, counters.issued_macs, counters.barriers), (9, 7, 0));
    }
}
