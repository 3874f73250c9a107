//! What the fuzz target does with a text, and the tests of `tests/robustness.rs` too: whatever the text, there is a value or an error.

use gpu_emulator::{Device, Dim3, Module};

/// Loads a text and, where that works, runs its first kernels for a while with parameters that point at a little memory.
pub fn ptx(text: &[u8]) {
    let Ok(module) = Module::load(&String::from_utf8_lossy(text)) else { return };
    for entry in module.entries().iter().take(3) {
        // What would take the host's memory says nothing about the emulator.
        if entry.local_bytes() > 1 << 12 || entry.static_shared() > 1 << 18 || entry.param_bytes() > 4096 {
            continue;
        }
        let mut device = Device::new();
        device.options.max_instructions = 1 << 17;
        let memory = device.memory.alloc(1 << 16, "all").expect("64 KiB of 4 GiB");
        device.memory.write(memory, &vec![1; 1 << 16]).expect("it was allocated");
        let params: Vec<u8> = memory.to_le_bytes().into_iter().cycle().take(entry.param_bytes()).collect();
        let _ = device.launch(entry, Dim3::x(2), Dim3::x(64), 4096, &params);
    }
}
