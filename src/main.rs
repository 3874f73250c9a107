//! The `gemmscope` command. All it does is in `gemmscope::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gemmscope::cli::main()
}
