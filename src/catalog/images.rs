//! The compiled kernels inside this program.

use flate2::read::ZlibDecoder;
use std::io::Read;

/// One compiled kernel file.
#[derive(Debug)]
pub struct Image {
    /// Path of the source below `kernels/`.
    pub file: &'static str,
    /// SHA-256 of the PTX text, in hexadecimal.
    pub ptx_sha256: &'static str,
    /// Version of the PTX ISA that it is written in.
    pub ptx_version: (u32, u32),
    ptx: &'static [u8],
    cubins: &'static [(&'static str, &'static [u8])],
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// All of them.
pub fn images() -> &'static [Image] {
    IMAGES
}

/// The image of a source file, by its path below `kernels/`.
pub fn image(file: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|i| i.file == file)
}

/// Which compiler made them, and whether just now or beforehand: `nvcc 13.0.88` or `prebuilt by nvcc 13.0.88`.
pub fn kernel_source() -> &'static str {
    KERNEL_SOURCE
}

impl Image {
    /// The PTX text.
    pub fn ptx(&self) -> String {
        let mut text = String::new();
        ZlibDecoder::new(self.ptx).read_to_string(&mut text).expect("build.rs compressed this text");
        text
    }

    /// The cubin for a real architecture such as `sm_90a`, if this build has one.
    pub fn cubin(&self, architecture: &str) -> Option<Vec<u8>> {
        let (_, bytes) = self.cubins.iter().find(|(name, _)| *name == architecture)?;
        let mut cubin = Vec::new();
        ZlibDecoder::new(*bytes).read_to_end(&mut cubin).expect("build.rs compressed these bytes");
        Some(cubin)
    }

    /// The real architectures that this build has cubins for.
    pub fn architectures(&self) -> impl Iterator<Item = &'static str> {
        self.cubins.iter().map(|(name, _)| *name)
    }
}
