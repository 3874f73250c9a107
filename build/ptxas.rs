//! What `ptxas -v` reports, and what of it is a fault.

use super::sources::Promise;

/// What ptxas says about one function for one architecture.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Function {
    /// Symbol in the module.
    pub name: String,
    /// Registers per thread; `None` for a function that is not an entry.
    pub registers: Option<u32>,
    /// Bytes per thread that go to local memory for lack of registers.
    pub spill_stores_bytes: u32,
    /// Bytes per thread that come back from there.
    pub spill_loads_bytes: u32,
}

/// A whole report.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Entries and the functions that they call.
    pub functions: Vec<Function>,
    /// Lines that say that the code is slower than what was written: wgmma serialised, setmaxnreg ignored.
    pub losses: Vec<String>,
}

/// Reads what `ptxas -v` printed.
pub fn parse(log: &str) -> Report {
    let mut report = Report::default();
    let mut entry = "";
    for line in log.lines() {
        if let Some(rest) = after(line, "Compiling entry function '") {
            entry = rest.split('\'').next().unwrap_or_default();
        } else if let Some(name) = after(line, "Function properties for ") {
            report.functions.push(Function { name: name.trim().to_owned(), ..Function::default() });
        } else if let (Some(function), true) = (report.functions.last_mut(), line.contains("bytes spill stores")) {
            function.spill_stores_bytes = number_before(line, " bytes spill stores");
            function.spill_loads_bytes = number_before(line, " bytes spill loads");
        } else if let Some(rest) = after(line, ": Used ") {
            // The line belongs to the entry, which need not be the function named last.
            let registers = rest.split(' ').next().and_then(|n| n.parse().ok());
            if let Some(function) = report.functions.iter_mut().rfind(|f| f.name == entry) {
                function.registers = registers;
            }
        } else if is_loss(line) {
            report.losses.push(line.trim().to_owned());
        }
    }
    report
}

fn after<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.split_once(marker).map(|(_, rest)| rest)
}

fn number_before(line: &str, marker: &str) -> u32 {
    let before = line.split_once(marker).map_or("", |(before, _)| before);
    before.rsplit([' ', ',']).next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// ptxas numbers these messages differently from version to version (C7508, C7510, C7511, C7515, ...), so that the
/// words count.
fn is_loss(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.contains("potential performance loss")
        || (line.contains("wgmma") && line.contains("serializ"))
        || (line.contains("setmaxnreg") && line.contains("ignored"))
}

/// The faults in a report, one sentence each, naming entry, architecture and numbers.
pub fn faults(report: &Report, architecture: &str, promises: &[Promise]) -> Vec<String> {
    let mut faults = Vec::new();
    for function in &report.functions {
        let Function { name, registers, spill_stores_bytes: stores, spill_loads_bytes: loads } = function;
        if stores + loads > 0 {
            let used = registers.map_or(String::new(), |r| format!(" at {r} registers"));
            faults.push(format!(
                "{name} for {architecture} spills{used}: {stores} bytes of stores and {loads} bytes of loads; the limit is 0, \
                 so give its tile fewer registers or its launch bounds more"
            ));
        }
        let max = promises.iter().find(|p| p.entry == *name).and_then(|p| p.registers_max);
        if let (Some(used), Some(max)) = (registers, max)
            && *used > max
        {
            faults.push(format!(
                "{name} for {architecture} uses {used} registers and catalog.toml says registers_max = {max}; correct one"
            ));
        }
    }
    faults.extend(report.losses.iter().map(|line| {
        format!("ptxas for {architecture} did not keep to the code: {line}; restructure the kernel so that it can")
    }));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "\
ptxas info    : 16 bytes gmem
ptxas info    : Compiling entry function 'gemm' for 'sm_90a'
ptxas info    : Function properties for gemm
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 214 registers, used 1 barriers, 424 bytes cmem[0]
ptxas info    : Compile time = 144.157 ms
ptxas info    : Function properties for called
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
";

    fn promise(registers: u32) -> Promise {
        Promise { entry: "gemm".to_owned(), registers_max: Some(registers), needs: Vec::new() }
    }

    #[test]
    fn clean() {
        let report = parse(CLEAN);
        let gemm = Function { name: "gemm".to_owned(), registers: Some(214), ..Function::default() };
        let called = Function { name: "called".to_owned(), ..Function::default() };
        assert_eq!(report, Report { functions: vec![gemm, called], losses: vec![] });
        assert!(faults(&report, "sm_90a", &[promise(214)]).is_empty());
    }

    #[test]
    fn spill() {
        let log = CLEAN.replacen(
            "0 bytes stack frame, 0 bytes spill stores, 0",
            "48 bytes stack frame, 96 bytes spill stores, 128",
            1,
        );
        let faults = faults(&parse(&log), "sm_90a", &[]);
        assert_eq!(faults.len(), 1);
        let start = "gemm for sm_90a spills at 214 registers: 96 bytes of stores and 128 bytes of loads";
        assert!(faults[0].starts_with(start), "{faults:?}");
    }

    #[test]
    fn losses() {
        for line in [
            "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to \
             insufficient register resources for the wgmma pipeline in the function 'gemm'",
            "ptxas info : (C7599) wgmma.mma_async instructions are serialized in function 'gemm'",
            "ptxas warning : (C7508) 'setmaxnreg' ignored to maintain minimum register requirements.",
        ] {
            let faults = faults(&parse(&format!("{CLEAN}{line}\n")), "sm_90a", &[]);
            assert_eq!(faults.len(), 1, "{line}");
            assert!(faults[0].contains("sm_90a") && faults[0].contains(line), "{faults:?}");
        }
    }

    #[test]
    fn more_registers_than_promised() {
        let faults = faults(&parse(CLEAN), "sm_90a", &[promise(168)]);
        let start = "gemm for sm_90a uses 214 registers and catalog.toml says registers_max = 168";
        assert!(faults.len() == 1 && faults[0].starts_with(start), "{faults:?}");
    }
}
