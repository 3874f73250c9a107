//! How launches are shaped, and how many blocks and clusters the device has room for.

use super::*;

pub(super) fn blocks_per_sm(f: Handle, threads: c_int, dynamic: usize) -> Res<c_int> {
    let s = state();
    s.usable()?;
    let f = s.function(h(f))?;
    if threads <= 0 || threads > 1024 || f.entry.max_threads().is_some_and(|m| threads as u32 > m) {
        return Ok(0);
    }
    let warps = (threads as u32).div_ceil(32);
    let shared = u64::from(f.entry.static_shared()) + dynamic as u64;
    if shared > u64::from(s.cfg.shared_optin()) {
        return Ok(0);
    }
    let by_shared = u64::from(s.cfg.shared_sm()) / (shared + 1024);
    Ok((64 / warps).min(32).min(by_shared as u32) as c_int)
}

/// A launch configuration with the cluster and whether the launch is cooperative.
pub(super) fn configuration<'c>(config: *const LaunchConfig) -> Res<(&'c LaunchConfig, Option<Dim3>, bool)> {
    if config.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the interface requires a pointer to a launch configuration; null was excluded.
    let c = unsafe { &*config };
    if c.attrs.is_null() && c.num_attrs != 0 {
        return Err(code::INVALID_VALUE);
    }
    let (mut cluster, mut cooperative) = (None, false);
    for i in 0..c.num_attrs as usize {
        // SAFETY: the array has `num_attrs` elements.
        let a = unsafe { &*c.attrs.add(i) };
        match a.id {
            4 => cluster = Some(dims([a.value[0], a.value[1], a.value[2]])),
            2 => cooperative = a.value[0] != 0,
            _ => {}
        }
    }
    Ok((c, cluster, cooperative))
}

/// Every device with clusters can have eight blocks in one; the one that is emulated sixteen, where the function says that it may.
pub(super) fn largest_cluster(s: &State, f: &Function) -> u32 {
    match (s.cfg.cc.0 >= 9, f.any_cluster) {
        (false, _) => 1,
        (true, false) => 8,
        (true, true) => 16,
    }
}

/// The blocks of the clusters of a launch, where there can be such.
pub(super) fn cluster_of(s: &State, f: usize, asked: Option<Dim3>) -> Res<[u32; 3]> {
    let f = s.function(f)?;
    let c = f.entry.cluster_for(asked).map_err(|_| code::INVALID_CLUSTER_SIZE)?;
    let c = [c.x, c.y, c.z];
    if c.iter().product::<u32>() > largest_cluster(s, f) { Err(code::INVALID_CLUSTER_SIZE) } else { Ok(c) }
}

#[repr(C)]
pub(super) struct LaunchConfig {
    pub(super) grid: [c_uint; 3],
    pub(super) block: [c_uint; 3],
    pub(super) shared: c_uint,
    pub(super) stream: Handle,
    pub(super) attrs: *const LaunchAttribute,
    pub(super) num_attrs: c_uint,
}

#[repr(C, align(8))]
pub(super) struct LaunchAttribute {
    pub(super) id: u32,
    pad: [u8; 4],
    pub(super) value: [u32; 16],
}

/// The clusters that the device can have at once: any that can be launched can be had.
pub(super) fn active_clusters(f: Handle, config: *const LaunchConfig) -> Res<c_int> {
    let (c, cluster, _) = configuration(config)?;
    let threads = c.block.iter().fold(1u32, |n, x| n.saturating_mul(*x));
    let per = blocks_per_sm(f, c_int::try_from(threads).unwrap_or(0), c.shared as usize)?;
    let s = state();
    let blocks = cluster_of(&s, h(f), cluster)?.iter().product::<u32>();
    Ok(if per == 0 { 0 } else { (s.cfg.sms.saturating_mul(per as u32) / blocks).max(1) as c_int })
}

/// The blocks of the largest cluster: eight, or sixteen where the kernel may have a size that not every device has.
pub(super) fn potential_cluster(f: Handle, config: *const LaunchConfig) -> Res<c_int> {
    let (c, ..) = configuration(config)?;
    let threads = c.block.iter().fold(1u32, |n, x| n.saturating_mul(*x));
    let per = blocks_per_sm(f, c_int::try_from(threads).unwrap_or(0), c.shared as usize)?;
    let s = state();
    Ok(if per == 0 { 0 } else { largest_cluster(&s, s.function(h(f))?) as c_int })
}

pub(super) fn potential(
    grid: *mut c_int,
    block: *mut c_int,
    f: Handle,
    b2d: Option<unsafe extern "C" fn(c_int) -> usize>,
    dynamic: usize,
    limit: c_int,
) -> Res {
    let max = {
        let s = state();
        s.function(h(f))?.entry.max_threads().unwrap_or(1024).min(1024) as c_int
    };
    let max = if limit > 0 { max.min(limit) } else { max };
    let (mut best, mut at) = (0, (0, 0));
    let mut t = max / 32 * 32;
    while t >= 32 {
        // SAFETY: the caller gave this function for being called with block sizes.
        let d = b2d.map_or(dynamic, |g| unsafe { g(t) });
        let n = blocks_per_sm(f, t, d)?;
        if n * t > best {
            best = n * t;
            at = (n, t);
        }
        t -= 32;
    }
    out(grid, at.0 * state().cfg.sms as c_int)?;
    out(block, at.1)
}
