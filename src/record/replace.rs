//! Replacing a file in one step: whoever reads it sees the old one or the new one, whole.

use std::io::Write;
use std::path::Path;

/// Writes `bytes` beside `path` and puts them in its place.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut builder = tempfile::Builder::new();
    // A temporary file is private by default, and results are made to be shared: the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
