//! Roots of containers that the agent lays itself: the layers are EROFS images in files of the share, each mounted once for
//! all sessions, and what the container writes goes into a directory of the share (docs/adr/0143). So the guest's kernel
//! keeps what was read, where the file server's word for it would be good for a moment only.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use tokio::sync::Mutex;

use crate::failure::{Failure, while_doing};
use crate::guest::erofs;
use crate::layout;
use crate::runtime::own::child::sys::{self, Context};

/// Where layers are mounted, by numbers: there where this guest's kernel can.
const LAYERS: &str = "/run/layers";
/// Whether names in upper directories are looked up again.
const REVALIDATES_UPPER: &str = "/sys/module/overlay/parameters/revalidate_upper";
/// As the kernel has it, OVL_MAX_STACK.
const MAX_LAYERS: usize = 500;
/// How long the last process of a container may take to let its root go, and how often it is looked.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// As CreateSessionRequest.root.
pub struct LayeredRoot {
    pub layers: Vec<String>,
    pub written: String,
}

/// All that are laid.
#[derive(Default, Clone)]
pub struct Roots {
    known: Arc<Mutex<Layers>>,
}

#[derive(Default)]
struct Layers {
    /// By their paths in the share.
    mounted: HashMap<String, Layer>,
    numbers: u64,
}

struct Layer {
    place: PathBuf,
    roots: usize,
}

/// A session's; to be given back to `Roots::take_away`.
pub struct Root {
    place: PathBuf,
    layers: Vec<String>,
}

/// Once, when the guest is set up: makes the places, where its kernel can do it.
///
/// It has to be one of ours (guest/kernel/patches): any other asks the file server again for the name by which an overlay
/// keeps a file, and when that name has gone the file can't be had by its other names (docs/adr/0143).
pub fn prepare() -> io::Result<()> {
    make_directory(Path::new(layout::LAYERED_ROOTS))?;
    if !Path::new(REVALIDATES_UPPER).exists() || !erofs::mounts_files(Path::new(layout::LAYERED_ROOTS))? {
        return Ok(());
    }
    fs::write(REVALIDATES_UPPER, "N")?;
    make_directory(Path::new(LAYERS))
}

pub fn are_possible() -> bool {
    Path::new(LAYERS).is_dir()
}

/// All of it has to be held: what the file server has there is looked at by the agent first.
pub fn check(stage: &'static str, root: &LayeredRoot, held: &[String]) -> Result<(), Failure> {
    if root.layers.is_empty() || root.layers.len() > MAX_LAYERS {
        return Err(Failure::invalid(stage, format!("a root has 1 to {MAX_LAYERS} layers")));
    }
    for path in root.layers.iter().chain([&root.written]) {
        if layout::volume_name(path).is_none() || !held.contains(path) {
            return Err(Failure::invalid(stage, format!("{path:?} is of a root, but not among the held paths")));
        }
    }
    if !are_possible() {
        return Err(Failure::invalid(stage, "this guest's kernel mounts no file as EROFS"));
    }
    Ok(())
}

impl Roots {
    /// On failure nothing of it is left.
    pub async fn lay(&self, stage: &'static str, session: &str, wanted: &LayeredRoot) -> Result<Root, Failure> {
        let mut known = Arc::clone(&self.known).lock_owned().await;
        let place = Path::new(layout::LAYERED_ROOTS).join(session);
        let (layers, written) = (wanted.layers.clone(), PathBuf::from(&wanted.written));
        // a file server that does not answer keeps no other call from going on
        let laid = tokio::task::spawn_blocking(move || {
            let root = Root { place, layers: known.join_all(stage, layers)? };
            match known.cover(stage, &root, &written) {
                Ok(()) => Ok(root),
                Err(failure) => {
                    known.leave(&root);
                    Err(failure)
                }
            }
        });
        laid.await.unwrap_or_else(|error| Err(Failure::internal(stage, error)))
    }

    /// The session's processes are gone.
    pub async fn take_away(&self, root: Root) {
        let mut known = Arc::clone(&self.known).lock_owned().await;
        let _ = tokio::task::spawn_blocking(move || known.leave(&root)).await;
    }
}

impl Layers {
    fn join_all(&mut self, stage: &'static str, paths: Vec<String>) -> Result<Vec<String>, Failure> {
        let mut joined = Vec::new();
        for path in paths {
            if let Err(failure) = self.join(stage, &path) {
                self.part(&joined);
                return Err(failure);
            }
            joined.push(path);
        }
        Ok(joined)
    }

    fn join(&mut self, stage: &'static str, path: &str) -> Result<(), Failure> {
        match self.mounted.entry(path.to_owned()) {
            Entry::Occupied(mut known) => known.get_mut().roots += 1,
            Entry::Vacant(fresh) => {
                self.numbers += 1;
                let place = Path::new(LAYERS).join(self.numbers.to_string());
                let doing = || format!("mount the layer {path}");
                make_directory(&place).map_err(while_doing(stage, doing()))?;
                if let Err(errno) = erofs::mount_at(Path::new(path), &place) {
                    let _ = fs::remove_dir(&place);
                    return Err(while_doing(stage, doing())(errno));
                }
                fresh.insert(Layer { place, roots: 1 });
            }
        }
        Ok(())
    }

    fn cover(&self, stage: &'static str, root: &Root, written: &Path) -> Result<(), Failure> {
        let doing = || format!("lay the root {}", root.place.display());
        make_directory(&root.place).map_err(while_doing(stage, doing()))?;
        let covered = self.overlay(root, written);
        covered.map_err(|errno| {
            let _ = fs::remove_dir(&root.place);
            while_doing(stage, doing())(errno)
        })
    }

    /// Without "xino", which would make numbers of files of them that no 32-bit program takes, and no double of JavaScript's
    /// can tell apart: so a file that is nobody's yet has its layer's device, and that of its directory is another.
    fn overlay(&self, root: &Root, written: &Path) -> Result<(), Errno> {
        let context = Context::open(c"overlay")?;
        context.set(c"source", Some(c"overlay"))?;
        for layer in root.layers.iter().filter_map(|path| self.mounted.get(path)) {
            context.set(c"lowerdir+", Some(&text(&layer.place)?))?;
        }
        context.set(c"upperdir", Some(&text(&written.join("upper"))?))?;
        context.set(c"workdir", Some(&text(&written.join("work"))?))?;
        context.set(c"userxattr", None)?;
        context.set(c"xino", Some(c"off"))?;
        let tree = context.mount(0)?;
        let target = fs::File::open(&root.place).map_err(|_| Errno::ENOENT)?;
        sys::attach(&tree, &target)
    }

    fn leave(&mut self, root: &Root) {
        unmount(&root.place);
        self.part(&root.layers);
    }

    fn part(&mut self, paths: &[String]) {
        for path in paths {
            let Some(layer) = self.mounted.get_mut(path) else { continue };
            layer.roots -= 1;
            if layer.roots == 0 {
                unmount(&layer.place);
                self.mounted.remove(path);
            }
        }
    }
}

/// Whole when it returns, where that does not take long: what it is laid over is let go next.
fn unmount(place: &Path) {
    let until = Instant::now() + PATIENCE;
    while umount2(place, MntFlags::UMOUNT_NOFOLLOW) == Err(Errno::EBUSY) {
        if Instant::now() >= until {
            let _ = umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let _ = fs::remove_dir(place);
}

fn text(path: &Path) -> Result<CString, Errno> {
    sys::text(path.to_str().unwrap_or_default())
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
