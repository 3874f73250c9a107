//! `gemmscope devices`: what is here, and what would be needed for the rest.

use super::{Ending, bytes, table};
use crate::catalog;
use crate::device::{self, DeviceInfo, Probe};
use crate::record::DeviceKind;
use anyhow::Result;
use serde_json::json;

/// Show the devices that can be measured, and why others cannot
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gemmscope devices --json")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Ending> {
    let probe = device::probe();
    if args.json {
        print_json(&probe)?;
    } else {
        print_text(&probe)?;
    }
    Ok(Ending::Done)
}

fn print_json(probe: &Probe) -> Result<()> {
    let cuda = match &probe.cuda {
        Ok(devices) => json!({ "devices": devices.iter().map(|d| &d.record).collect::<Vec<_>>() }),
        Err(absent) => json!({ "absent": { "kind": absent.kind(), "message": absent.to_string() } }),
    };
    let telemetry = match &probe.telemetry {
        Ok(version) => json!({ "version": version }),
        Err(why) => json!({ "absent": why }),
    };
    let value = json!({
        "cuda": cuda,
        "cpu": probe.cpu.record,
        "emulated": probe.emulated.is_ok(),
        "telemetry": telemetry,
        "kernels": { "source": catalog::kernel_source(), "files": catalog::images().len() },
    });
    say!("{value:#}")?;
    Ok(())
}

fn print_text(probe: &Probe) -> Result<()> {
    let mut rows = table(&["device", "name", "units", "peak FLOP/cycle", "last-level cache", "memory", "driver"]);
    if let Ok(devices) = &probe.cuda {
        for (i, device) in devices.iter().enumerate() {
            rows.add_row(row(&format!("cuda:{i}"), device));
        }
    }
    rows.add_row(row("cpu", &probe.cpu));
    say!("{rows}\n")?;
    if let Err(absent) = &probe.cuda {
        say!("CUDA       {absent}")?;
    }
    match &probe.emulated {
        Ok(_) => say!("emulated   --device emulated runs the CUDA kernels here; it counts, and has no time")?,
        Err(absent) => say!("emulated   {absent}")?,
    }
    match &probe.telemetry {
        Ok(version) => say!("telemetry  {version}")?,
        Err(why) => say!("telemetry  {why}")?,
    }
    say!("kernels    {} files, {}", catalog::images().len(), catalog::kernel_source())?;
    say!("clock      cpu: {}", probe.cpu.record.clock_source)?;
    Ok(())
}

fn row(id: &str, device: &DeviceInfo) -> Vec<String> {
    let r = &device.record;
    let units = match device.kind() {
        DeviceKind::Cuda | DeviceKind::Emulated => {
            format!("{} SM, CC {}", r.units, r.compute_capability.as_deref().unwrap_or("?"))
        }
        DeviceKind::Cpu => format!("{} threads", r.units),
    };
    vec![
        id.to_owned(),
        r.name.clone(),
        units,
        format!("{:.0}", r.peak_flop_per_cycle),
        bytes(r.l2_bytes),
        bytes(r.memory_bytes),
        r.driver.clone(),
    ]
}
