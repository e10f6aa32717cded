//! The pod's /dev/shm: one tmpfs that all its containers bind.

use std::fs;

use nix::mount::{MsFlags, mount};

use crate::failure::{Failure, while_doing};
use crate::layout::SHM as PATH;

const DEFAULT_BYTES: u64 = 64 * 1024 * 1024;

pub fn mount_with(stage: &'static str, size_bytes: u64) -> Result<(), Failure> {
    let size_bytes = if size_bytes == 0 { DEFAULT_BYTES } else { size_bytes };
    fs::create_dir_all(PATH).map_err(while_doing(stage, format!("make {PATH}")))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = format!("mode=1777,size={size_bytes}");
    mount(Some("shm"), PATH, Some("tmpfs"), flags, Some(options.as_str()))
        .map_err(while_doing(stage, format!("mount {PATH}")))
}
