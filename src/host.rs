//! The machine that the program runs on, as far as a record needs it.

use crate::record::HostRecord;
use std::fs;

/// Name of the processor, or its architecture where the system does not tell.
pub fn cpu_name() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Logical processors that this process may use.
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

/// Memory of the machine, in bytes; 0 where the system does not tell.
pub fn memory_bytes() -> u64 {
    meminfo("MemTotal:")
}

/// Memory that can be had without swapping, in bytes; what there is in all where the system does not tell.
pub fn available_bytes() -> u64 {
    match meminfo("MemAvailable:") {
        0 => memory_bytes().max(4 << 30),
        bytes => bytes,
    }
}

fn meminfo(field: &str) -> u64 {
    fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with(field))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib * 1024)
}

/// Size of the last-level cache that the first processor uses, in bytes; 32 MiB where the system does not tell.
pub fn last_level_cache_bytes() -> u64 {
    (0..8)
        .filter_map(|i| fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{i}/size")).ok())
        .filter_map(|text| parse_size(text.trim()))
        .max()
        .unwrap_or(32 << 20)
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let scale = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? * scale)
}

/// The machine, for a manifest.
pub fn record() -> HostRecord {
    HostRecord {
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: cpu_name(),
        cores: cores(),
        memory_bytes: memory_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_caches_parse() {
        assert_eq!(parse_size("32768K"), Some(32 << 20));
        assert_eq!(parse_size("1M"), Some(1 << 20));
        assert_eq!(parse_size("48"), Some(48));
        assert_eq!(parse_size("4X"), None);
    }

    #[test]
    fn this_machine_has_a_processor_and_memory() {
        assert!(cores() >= 1 && available_bytes() > 1 << 20 && last_level_cache_bytes() >= 1 << 15);
        assert!(!cpu_name().is_empty());
    }
}
