//! Where a path leads. The kernel walks it, in the container; what is asked for is then done in the directory that it has
//! come to, which is open and can't be swapped any more, on a name that is not followed.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{fchdir, getcwd};

use super::fault::Fault;

/// As the kernel's own limit.
const MAX_LINKS: u32 = 40;
/// As long as a path can be: deeper is no directory that one has come to by one.
const MAX_LEVELS: u32 = 4096;
pub const MAX_PATH_BYTES: usize = 4096;
/// Of directories that are made on the way.
const ABOVE: Mode = Mode::from_bits_truncate(0o755);

const SELF: &std::ffi::CStr = c".";

/// What paths are relative to, and what they must not leave.
pub struct Scope {
    /// Absolute.
    start: Vec<u8>,
    home: Vec<u8>,
    root: Option<Identity>,
    /// How the names of those begin that entries are told of with; empty: none.
    pub attributes: Vec<u8>,
}

/// A name in a directory, or with "." the directory itself.
#[derive(Debug)]
pub struct Place {
    pub dir: OwnedFd,
    pub name: CString,
}

/// The same directory has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: (u32, u32),
    inode: u64,
    mount: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Follow,
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Above {
    Make,
    MustBe,
}

impl Place {
    pub fn is_directory_itself(&self) -> bool {
        self.name.as_c_str() == SELF
    }

    /// Not followed.
    pub fn stat(&self) -> Result<FileStat, Errno> {
        if self.is_directory_itself() {
            return fstat(&self.dir);
        }
        fstatat(&self.dir, self.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Absolute in the container.
    pub fn path(&self) -> Result<Vec<u8>, Errno> {
        let mut path = path_of(&self.dir)?;
        if !self.is_directory_itself() {
            push(&mut path, self.name.as_bytes());
        }
        Ok(path)
    }

    /// A directory, to look at what is in it.
    pub fn open_directory(&self) -> Result<OwnedFd, Errno> {
        open_directory_at(&self.dir, &self.name)
    }
}

impl Scope {
    /// `base` and `root` as the contract has them, empty: absent.
    pub fn new(home: &[u8], base: &[u8], root: &[u8]) -> Result<Self, Fault> {
        for path in [base, root] {
            check(path)?;
        }
        let mut scope = Self { start: home.to_vec(), home: home.to_vec(), root: None, attributes: Vec::new() };
        if !base.is_empty() {
            scope.start = scope.absolute(base);
        }
        if !root.is_empty() {
            if !root.starts_with(b"/") {
                return Err(Fault::invalid("the directory that paths have to stay in is not absolute"));
            }
            scope.root = Some(identity(&walk(root)?)?);
        }
        Ok(scope)
    }

    fn absolute(&self, path: &[u8]) -> Vec<u8> {
        match path {
            [b'/', ..] => path.to_vec(),
            b"~" => self.home.clone(),
            [b'~', b'/', rest @ ..] => joined(&self.home, rest),
            _ => joined(&self.start, path),
        }
    }

    pub fn find(&self, path: &[u8], link: Link, above: Above) -> Result<Place, Fault> {
        if path.is_empty() {
            return Err(Fault::invalid("no path given"));
        }
        check(path)?;
        let mut path = self.absolute(path);
        for _ in 0..MAX_LINKS {
            let Some((parent, name)) = split(&path) else { return self.itself(&path) };
            let dir = match walk(parent) {
                Err(Errno::ENOENT) if above == Above::Make => self.make(parent)?,
                other => other?,
            };
            if !self.holds(&dir)? {
                // what it has to stay in itself is not beneath itself's parent
                return self.itself(&path);
            }
            let place = Place { dir, name: CString::new(name).map_err(|_| Errno::EINVAL)? };
            if link == Link::Keep {
                return Ok(place);
            }
            match readlinkat(&place.dir, place.name.as_c_str()) {
                Ok(target) if target.as_bytes().starts_with(b"/") => path = target.into_vec(),
                Ok(target) => path = joined(&path_of(&place.dir)?, target.as_bytes()),
                Err(_) => return Ok(place),
            }
        }
        Err(Errno::ELOOP.into())
    }

    /// A path that ends with ".", ".." or a link to where it has to stay.
    fn itself(&self, path: &[u8]) -> Result<Place, Fault> {
        let dir = walk(path).map_err(|errno| match errno {
            // whether it is there is nothing that one outside is told
            Errno::ENOENT | Errno::ENOTDIR if self.root.is_some() => Fault::outside(),
            other => other.into(),
        })?;
        if self.holds(&dir)? { Ok(Place { dir, name: SELF.to_owned() }) } else { Err(Fault::outside()) }
    }

    /// Whether the directory is the one that paths have to stay in, or beneath it: the way up tells.
    fn holds(&self, dir: &OwnedFd) -> Result<bool, Fault> {
        let Some(root) = self.root else { return Ok(true) };
        let mut here = identity(dir)?;
        let mut at = None::<OwnedFd>;
        for _ in 0..MAX_LEVELS {
            if here == root {
                return Ok(true);
            }
            let up = open_path_at(at.as_ref().unwrap_or(dir), c"..")?;
            let above = identity(&up)?;
            if above == here {
                return Ok(false);
            }
            (here, at) = (above, Some(up));
        }
        Ok(false)
    }

    /// An absolute path of directories.
    fn make(&self, path: &[u8]) -> Result<OwnedFd, Fault> {
        let mut here = walk(b"/")?;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let name = CString::new(part).map_err(|_| Errno::EINVAL)?;
            here = match follow_at(&here, &name) {
                Err(Errno::ENOENT) => {
                    if !self.holds(&here)? {
                        return Err(Fault::outside());
                    }
                    match mkdirat(&here, name.as_c_str(), ABOVE) {
                        Ok(()) | Err(Errno::EEXIST) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                    open_path_at(&here, &name)?
                }
                other => other?,
            };
        }
        Ok(here)
    }
}

/// Text of the contract that may be a path.
fn check(path: &[u8]) -> Result<(), Fault> {
    if path.len() > MAX_PATH_BYTES || path.contains(&0) {
        return Err(Fault::invalid("a path is longer than 4096 bytes, or contains a NUL byte"));
    }
    Ok(())
}

pub fn joined(path: &[u8], more: &[u8]) -> Vec<u8> {
    let mut whole = path.to_vec();
    push(&mut whole, more);
    whole
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend(name);
}

/// An absolute path's directory and last name. None: it has no last name of its own.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|byte| *byte != b'/')? + 1;
    let path = path.get(..end)?;
    let (parent, name) = path.split_at_checked(path.iter().rposition(|byte| *byte == b'/')? + 1)?;
    if name == b"." || name == b".." { None } else { Some((parent, name)) }
}

/// Behind a `..` the kernel may want to be asked again where anything was renamed meanwhile.
const MAX_TRIES: u32 = 1000;

fn open_how(from: impl AsFd, path: &std::ffi::CStr, flags: OFlag, more: ResolveFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_NO_MAGICLINKS | more;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    for _ in 1..MAX_TRIES {
        match openat2(&from, path, how) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::EAGAIN)
}

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);

/// No link of /proc that is more than its text is followed.
fn walk(path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    open_how(AT_FDCWD, &path, DIRECTORY, ResolveFlag::empty())
}

fn follow_at(dir: &OwnedFd, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    open_how(dir, name, DIRECTORY, ResolveFlag::empty())
}

fn open_path_at(dir: &OwnedFd, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    open_how(dir, name, DIRECTORY | OFlag::O_NOFOLLOW, ResolveFlag::empty())
}

/// To read its names.
pub fn open_directory_at(dir: &OwnedFd, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    open_how(dir, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, ResolveFlag::empty())
}

/// The same, of a path of names, none of them a link.
pub fn open_directory_beneath(dir: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    open_how(dir, &path, flags, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS)
}

/// A regular file, to read it; nothing else is waited for, whatever has come in its place.
pub fn open_file_at(dir: &OwnedFd, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW;
    open_how(dir, name, flags, ResolveFlag::empty())
}

fn path_of(dir: &OwnedFd) -> Result<Vec<u8>, Errno> {
    fchdir(dir)?;
    let path = getcwd()?.into_os_string().into_vec();
    // gone, or where nobody comes to
    if path.starts_with(b"/") { Ok(path) } else { Err(Errno::ENOENT) }
}

pub fn identity(dir: &OwnedFd) -> Result<Identity, Errno> {
    const FLAGS: libc::c_int = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    const MASK: libc::c_uint = libc::STATX_INO | libc::STATX_MNT_ID;
    // SAFETY: all bits zero is a valid statx.
    let mut facts: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the empty path and the result live until the call returns.
    let result = unsafe { libc::statx(dir.as_raw_fd(), c"".as_ptr(), FLAGS, MASK, &raw mut facts) };
    Errno::result(result)?;
    let device = (facts.stx_dev_major, facts.stx_dev_minor);
    Ok(Identity { device, inode: facts.stx_ino, mount: facts.stx_mnt_id })
}

pub fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("a3s-place-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("inside/deep")).unwrap();
            fs::create_dir_all(path.join("outside")).unwrap();
            fs::write(path.join("inside/file"), "x").unwrap();
            fs::write(path.join("outside/secret"), "x").unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn bytes(&self, path: &str) -> Vec<u8> {
            self.0.join(path).into_os_string().into_vec()
        }

        fn scope(&self) -> Scope {
            let root = self.bytes("inside");
            Scope::new(b"/", &root, &root).unwrap()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn refused(found: Result<Place, Fault>) -> Kind {
        found.err().unwrap().kind
    }

    #[test]
    fn finds_what_is_inside_by_names_links_and_absolute_paths() {
        let tree = Tree::new("inside");
        symlink(tree.0.join("inside/deep"), tree.0.join("inside/absolute")).unwrap();
        symlink("../inside/file", tree.0.join("inside/round")).unwrap();
        let scope = tree.scope();
        for (path, found) in [
            ("file", "inside/file"),
            ("deep/../file", "inside/file"),
            ("absolute/new", "inside/deep/new"),
            ("round", "inside/file"),
            (".", "inside"),
            ("deep/..", "inside"),
        ] {
            let place = scope.find(path.as_bytes(), Link::Follow, Above::MustBe).unwrap();
            assert_eq!(place.path().unwrap(), tree.bytes(found), "{path}");
        }
        let whole = scope.find(&tree.bytes("inside"), Link::Follow, Above::MustBe).unwrap();
        assert!(whole.is_directory_itself());
    }

    #[test]
    fn refuses_what_leads_out_whatever_leads_there() {
        let tree = Tree::new("out");
        symlink(tree.0.join("outside"), tree.0.join("inside/absolute")).unwrap();
        symlink("../outside/secret", tree.0.join("inside/relative")).unwrap();
        symlink("../outside/new", tree.0.join("inside/dangling")).unwrap();
        let scope = tree.scope();
        for path in
            ["../outside/secret", "absolute/secret", "relative", "dangling", "..", "../..", "absolute", "../gone/x"]
        {
            let kind = refused(scope.find(path.as_bytes(), Link::Follow, Above::MustBe));
            assert!(matches!(kind, Kind::Denied | Kind::NotFound), "{path}: {kind:?}");
        }
        assert_eq!(refused(scope.find(b"/etc/passwd", Link::Follow, Above::MustBe)), Kind::Denied);
        assert_eq!(refused(scope.find(b"../outside/a/b", Link::Follow, Above::Make)), Kind::Denied);
        assert!(!tree.0.join("outside/a").exists());
    }

    #[test]
    fn makes_directories_on_the_way_but_not_through_a_link_that_leads_out() {
        let tree = Tree::new("make");
        symlink("../outside", tree.0.join("inside/link")).unwrap();
        let scope = tree.scope();
        let place = scope.find(b"a/b/c", Link::Follow, Above::Make).unwrap();
        assert_eq!(place.path().unwrap(), tree.bytes("inside/a/b/c"));
        assert_eq!(refused(scope.find(b"link/a/b", Link::Follow, Above::Make)), Kind::Denied);
        assert!(!tree.0.join("outside/a").exists());
    }

    #[test]
    fn begins_at_home_and_knows_the_tilde() {
        let scope = |base: &[u8]| Scope::new(b"/home/me", base, b"").unwrap();
        assert_eq!(scope(b"").absolute(b"a"), b"/home/me/a");
        assert_eq!(scope(b"work").absolute(b"a"), b"/home/me/work/a");
        assert_eq!(scope(b"/srv").absolute(b"a"), b"/srv/a");
        assert_eq!(scope(b"/srv").absolute(b"~/a"), b"/home/me/a");
        assert_eq!(scope(b"~").absolute(b"~"), b"/home/me");
        assert_eq!(scope(b"/srv").absolute(b"~x"), b"/srv/~x");
    }

    #[test]
    fn a_link_of_proc_is_not_followed() {
        let scope = Scope::new(b"/", b"", b"").unwrap();
        assert_eq!(refused(scope.find(b"/proc/self/root/etc", Link::Follow, Above::MustBe)), Kind::Invalid);
        assert_eq!(refused(scope.find(b"/proc/self/cwd/x", Link::Keep, Above::MustBe)), Kind::Invalid);
    }

    #[test]
    fn refuses_what_is_no_path() {
        let scope = Scope::new(b"/", b"", b"").unwrap();
        for path in [&b""[..], b"a\0b", &[b'a'; MAX_PATH_BYTES + 1]] {
            assert_eq!(refused(scope.find(path, Link::Follow, Above::MustBe)), Kind::Invalid);
        }
    }
}
