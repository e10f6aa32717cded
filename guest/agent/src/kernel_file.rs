//! Files that the kernel makes as they are read: of cgroups and below /proc.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What most of them have.
const USUAL_BYTES: usize = 4096;
/// None that is read here has more.
const MOST_BYTES: u64 = 1 << 20;

/// All of it. Their size is said to be 0, by which `fs::read_to_string` asks for it and then begins with 32 bytes: in a guest
/// that is emulated the calls are what it costs.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::read;
    use std::fs;

    #[test]
    fn reads_all_of_a_file() {
        assert_eq!(read("/proc/self/comm").unwrap(), fs::read_to_string("/proc/self/comm").unwrap());
        assert!(read("/proc/self/mountinfo").unwrap().ends_with('\n'));
        assert!(read("/proc/self/no-such-file").is_err());
    }
}
