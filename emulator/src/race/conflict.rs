//! What a race is told by.

/// Two accesses that nothing orders.
pub(crate) struct Conflict {
    pub pc: u32,
    pub actor: u32,
    pub warps: u32,
    /// Warps of a block of a cluster, or of the only block.
    pub per: u32,
    pub now_write: bool,
    pub was_write: bool,
    /// The order is there, but no fence that makes a thread's own writes visible to the asynchronous proxy.
    pub proxy: bool,
}

impl Conflict {
    pub fn who(&self) -> String {
        let w = self.actor % self.warps;
        let w = if self.per == self.warps {
            w.to_string()
        } else {
            format!("{} of the block of rank {}", w % self.per, w / self.per)
        };
        match self.actor / self.warps {
            0 => format!("warp {w}"),
            1 => format!("an asynchronous copy of warp {w}"),
            2 => format!("a bulk copy of warp {w}"),
            4 => format!("a bulk copy out of shared memory of warp {w}"),
            _ => format!("a wgmma of the warpgroup of warp {w}"),
        }
    }
}
