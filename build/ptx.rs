//! PTX text that is the same on every machine.
//!
//! nvcc leaves three traces of where it ran: a banner, absolute paths in `.file` lines, and a module id (a hash of the
//! working folder) in the names of things with internal linkage, which `-lineinfo` repeats as decimal bytes. All three
//! go; the code does not change.

use std::collections::BTreeSet;
use std::path::Path;

/// Removes from PTX everything that depends on the machine. `roots` are the spellings of the workspace's root.
pub fn normalize(text: &str, roots: &[&Path]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let banner = lines.iter().take_while(|l| l.is_empty() || l.starts_with("//")).count();
    lines.drain(..banner);

    for line in &mut lines {
        if let Some(file) = file_line(line, roots) {
            *line = file;
        }
    }
    clear_module_ids(&mut lines);
    lines.join("\n") + "\n"
}

/// Rewrites `.file N "path"[, time, size]`; `None` for any other line.
fn file_line(line: &str, roots: &[&Path]) -> Option<String> {
    let rest = line.trim_start().strip_prefix(".file")?;
    let (number, rest) = rest.split_once('"')?;
    let (path, _time_and_size) = rest.rsplit_once('"')?;
    Some(format!("\t.file\t{} \"{}\"", number.trim(), portable_path(path, roots)))
}

/// A project's file from the root on, a toolkit's or system's header from its `include/` on.
fn portable_path(path: &str, roots: &[&Path]) -> String {
    let path = path.replace('\\', "/");
    for root in roots {
        let root = root.to_string_lossy().replace('\\', "/");
        if let Some(inside) = path.strip_prefix(root.trim_end_matches('/')).and_then(|p| p.strip_prefix('/')) {
            // A toolkit may live below the root as well, in target/cuda.
            if inside.starts_with("kernels/") {
                return inside.to_owned();
            }
        }
    }
    if path.starts_with("kernels/") || path.starts_with("include/") {
        return path;
    }
    match path.rfind("/include/") {
        Some(at) => path[at + 1..].to_owned(),
        None => path.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

/// Overwrites the module ids with zeros, in names and in the byte lists that spell names.
fn clear_module_ids(lines: &mut [String]) {
    let mut i = 0;
    while i < lines.len() {
        let bytes_end = i + lines[i..].iter().take_while(|l| byte_line(l).is_some()).count();
        if bytes_end > i {
            clear_in_bytes(&mut lines[i..bytes_end]);
            i = bytes_end;
            continue;
        }
        // Few of some hundred thousand lines have one, and build scripts are not optimised.
        if lines[i].contains("_INTERNAL_") || lines[i].contains("_GLOBAL__N__") {
            let mut bytes = std::mem::take(&mut lines[i]).into_bytes();
            zero_ids(&mut bytes);
            lines[i] = String::from_utf8(bytes).expect("ASCII digits replaced ASCII digits");
        }
        i += 1;
    }
}

/// The numbers of a line `.b8 95,90,...`, with a blank after it or not.
fn byte_line(line: &str) -> Option<Vec<u8>> {
    let list = line.trim().strip_prefix(".b8 ")?;
    list.split(',').map(|n| n.trim().parse().ok()).collect()
}

/// A name may run over several lines, so that they are one text here.
fn clear_in_bytes(lines: &mut [String]) {
    let rows: Vec<Vec<u8>> = lines.iter().map(|l| byte_line(l).unwrap_or_default()).collect();
    let mut text = rows.concat();
    if !zero_ids(&mut text) {
        return;
    }
    let mut rest = text.as_slice();
    for (line, row) in lines.iter_mut().zip(&rows) {
        let (now, later) = rest.split_at(row.len());
        rest = later;
        let numbers: Vec<String> = now.iter().map(u8::to_string).collect();
        *line = format!(".b8 {}", numbers.join(","));
    }
}

/// Zeroes the eight hexadecimal digits after each marker of internal linkage, keeping all lengths; whether there were any.
fn zero_ids(text: &mut [u8]) -> bool {
    const MARKERS: [&[u8]; 2] = [b"_INTERNAL_", b"_GLOBAL__N__"];
    const DIGITS: usize = 8;
    let mut found = BTreeSet::new();
    for marker in MARKERS {
        for at in 0..text.len().saturating_sub(marker.len() + DIGITS) {
            let id = at + marker.len()..at + marker.len() + DIGITS;
            if text[at..].starts_with(marker)
                && text[id.clone()].iter().all(u8::is_ascii_hexdigit)
                && text[id.end] == b'_'
            {
                found.insert(id.start);
            }
        }
    }
    for &start in &found {
        text[start..start + DIGITS].fill(b'0');
    }
    !found.is_empty()
}

/// The ISA version of PTX text, such as (9, 0), from its `.version` line.
pub fn version(text: &str) -> Option<(u32, u32)> {
    let version = text.lines().find_map(|l| l.trim().strip_prefix(".version"))?;
    let (major, minor) = version.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The names of the entry points in PTX text.
pub fn entries(text: &str) -> BTreeSet<&str> {
    let named = text.lines().filter_map(|l| l.split_once(".entry ")).filter(|(before, _)| !before.contains("//"));
    named.map(|(_, name)| name.split(['(', ' ', '\t']).next().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANNER: &str = "//\n// Generated by NVIDIA NVVM Compiler\n//\n// Compiler Build ID: CL-1\n//\n\n";

    fn spelled(name: &str) -> String {
        let numbers: Vec<String> = name.bytes().map(|b| b.to_string()).collect();
        // nvcc breaks such lists, here in the middle of the module id.
        let (first, second) = numbers.split_at(18);
        format!(".b8 {}\n.b8 {},0", first.join(","), second.join(","))
    }

    fn made_in(root: &str, toolkit: &str, id: &str) -> String {
        format!(
            "{BANNER}.version 9.0\n.target sm_80\n\n\t// .globl\tgemm\n.visible .entry gemm(\n)\n\
             .func _ZN27_INTERNAL_{id}_4_t_cu_k29_GLOBAL__N__{id}_4_t_cu_k1fEi(\n\tmov.b32 %r1, 195951310;\n\
             \t.file\t1 \"{root}/kernels/gemm/a.cu\"\n\
             \t.file\t2 \"{toolkit}/bin/..//include/crt/mma.hpp\", 1700000000, 512\n\
             $L__info_string0:\n{}\n",
            spelled(&format!("_ZN27_INTERNAL_{id}_4_t_cu_k1gEi"))
        )
    }

    #[test]
    fn machines_agree() {
        let here = normalize(&made_in("/a b/x", "/usr/local/cuda", "1ae32755"), &[Path::new("/a b/x")]);
        let root = "/home/kernels/gemmscope";
        let there = made_in(root, "/home/kernels/gemmscope/target/cuda/nvidia/cu13", "07feed90").replace('\n', "\r\n");
        assert_eq!(here, normalize(&there, &[Path::new(root)]));
        assert!(here.starts_with(".version 9.0\n"), "{here}");
        assert!(here.contains("\t.file\t1 \"kernels/gemm/a.cu\"\n"), "{here}");
        assert!(here.contains("\t.file\t2 \"include/crt/mma.hpp\"\n"), "{here}");
        assert!(here.contains("_ZN27_INTERNAL_00000000_4_t_cu_k29_GLOBAL__N__00000000_4_t_cu_k1fEi"), "{here}");
        assert!(here.contains(&spelled("_ZN27_INTERNAL_00000000_4_t_cu_k1gEi")), "{here}");
        assert!(here.contains("195951310"), "code must not change: {here}");
    }

    #[test]
    fn normal_text_stays() {
        let once = normalize(&made_in("/x", "/cuda", "1ae32755"), &[Path::new("/x")]);
        assert_eq!(once, normalize(&once, &[Path::new("/x")]));
    }

    #[test]
    fn headers_of_the_system_keep_no_machine_path() {
        let roots = [Path::new("/x")];
        assert_eq!(portable_path("/usr/include/c++/12/cmath", &roots), "include/c++/12/cmath");
        assert_eq!(portable_path("/x/target/cuda/include/cuda_fp16.h", &roots), "include/cuda_fp16.h");
        assert_eq!(portable_path("/elsewhere/odd.h", &roots), "odd.h");
        assert_eq!(portable_path("/xy/kernels/a.cu", &roots), "a.cu");
        assert_eq!(portable_path("kernels/a.cu", &roots), "kernels/a.cu");
    }

    #[test]
    fn version_and_entries() {
        let text = normalize(&made_in("/x", "/cuda", "1ae32755"), &[]);
        assert_eq!(version(&text), Some((9, 0)));
        assert_eq!(entries(&text), BTreeSet::from(["gemm"]));
        assert_eq!(version(".target sm_80"), None);
    }
}
