//! Errors as values: what PTX cannot be loaded, and what launch cannot be made.

use std::fmt;

/// Why a PTX text was refused. Nothing is skipped: an unknown form is an error here and never a wrong result later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The line of the PTX text, counted from one.
    pub ptx_line: u32,
    /// The line of the kernel's source as `file:line`, where the PTX has it (`nvcc -lineinfo`).
    pub source: Option<String>,
    /// What was wrong.
    pub message: String,
}

impl LoadError {
    pub(crate) fn new(ptx_line: u32, message: impl Into<String>) -> Self {
        Self { ptx_line, source: None, message: message.into() }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(s) => write!(f, "{s} (PTX line {}): {}", self.ptx_line, self.message),
            None => write!(f, "PTX line {}: {}", self.ptx_line, self.message),
        }
    }
}

impl std::error::Error for LoadError {}

/// Why a launch was refused before any thread ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchError {
    /// A dimension of the grid or block is zero or too large, or the block has too many threads.
    Dimensions(String),
    /// More shared memory than a block can have.
    SharedMemory {
        /// Bytes asked for, static and dynamic.
        asked: u64,
        /// Bytes that a block can have.
        limit: u64,
    },
    /// The parameter block has another size than the kernel's parameters.
    Parameters {
        /// Bytes given.
        given: usize,
        /// Bytes that the kernel's parameters take.
        needed: usize,
    },
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dimensions(s) => write!(f, "launch dimensions: {s}"),
            Self::SharedMemory { asked, limit } => {
                write!(f, "{asked} bytes of shared memory asked for, a block can have {limit}")
            }
            Self::Parameters { given, needed } => write!(f, "{given} parameter bytes given, the kernel takes {needed}"),
        }
    }
}

impl std::error::Error for LaunchError {}
