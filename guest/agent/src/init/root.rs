//! The guest's root, in its own memory. The kernel begins with the share as root, and there each path of the agent, one of
//! `/proc` or of a cgroup too, begins with a name that the file server is asked for again: while a file server stands still
//! nothing of the Box could be ended, counted or started.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use crate::layout;

/// Where the new root is put together: the share has a directory there, as for all of `OWN`.
const PLACE: &str = "/run";
/// Of the guest; file systems of its own come there.
const OWN: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
/// It has directories and a few links only.
const OPTIONS: &str = "mode=755,size=16k,nr_inodes=32";
const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("make the root's {path}: {source}")]
    Directory { path: String, source: std::io::Error },
    #[error("take the share's links over: {0}")]
    Links(std::io::Error),
    #[error("{what}: {errno}")]
    System { what: &'static str, errno: Errno },
}

/// Nothing else may be mounted yet. Where it fails the share stays the root, and all works that the file server answers for.
pub fn into_memory() -> Result<(), RootError> {
    let nothing = None::<&str>;
    mount(Some("root"), PLACE, Some("tmpfs"), FLAGS, Some(OPTIONS)).map_err(during("mount the root"))?;
    let filled = fill().and_then(|()| {
        let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | FLAGS;
        mount(nothing, PLACE, nothing, read_only, nothing).map_err(during("make the root read-only"))?;
        chdir(PLACE).map_err(during("go to the root"))?;
        pivot_root(".", ".").map_err(during("change the root"))
    });
    if let Err(error) = filled {
        let _ = umount2(PLACE, MntFlags::MNT_DETACH);
        return Err(error);
    }
    // the share's own root lies over the new one, which is the working directory
    umount2(".", MntFlags::MNT_DETACH).map_err(during("let the first root go"))?;
    chdir("/").map_err(during("go to the root"))
}

fn fill() -> Result<(), RootError> {
    for name in OWN {
        make(&Path::new(PLACE).join(name))?;
    }
    for shared in layout::OF_THE_SHARE {
        let place = PathBuf::from(format!("{PLACE}{shared}"));
        make(&place)?;
        mount(Some(shared), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(during("mount the share"))?;
    }
    links().map_err(RootError::Links)
}

/// By them the guest base's programs find their interpreter and their libraries.
fn links() -> std::io::Result<()> {
    for entry in fs::read_dir("/")? {
        let entry = entry?;
        if entry.file_type()?.is_symlink() {
            symlink(fs::read_link(entry.path())?, Path::new(PLACE).join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn make(path: &Path) -> Result<(), RootError> {
    let made = fs::DirBuilder::new().mode(0o755).create(path);
    made.map_err(|source| RootError::Directory { path: path.display().to_string(), source })
}

fn during(what: &'static str) -> impl FnOnce(Errno) -> RootError {
    move |errno| RootError::System { what, errno }
}
