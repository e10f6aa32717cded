//! Random numbers of the guest's kernel. A Box that was restored from a template has the state of its siblings, down to the
//! generator of random numbers: until bytes of the host's are mixed in, both would give the same UUIDs, keys and sequence
//! numbers to whoever asks.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use crate::failure::{Failure, while_doing};

const MOST_BYTES: usize = 512;
const BITS: usize = 8;

/// `struct rand_pool_info` of random(4), with its bytes in place.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    pool: [u8; MOST_BYTES],
}

nix::ioctl_write_ptr_bad!(add_entropy, nix::request_code_write!(b'R', 0x03, size_of::<[libc::c_int; 2]>()), PoolInfo);
nix::ioctl_none_bad!(reseed, nix::request_code_none!(b'R', 0x07));

/// When it returns, every number that the kernel gives away depends on these bytes.
pub fn mix_in(stage: &'static str, bytes: &[u8]) -> Result<(), Failure> {
    if bytes.len() < 32 || bytes.len() > MOST_BYTES {
        return Err(Failure::invalid(stage, format!("{} bytes of entropy: 32 to {MOST_BYTES} are taken", bytes.len())));
    }
    let mut pool = [0; MOST_BYTES];
    for (place, byte) in pool.iter_mut().zip(bytes) {
        *place = *byte;
    }
    let info = PoolInfo { entropy_bits: number(bytes.len() * BITS), bytes: number(bytes.len()), pool };
    let random = File::options().write(true).open("/dev/random").map_err(while_doing(stage, "open /dev/random"))?;
    let failed = |what: &'static str| move |error: Errno| Failure::internal(stage, format!("{what}: {error}"));
    // SAFETY: the kernel reads as much of the structure as `bytes` says.
    unsafe { add_entropy(random.as_raw_fd(), &raw const info) }.map_err(failed("add entropy"))?;
    // SAFETY: the ioctl takes no argument.
    unsafe { reseed(random.as_raw_fd()) }.map_err(failed("reseed the random numbers"))?;
    Ok(())
}

/// At most 4096.
fn number(of: usize) -> libc::c_int {
    libc::c_int::try_from(of).unwrap_or(libc::c_int::MAX)
}
