//! How the k steps of a product are shared out over CTAs: what the route of split-K launches, and what the model counts.

/// k steps that a CTA's share has at least: fewer do not fill the ring of stages.
const MIN_STEPS: u64 = 4;

/// Most CTAs that share a tile, where the tile has no more k steps than about 2000.
const MAX_SPLITS: u64 = 32;

/// How a product's k steps are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shares {
    /// A CTA for each tile.
    Whole,
    /// So many CTAs for each tile.
    Split(u64),
    /// The k steps of the first `tiles` tiles evenly over `ctas` CTAs, one CTA for each of the others.
    Stream {
        /// Tiles that are shared.
        tiles: u64,
        /// CTAs that share them.
        ctas: u64,
    },
}

impl Shares {
    /// Shares for `tiles` tiles of `k_steps` steps each on a device that runs `resident` CTAs at a time.
    ///
    /// With fewer tiles than half of these each tile is split. Otherwise tiles go to CTAs as they are as long as they fill whole waves;
    /// the last full wave and what is left after it are shared out evenly.
    pub fn new(tiles: u64, k_steps: u64, resident: u64) -> Shares {
        let resident = resident.max(1);
        let splits = split_count(tiles, k_steps, resident);
        if splits > 1 {
            return Shares::Split(splits);
        }
        let (waves, left) = (tiles / resident, tiles % resident);
        let streamed = if left == 0 { 0 } else { left + if waves > 0 { resident } else { 0 } };
        let ctas = resident.min(streamed * k_steps / MIN_STEPS);
        // Fewer CTAs than tiles would do worse than a CTA for each.
        if streamed == 0 || ctas <= streamed.min(resident - 1) {
            return Shares::Whole;
        }
        Shares::Stream { tiles: streamed, ctas }
    }
}

/// How many CTAs should share the k steps of each tile: as many as the device has room for, and none without enough steps.
///
/// The parts of a tile are added up by one CTA. A part costs it about as much as two k steps cost in the product, so that more parts
/// than the square root of half of the steps make the sum longer by more than they make the product shorter.
fn split_count(tiles: u64, k_steps: u64, resident: u64) -> u64 {
    let most = (k_steps / 2).isqrt().max(MAX_SPLITS);
    (resident / tiles.max(1)).min(k_steps / MIN_STEPS).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_tiles_are_split_and_the_last_waves_streamed() {
        assert_eq!(Shares::new(4, 256, 264), Shares::Split(32));
        assert_eq!(Shares::new(66, 256, 264), Shares::Split(4));
        assert_eq!(Shares::new(4, 6, 264), Shares::Stream { tiles: 4, ctas: 6 }, "too few k steps for two CTAs a tile");
        assert_eq!(Shares::new(4, 4, 264), Shares::Whole, "too few k steps to share");
        assert_eq!(Shares::new(300, 64, 264), Shares::Stream { tiles: 300, ctas: 264 });
        assert_eq!(Shares::new(564, 64, 264), Shares::Stream { tiles: 300, ctas: 264 });
        assert_eq!(Shares::new(200, 64, 264), Shares::Stream { tiles: 200, ctas: 264 });
        assert_eq!(Shares::new(528, 64, 264), Shares::Whole, "whole waves");
        assert_eq!(Shares::new(7, 0, 8), Shares::Whole);
    }

    #[test]
    fn a_great_depth_is_shared_by_more_ctas_than_a_sum_of_few_parts_takes() {
        // One tile of 16 x 128 and k = 4 000 000: 32 CTAs would leave three quarters of an H100 without work.
        assert_eq!(Shares::new(1, 125_000, 528), Shares::Split(250));
        assert_eq!(Shares::new(1, 125_000, 132), Shares::Split(132));
        assert_eq!(Shares::new(1, 2048, 528), Shares::Split(32));
    }

    #[test]
    fn all_shares_can_be_launched_and_leave_no_cta_without_work() {
        for resident in [1, 3, 8, 216, 528] {
            for tiles in 1..700 {
                for k_steps in [0, 1, 3, 4, 7, 64, 100_000] {
                    match Shares::new(tiles, k_steps, resident) {
                        Shares::Whole => {}
                        Shares::Split(splits) => {
                            assert!(splits > 1 && splits * MIN_STEPS <= k_steps && splits * tiles <= resident);
                        }
                        Shares::Stream { tiles: streamed, ctas } => {
                            assert!(streamed > 0 && streamed <= tiles);
                            assert!(ctas <= resident && ctas * MIN_STEPS <= streamed * k_steps);
                        }
                    }
                }
            }
        }
    }
}
