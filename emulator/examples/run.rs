//! Runs one kernel of a PTX file and says what is wrong with it.
//!
//! ```sh
//! cargo run -p gpu-emulator --example run -- my.ptx --entry my_kernel --grid 4 --block 128 --buffer out:4096 --u32 1024
//! ```
//! Parameters come in the order of `--buffer NAME:BYTES` (the address of zeroed memory; with `NAME:BYTES:new`, of memory that nothing
//! has written), `--u32`, `--s32`, `--u64` and `--f32`. `--counters` prints what was counted. Without `--entry` it lists the kernels.
//! It ends with 1 where something was found.

use std::process::ExitCode;

use gpu_emulator::{Device, Dim3, Module};

fn extents(s: &str) -> Result<Dim3, String> {
    let v: Vec<u32> =
        s.split(['x', ',']).map(|n| n.parse().map_err(|_| format!("'{s}' is no extent"))).collect::<Result<_, _>>()?;
    let at = |i: usize| v.get(i).copied().unwrap_or(1);
    Ok(Dim3::new(at(0), at(1), at(2)))
}

fn number<T: std::str::FromStr>(s: &str) -> Result<T, String> {
    s.parse().map_err(|_| format!("'{s}' is no number of this type"))
}

fn run(args: &[String]) -> Result<bool, String> {
    let file =
        args.first().ok_or("usage: run FILE.ptx --entry NAME [--grid X] [--block X] [--buffer NAME:BYTES] ...")?;
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let module = Module::load(&text).map_err(|e| format!("{file}: {e}"))?;
    let mut device = Device::new();
    let (mut grid, mut block, mut cluster, mut shared) = (Dim3::x(1), Dim3::x(1), None, 0);
    let (mut entry, mut params, mut counters) = (None, Vec::<Vec<u8>>::new(), false);
    let mut rest = args[1..].iter();
    while let Some(option) = rest.next() {
        if option == "--counters" {
            counters = true;
            continue;
        }
        let value = rest.next().ok_or(format!("{option} without a value"))?;
        match option.as_str() {
            "--entry" => entry = Some(module.entry(value).ok_or(format!("no kernel '{value}' in {file}"))?),
            "--grid" => grid = extents(value)?,
            "--block" => block = extents(value)?,
            "--cluster" => cluster = Some(extents(value)?),
            "--shared" => shared = number(value)?,
            "--seed" => device.options.shuffle = number(value)?,
            "--u32" => params.push(number::<u32>(value)?.to_le_bytes().to_vec()),
            "--s32" => params.push(number::<i32>(value)?.to_le_bytes().to_vec()),
            "--u64" => params.push(number::<u64>(value)?.to_le_bytes().to_vec()),
            "--f32" => params.push(number::<f32>(value)?.to_le_bytes().to_vec()),
            "--buffer" => {
                let mut parts = value.split(':');
                let (name, bytes) = (parts.next().unwrap_or(""), number::<u64>(parts.next().unwrap_or(""))?);
                let address = device.memory.alloc(bytes, name).map_err(|e| e.to_string())?;
                if parts.next() != Some("new") {
                    let zeros = vec![0; usize::try_from(bytes).map_err(|e| e.to_string())?];
                    device.memory.write(address, &zeros).map_err(|e| e.to_string())?;
                }
                params.push(address.to_le_bytes().to_vec());
            }
            _ => return Err(format!("no option '{option}'")),
        }
    }
    let Some(entry) = entry else {
        for e in module.entries() {
            println!("{}: {} parameter bytes, {} bytes of shared memory", e.name(), e.param_bytes(), e.static_shared());
        }
        return Ok(true);
    };
    if params.len() != entry.params().len() {
        return Err(format!("{} parameters given, {} takes {}", params.len(), entry.name(), entry.params().len()));
    }
    let mut packed = vec![0; entry.param_bytes()];
    for (value, (at, size)) in params.iter().zip(entry.params()) {
        if value.len() != *size as usize {
            return Err(format!("a parameter of {} bytes given where one of {size} is needed", value.len()));
        }
        packed[*at as usize..][..value.len()].copy_from_slice(value);
    }
    let report = device.launch_clusters(entry, grid, block, cluster, shared, &packed).map_err(|e| e.to_string())?;
    print!("{}", report.printed);
    for f in &report.findings {
        println!("{f}");
    }
    if counters {
        println!("{}", report.counters.to_json());
    }
    Ok(report.clean())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(2)
        }
    }
}
