//! A container's mounts. Copies of what is in the guest are made in the agent's view, where every directory of the share
//! has been visited; attaching them, and making new file systems, is init's, in its own namespaces.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{SFlag, fstat};

use super::resolve::{self, Kind};
use super::sys::{self, Context};
use super::user_namespace;
use crate::runtime::own::options::{self, Change, Options};
use crate::runtime::own::spec::{IdMapping, Mount, NamespaceKind, Spec};
use crate::runtime::own::wire::{Trouble, during};

/// One mount of the spec, as far as it can be made outside.
pub struct Prepared {
    options: Options,
    /// The copy, of a bind; a file system that only the guest may make.
    tree: Option<OwnedFd>,
}

/// Of what the container is to have its own: of what it joins or shares it has not.
struct Own {
    network: bool,
    ipc: bool,
    pid: bool,
    user: bool,
}

impl Own {
    /// A file system that shows a namespace belongs to that one's owner: a user namespace can't make one of another's.
    fn is_anothers(&self, kind: &str) -> bool {
        let own = match kind {
            "sysfs" => self.network,
            "mqueue" => self.ipc,
            "proc" => self.pid,
            _ => true,
        };
        self.user && !own
    }
}

pub fn root_tree(path: &str) -> Result<OwnedFd, Trouble> {
    let path = sys::text(path).map_err(during("root.path"))?;
    let doing = || format!("copy the mount of the root {path:?}");
    let tree = sys::clone_tree_at(&path, true).map_err(during(doing()))?;
    sys::set_attributes(&tree, Change::default(), libc::MS_PRIVATE, None, true).map_err(during(doing()))?;
    Ok(tree)
}

pub fn prepare(spec: &Spec) -> Result<Vec<Prepared>, Trouble> {
    let new = |kind| spec.linux.namespaces.iter().any(|one| one.kind == kind && one.path.is_none());
    let own = Own {
        network: new(NamespaceKind::Network),
        ipc: new(NamespaceKind::Ipc),
        pid: new(NamespaceKind::Pid),
        user: new(NamespaceKind::User),
    };
    spec.mounts.iter().map(|one| prepare_one(one, &own)).collect()
}

fn prepare_one(wanted: &Mount, own: &Own) -> Result<Prepared, Trouble> {
    let what = format!("mount {}", wanted.destination);
    let invalid = |error: String| Trouble::invalid(format!("{what}: {error}"));
    let mut parsed = options::parse(&wanted.options).map_err(invalid)?;
    parsed.bind |= wanted.kind == "bind";
    // a sysfs shows a network namespace, and belongs to that one's owner
    let no_sysfs = wanted.kind == "sysfs" && own.is_anothers("sysfs");
    if no_sysfs {
        (parsed.bind, parsed.recursive) = (true, true);
    }
    let mapped = !wanted.uid_mappings.is_empty() || !wanted.gid_mappings.is_empty();
    if mapped && !parsed.bind {
        return Err(Trouble::invalid(format!("{what}: only binds can have mapped ids")));
    }
    if !parsed.bind && own.is_anothers(&wanted.kind) {
        let tree = new_file_system(wanted, &parsed, &what)?;
        return Ok(Prepared { options: parsed, tree: Some(tree) });
    }
    if !parsed.bind {
        return Ok(Prepared { options: parsed, tree: None });
    }
    let source = if no_sysfs { "/sys" } else { wanted.source.as_str() };
    if !source.starts_with('/') {
        return Err(Trouble::invalid(format!("{what}: the source {source:?} is not absolute")));
    }
    let path = sys::text(source).map_err(during(&what))?;
    let tree = sys::clone_tree_at(&path, parsed.recursive).map_err(during(format!("{what}: copy {source}")))?;
    let ids = (mapped, parsed.idmap);
    if let (true, _) | (_, Some(_)) = ids {
        map(&tree, &wanted.uid_mappings, &wanted.gid_mappings, parsed.idmap == Some(true))
            .map_err(|trouble| Trouble { what: format!("{what}: {}", trouble.what), ..trouble })?;
    }
    let quiet = |change, flag, recursive| sys::set_attributes(&tree, change, flag, None, recursive);
    quiet(Change::default(), apart(&parsed), true).map_err(during(&what))?;
    quiet(parsed.top.and_nothing_else(), 0, false).map_err(during(format!("{what}: set its options")))?;
    if !parsed.tree.is_nothing() {
        quiet(parsed.tree, 0, true).map_err(during(format!("{what}: set its recursive options")))?;
    }
    Ok(Prepared { options: parsed, tree: Some(tree) })
}

/// The copy leaves the group of its source. A slave still gets what is mounted there later.
fn apart(options: &Options) -> u64 {
    match options.propagation {
        Some((libc::MS_SLAVE, true)) => libc::MS_SLAVE,
        _ => libc::MS_PRIVATE,
    }
}

fn map(tree: &OwnedFd, uids: &[IdMapping], gids: &[IdMapping], recursive: bool) -> Result<(), Trouble> {
    let namespace = user_namespace::for_mount(uids, gids)?;
    sys::set_attributes(tree, Change::default(), 0, Some(&namespace), recursive).map_err(during("map its ids"))
}

/// In init. `root` is attached already.
pub fn attach(root: &OwnedFd, wanted: &Mount, prepared: Prepared) -> Result<(), Trouble> {
    let Prepared { options, tree } = prepared;
    let what = format!("mount {}", wanted.destination);
    let tree = match tree {
        Some(tree) => tree,
        None => new_file_system(wanted, &options, &what)?,
    };
    let is_directory = |fd: &OwnedFd| -> Result<bool, Trouble> {
        Ok(fstat(fd).map_err(during(&what))?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits())
    };
    let kind = if is_directory(&tree)? { Kind::Directory } else { Kind::File };
    let target = resolve::make(root, &wanted.destination, kind).map_err(during(format!("{what}: make its target")))?;
    match (is_directory(&tree)?, is_directory(&target)?) {
        (true, false) => {
            return Err(Trouble::invalid(format!("{what}: its target is a file, not a directory as its source is")));
        }
        (false, true) => {
            return Err(Trouble::invalid(format!("{what}: its source is a file, not a directory as its target is")));
        }
        _ => {}
    }
    if matches!(wanted.kind.as_str(), "proc" | "sysfs") {
        // what is masked below must be below the name that programs use
        let found = resolve::open_without_links(root, &wanted.destination, OFlag::O_PATH | OFlag::O_DIRECTORY);
        found.map_err(during(format!("{what}: its target is not a plain directory")))?;
    }
    sys::attach(&tree, &target).map_err(during(&what))?;
    if let Some((flag, recursive)) = options.propagation {
        sys::set_attributes(&tree, Change::default(), flag, None, recursive)
            .map_err(during(format!("{what}: set its propagation")))?;
    }
    Ok(())
}

fn new_file_system(wanted: &Mount, options: &Options, what: &str) -> Result<OwnedFd, Trouble> {
    // there is no other version in a Box
    let kind = if wanted.kind == "cgroup" { "cgroup2" } else { wanted.kind.as_str() };
    let text = |words: &str| sys::text(words).map_err(during(what));
    let context = Context::open(text(kind)?.as_c_str()).map_err(during(format!("{what}: file system {kind}")))?;
    // the name in mountinfo: programs that look for the version know it by this one
    let named = !wanted.source.is_empty() && kind != "cgroup2";
    let source = if named { wanted.source.as_str() } else { kind };
    context.set(c"source", Some(text(source)?.as_c_str())).map_err(during(what))?;
    let data = if kind == "cgroup2" { &[][..] } else { &options.data[..] };
    for option in data {
        let set = match option.split_once('=') {
            Some((key, value)) => context.set(text(key)?.as_c_str(), Some(text(value)?.as_c_str())),
            None => context.set(text(option)?.as_c_str(), None),
        };
        set.map_err(during(format!("{what}: option {option:?}")))?;
    }
    let tree = context.mount(options.top.set).map_err(during(what))?;
    if !options.tree.is_nothing() {
        sys::set_attributes(&tree, options.tree, 0, None, true).map_err(during(what))?;
    }
    Ok(tree)
}

/// Nothing that the container mounts comes out, and what comes in is as the spec says.
pub fn set_apart(propagation: Option<&str>) -> Result<(), Trouble> {
    let slave = propagation.is_some_and(|name| name.ends_with("slave") || name.ends_with("shared"));
    let flag = if slave { MsFlags::MS_SLAVE } else { MsFlags::MS_PRIVATE };
    mount(None::<&str>, "/", None::<&str>, flag | MsFlags::MS_REC, None::<&str>).map_err(during("set mounts apart"))
}

/// Puts the root's copy where it was copied from.
pub fn attach_root(root: &OwnedFd, path: &str) -> Result<(), Trouble> {
    let place = nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty());
    let place = place.map_err(during(format!("open the root {path:?}")))?;
    sys::attach(root, &place).map_err(during("attach the root"))
}

pub fn set_root_propagation(root: &OwnedFd, name: Option<&str>) -> Result<(), Trouble> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(()) };
    let known = options::propagation(name);
    let (flag, recursive) =
        known.ok_or_else(|| Trouble::invalid(format!("rootfsPropagation {name:?} is not known")))?;
    sys::set_attributes(root, Change::default(), flag, None, recursive).map_err(during("set the root's propagation"))
}

const READ_ONLY: Change = Change { set: libc::MOUNT_ATTR_RDONLY, clear: 0 };

pub fn make_read_only(mount: &impl AsFd) -> Result<(), Errno> {
    sys::set_attributes(mount, READ_ONLY, 0, None, false)
}

/// Covers a path of the container, if there is such a path.
pub fn mask(root: &OwnedFd, path: &str) -> Result<(), Trouble> {
    let doing = || format!("mask {path}");
    let Some(target) = existing(root, path).map_err(during(doing()))? else { return Ok(()) };
    let kind = fstat(&target).map_err(during(doing()))?.st_mode & SFlag::S_IFMT.bits();
    let cover = if kind == SFlag::S_IFDIR.bits() { empty_directory() } else { sys::clone_tree_at(c"/dev/null", false) };
    let cover = cover.map_err(during(doing()))?;
    make_read_only(&cover).map_err(during(doing()))?;
    sys::attach(&cover, &target).map_err(during(doing()))
}

fn empty_directory() -> Result<OwnedFd, Errno> {
    let context = Context::open(c"tmpfs")?;
    context.set(c"source", Some(c"tmpfs"))?;
    context.set(c"size", Some(c"0"))?;
    context.mount(0)
}

/// Makes a path of the container read-only with all below it, if there is such a path.
pub fn protect(root: &OwnedFd, path: &str) -> Result<(), Trouble> {
    let doing = || format!("make {path} read-only");
    let Some(target) = existing(root, path).map_err(during(doing()))? else { return Ok(()) };
    let tree = sys::clone_tree(&target, c"", true).map_err(during(doing()))?;
    sys::set_attributes(&tree, READ_ONLY, libc::MS_PRIVATE, None, true).map_err(during(doing()))?;
    sys::attach(&tree, &target).map_err(during(doing()))
}

fn existing(root: &OwnedFd, path: &str) -> Result<Option<OwnedFd>, Errno> {
    match resolve::open(root, path, OFlag::O_PATH) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}
