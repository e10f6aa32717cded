//! Paths in a container's root. Its content is hostile: links lead where its image or another container has put them.
//! Every walk is the kernel's, kept in the root (openat2, RESOLVE_IN_ROOT).

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, mkdirat};

/// As the kernel's own limit.
const MAX_LINKS: u32 = 40;
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);
const FILE_MODE: Mode = Mode::from_bits_truncate(0o644);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
}

/// This process's own root.
pub fn root() -> Result<OwnedFd, Errno> {
    openat(AT_FDCWD, "/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// What `path` names inside `root`. No link of /proc that is more than its text is followed.
pub fn open(root: &impl AsFd, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    walk(root, path, flags, ResolveFlag::empty())
}

/// The same, and no link at all.
pub fn open_without_links(root: &impl AsFd, path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    walk(root, path, flags, ResolveFlag::RESOLVE_NO_SYMLINKS)
}

/// openat2(2): behind a `..` the kernel wants to be asked again where anything was mounted or renamed meanwhile.
const MAX_TRIES: u32 = 1000;

fn walk(root: &impl AsFd, path: &str, flags: OFlag, more: ResolveFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | more;
    let path = if path.is_empty() { "/" } else { path };
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    for _ in 1..MAX_TRIES {
        match openat2(root, path, how) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
    openat2(root, path, how)
}

/// The same after making what is missing: directories, and at the end what `kind` says. Links are followed inside the root,
/// those that lead to something missing too.
pub fn make(root: &impl AsFd, path: &str, kind: Kind) -> Result<OwnedFd, Errno> {
    match open(root, path, OFlag::O_PATH) {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    let mut rest: Vec<String> = parts(path);
    // no component of it is a link
    let mut done: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        let here = open(root, &done.join("/"), OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        match readlinkat(&here, part.as_str()) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                let target = target.to_str().ok_or(Errno::EINVAL)?;
                if target.starts_with('/') {
                    done.clear();
                }
                rest.extend(parts(target));
                continue;
            }
            Err(Errno::EINVAL) => {} // there, and no link
            Err(Errno::ENOENT) => make_one(&here, &part, if rest.is_empty() { kind } else { Kind::Directory })?,
            Err(errno) => return Err(errno),
        }
        done.push(part);
    }
    open(root, &done.join("/"), OFlag::O_PATH)
}

/// Somebody else may have made it meanwhile.
fn make_one(here: &OwnedFd, name: &str, kind: Kind) -> Result<(), Errno> {
    let made = match kind {
        Kind::Directory => mkdirat(here, name, DIRECTORY_MODE),
        Kind::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_WRONLY;
            openat(here, name, flags, FILE_MODE).map(drop)
        }
    };
    match made {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Components, the first one last.
fn parts(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").rev().map(str::to_owned).collect()
}

/// The directory that holds the last component, made where it is missing, and that component.
pub fn parent(root: &impl AsFd, path: &str) -> Result<(OwnedFd, String), Errno> {
    let mut names = parts(path);
    if names.is_empty() {
        return Err(Errno::EINVAL);
    }
    let last = names.remove(0);
    if last == ".." {
        return Err(Errno::EINVAL);
    }
    names.reverse();
    Ok((make(root, &names.join("/"), Kind::Directory)?, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("agent-resolve-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("root")).unwrap();
            Self(path)
        }

        fn open(&self) -> OwnedFd {
            fs::File::open(self.0.join("root")).unwrap().into()
        }

        fn has(&self, path: &str) -> bool {
            self.0.join(path).exists()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn makes_what_is_missing_and_stays_inside() {
        let root = Root::new("inside");
        make(&root.open(), "/a/../../../b/c", Kind::Directory).unwrap();
        make(&root.open(), "/b/file", Kind::File).unwrap();
        assert!(root.has("root/b/c") && root.0.join("root/b/file").is_file());
        assert!(!root.has("b"));
    }

    #[test]
    fn follows_links_inside_the_root_only_also_when_they_lead_to_nothing() {
        let root = Root::new("links");
        symlink("/outside", root.0.join("root/absolute")).unwrap();
        symlink("../../../up", root.0.join("root/relative")).unwrap();
        make(&root.open(), "/absolute/x", Kind::Directory).unwrap();
        make(&root.open(), "/relative", Kind::File).unwrap();
        assert!(root.has("root/outside/x") && root.0.join("root/up").is_file());
        assert!(!root.has("outside") && !root.has("up"));
    }

    #[test]
    fn counts_links_and_not_how_deep_they_lead() {
        let root = Root::new("deep");
        let deep = vec!["d"; 100].join("/");
        symlink(format!("/{deep}"), root.0.join("root/link")).unwrap();
        make(&root.open(), "/link/file", Kind::File).unwrap();
        assert!(root.0.join("root").join(&deep).join("file").is_file());
        symlink("made", root.0.join("root").join(&deep).join("inner")).unwrap();
        make(&root.open(), "/link/inner/x", Kind::Directory).unwrap();
        assert!(root.0.join("root").join(&deep).join("made/x").is_dir());
    }

    #[test]
    fn follows_as_many_links_as_the_kernel_does() {
        let root = Root::new("chain");
        for number in 0..MAX_LINKS {
            symlink(format!("l{}", number + 1), root.0.join(format!("root/l{number}"))).unwrap();
        }
        assert_eq!(make(&root.open(), "/l0/x", Kind::Directory).map(drop), Ok(()));
        symlink("l0", root.0.join("root/one-more")).unwrap();
        fs::remove_dir_all(root.0.join(format!("root/l{MAX_LINKS}"))).unwrap();
        assert_eq!(make(&root.open(), "/one-more/x", Kind::Directory).unwrap_err(), Errno::ELOOP);
    }

    #[test]
    fn gives_up_on_links_that_lead_to_themselves() {
        let root = Root::new("loop");
        symlink("b", root.0.join("root/a")).unwrap();
        symlink("a", root.0.join("root/b")).unwrap();
        assert_eq!(make(&root.open(), "/a/x", Kind::Directory).unwrap_err(), Errno::ELOOP);
    }

    #[test]
    fn names_the_directory_of_a_node() {
        let root = Root::new("parent");
        let (_, name) = parent(&root.open(), "/dev/null").unwrap();
        assert!(name == "null" && root.has("root/dev"));
        assert!(parent(&root.open(), "/").is_err());
    }
}
