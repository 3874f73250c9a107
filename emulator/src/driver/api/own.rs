//! What a driver has not: the emulator's counters, findings and settings.

use super::*;

fn give(text: &str, to: *mut c_char, len: usize) -> usize {
    if !to.is_null() && len > 0 {
        let _ = write_text(to, len.min(c_int::MAX as usize) as c_int, text);
    }
    text.len()
}

/// Writes the counters of all launches so far as JSON with a zero at the end, as much as `len` bytes hold; gives the length without it.
#[unsafe(no_mangle)]
unsafe extern "C" fn gpuemu_counters_json(to: *mut c_char, len: usize) -> usize {
    let t = state().counters.to_json();
    give(&t, to, len)
}

/// The number of launches so far.
#[unsafe(no_mangle)]
extern "C" fn gpuemu_launches() -> u64 {
    state().launches
}

api! {
    fn gpuemu_expect_written_once(address: DevPtr, row_bytes: u64, rows: u64, pitch: u64, launches: c_uint) {
        let mut s = state();
        s.usable()?;
        s.dev.cover = None;
        s.dev.options.written_by = launches;
        s.dev.options.written_once.push(crate::Region { address, row_bytes, rows, pitch });
        Ok(())
    }
    fn gpuemu_shuffle(seed: u64) {
        let mut s = state();
        s.usable()?;
        s.dev.options.shuffle = seed;
        // Copies that land at once are an order as good as any other.
        s.dev.options.copies_land_early = s.cfg.copies_early || seed % 3 == 1;
        Ok(())
    }
    fn gpuemu_counters_reset() {
        let mut s = state();
        s.counters = crate::Counters::default();
        s.findings.clear();
        Ok(())
    }
}

/// As `gpuemu_counters_json`, with the findings so far, one a line.
#[unsafe(no_mangle)]
unsafe extern "C" fn gpuemu_findings(to: *mut c_char, len: usize) -> usize {
    let t = state().findings.join("\n");
    give(&t, to, len)
}
