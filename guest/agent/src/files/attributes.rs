//! Extended attributes of files and directories, those of a user alone ("user.…"): what a caller has written beside a file.
//! What is there was written by the container, so it is told within bounds, and what does not fit is left out.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::fchdir;

use super::fault::Fault;
use crate::failure::Kind;
use crate::pb;

/// Names and values of one file together: as much as ext4 has room for.
const MAX_BYTES: usize = 4096;
/// Of one file: the daemon ends a Box that tells it of more (src/vmm/agent/answer-bounds.ts).
const MAX_ATTRIBUTES: usize = 128;
/// The kernel's own longest name.
const MAX_NAME_BYTES: usize = 255;
/// The kernel's own longest list of names.
const MAX_LIST_BYTES: usize = 64 * 1024;
const OF_USERS: &[u8] = b"user.";

/// What a caller asks to be told of, or nothing.
pub fn check_prefix(prefix: &[u8]) -> Result<(), Fault> {
    if prefix.is_empty() || (prefix.starts_with(OF_USERS) && prefix.len() <= MAX_NAME_BYTES && !prefix.contains(&0)) {
        return Ok(());
    }
    Err(Fault::invalid("extended attributes other than a user's are not told of"))
}

/// Those whose names begin so, of a file or directory. What can't be read is not there.
pub fn of(dir: &OwnedFd, name: &CStr, prefix: &[u8]) -> Vec<pb::FileAttribute> {
    // There is no call that reads them by a directory and a name.
    if prefix.is_empty() || fchdir(dir).is_err() {
        return Vec::new();
    }
    let mut left = MAX_BYTES;
    let mut told = Vec::new();
    for attribute in names(name).split(|byte| *byte == 0).filter(|attribute| attribute.starts_with(prefix)) {
        if told.len() == MAX_ATTRIBUTES {
            break;
        }
        let Some(room) = left.checked_sub(attribute.len()) else { continue };
        let Some(value) = value(name, attribute, room) else { continue };
        left = room - value.len();
        told.push(pb::FileAttribute { name: attribute.to_vec(), value });
    }
    told
}

/// Each ends with a NUL.
fn names(name: &CStr) -> Vec<u8> {
    // Most files have none; a second call is for those that have many.
    for size in [1024, MAX_LIST_BYTES] {
        let mut buffer = vec![0_u8; size];
        // SAFETY: the name and the buffer live until the call returns, and the buffer's length is given.
        let got = unsafe { libc::llistxattr(name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
        match Errno::result(got) {
            Ok(length) => {
                buffer.truncate(usize::try_from(length).unwrap_or_default());
                return buffer;
            }
            Err(Errno::ERANGE) => {}
            Err(_) => break,
        }
    }
    Vec::new()
}

fn value(name: &CStr, attribute: &[u8], room: usize) -> Option<Vec<u8>> {
    let attribute = CString::new(attribute).ok()?;
    // One byte more: without any the kernel would only tell the length.
    let mut buffer = vec![0_u8; room + 1];
    // SAFETY: names and buffer live until the call returns, and the buffer's length is given.
    let got = unsafe { libc::lgetxattr(name.as_ptr(), attribute.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    let length = usize::try_from(got).ok().filter(|length| *length <= room)?;
    buffer.truncate(length);
    Some(buffer)
}

/// Of a new file, before anything is in it.
pub fn set(file: &File, attributes: &[pb::FileAttribute]) -> Result<(), Fault> {
    let total: usize = attributes.iter().map(|attribute| attribute.name.len() + attribute.value.len()).sum();
    if total > MAX_BYTES {
        return Err(Fault::invalid("extended attributes of more than 4096 bytes"));
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(Fault::invalid("more than 128 extended attributes"));
    }
    for attribute in attributes {
        set_one(file, attribute)?;
    }
    Ok(())
}

fn set_one(file: &File, attribute: &pb::FileAttribute) -> Result<(), Fault> {
    let named = attribute.name.starts_with(OF_USERS) && attribute.name.len() <= MAX_NAME_BYTES;
    let name = CString::new(attribute.name.as_slice()).ok().filter(|_| named);
    let name = name.ok_or_else(|| Fault::invalid("an extended attribute whose name is not one of a user's"))?;
    let value = &attribute.value;
    // SAFETY: name and value live until the call returns, and the value's length is given.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    match Errno::result(result) {
        Ok(_) => Ok(()),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {
            Err(Fault::new(Kind::State, "the file system keeps no extended attributes"))
        }
        Err(Errno::E2BIG | Errno::ERANGE) => Err(Fault::new(Kind::Exhausted, "the extended attributes are too large")),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::place::open_directory_at;
    use std::fs;

    fn attribute(name: &str, value: &[u8]) -> pb::FileAttribute {
        pb::FileAttribute { name: name.as_bytes().to_vec(), value: value.to_vec() }
    }

    /// A directory with a file `x` in it, both open. It is where the process works for the time of a test, so the tests
    /// that look at attributes are one.
    fn file_in(name: &str) -> (std::path::PathBuf, OwnedFd, File) {
        let path = std::env::temp_dir().join(format!("a3s-attributes-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let file = File::create(path.join("x")).unwrap();
        let above = OwnedFd::from(File::open("/").unwrap());
        let relative = CString::new(path.to_str().unwrap().trim_start_matches('/')).unwrap();
        (path, open_directory_at(&above, &relative).unwrap(), file)
    }

    #[test]
    fn are_read_back_by_their_prefix_and_within_their_bounds() {
        let (path, dir, file) = file_in("set");
        let kept =
            [attribute("user.e2b.a", b"1"), attribute("user.e2b.empty", b""), attribute("user.e2b.b", &[0xff, 0])];
        if set(&file, &kept).is_err_and(|fault| fault.kind == Kind::State) {
            fs::remove_dir_all(path).unwrap();
            return; // no extended attributes where the tests run
        }
        set(&file, &[attribute("user.other", b"no")]).unwrap();
        let mut told = of(&dir, c"x", b"user.e2b.");
        told.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(told, [kept[0].clone(), kept[2].clone(), kept[1].clone()]);
        assert_eq!(of(&dir, c"x", b""), []);
        assert_eq!(of(&dir, c"none", b"user."), []);
        let many: Vec<_> = (0..MAX_ATTRIBUTES).map(|n| attribute(&format!("user.n{n}"), b"")).collect();
        set(&file, &many).unwrap();
        assert_eq!(of(&dir, c"x", b"user.").len(), MAX_ATTRIBUTES);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn of_others_than_users_are_neither_set_nor_told_of() {
        let (path, _dir, file) = file_in("others");
        for name in
            ["security.capability", "trusted.overlay.opaque", "system.posix_acl_access", "user", "", "user.a\0b"]
        {
            assert_eq!(set(&file, &[attribute(name, b"x")]).err().unwrap().kind, Kind::Invalid, "{name}");
        }
        let long = format!("user.{}", "a".repeat(MAX_NAME_BYTES));
        assert_eq!(set(&file, &[attribute(&long, b"x")]).err().unwrap().kind, Kind::Invalid);
        let large = attribute("user.large", &[0; MAX_BYTES]);
        assert_eq!(set(&file, &[large]).err().unwrap().kind, Kind::Invalid);
        let many: Vec<_> = (0..=MAX_ATTRIBUTES).map(|n| attribute(&format!("user.{n}"), b"")).collect();
        assert_eq!(set(&file, &many).err().unwrap().kind, Kind::Invalid);
        for prefix in [&b"security."[..], b"use", b"trusted.", b"user.\0"] {
            assert_eq!(check_prefix(prefix).err().unwrap().kind, Kind::Invalid);
        }
        assert!(check_prefix(b"").is_ok() && check_prefix(b"user.e2b.").is_ok());
        fs::remove_dir_all(path).unwrap();
    }
}
