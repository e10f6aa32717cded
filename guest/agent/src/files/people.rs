//! Users and groups by the container's own files, which are its own to write: read as little as they may be long, and only
//! where they are files.

use std::fs::File;
use std::io::Read;

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};

/// Longer ones are read so far.
const MAX_BYTES: u64 = 1024 * 1024;
/// NGROUPS_MAX is 65536; who is in so many is no user of a container.
const MAX_GROUPS: usize = 1024;
/// 2^32 - 1 means "leave as it is" to the kernel.
const MAX_ID: u32 = u32::MAX - 1;

#[derive(Debug, Default)]
pub struct People {
    users: Vec<User>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct User {
    name: Vec<u8>,
    uid: u32,
    gid: u32,
    home: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    name: Vec<u8>,
    gid: u32,
    members: Vec<u8>,
}

/// Whose rights count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

impl People {
    /// Of the root that this process is in.
    pub fn read() -> Self {
        Self::parse(&bounded(c"/etc/passwd"), &bounded(c"/etc/group"))
    }

    /// passwd(5) and group(5); lines that are not are skipped, as libc does.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let users = passwd.split(|byte| *byte == b'\n').filter_map(|line| {
            let mut words = line.split(|byte| *byte == b':');
            let name = words.next().filter(|name| !name.is_empty())?.to_vec();
            let (uid, gid) = (id(words.nth(1)?)?, id(words.next()?)?);
            Some(User { name, uid, gid, home: words.nth(1).unwrap_or_default().to_vec() })
        });
        let groups = group.split(|byte| *byte == b'\n').filter_map(|line| {
            let mut words = line.split(|byte| *byte == b':');
            let name = words.next().filter(|name| !name.is_empty())?.to_vec();
            Some(Group { name, gid: id(words.nth(1)?)?, members: words.next().unwrap_or_default().to_vec() })
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    /// "name", "id" or "user:group". None: there is no such user or group.
    pub fn find(&self, asked: &str) -> Option<Identity> {
        let (user, group) = asked.split_once(':').unwrap_or((asked, ""));
        let number = id(user.as_bytes());
        let by_name = self.users.iter().find(|one| one.name == user.as_bytes());
        let entry = by_name.or_else(|| self.users.iter().find(|one| Some(one.uid) == number));
        let uid = entry.map(|one| one.uid).or(number)?;
        if !group.is_empty() {
            let named = self.groups.iter().find(|one| one.name == group.as_bytes()).map(|one| one.gid);
            let gid = named.or_else(|| id(group.as_bytes()))?;
            return Some(Identity { uid, gid, groups: vec![gid] });
        }
        let gid = entry.map_or(0, |one| one.gid);
        let mut groups = vec![gid];
        if let Some(entry) = entry {
            let is_member = |group: &&Group| group.members.split(|byte| *byte == b',').any(|one| one == entry.name);
            groups.extend(self.groups.iter().filter(is_member).map(|group| group.gid).take(MAX_GROUPS));
        }
        Some(Identity { uid, gid, groups })
    }

    /// "/" where nobody says.
    pub fn home(&self, uid: u32) -> Vec<u8> {
        let home = self.users.iter().find(|one| one.uid == uid).map(|one| one.home.clone());
        home.filter(|home| home.starts_with(b"/") && home.len() < 4096).unwrap_or_else(|| b"/".to_vec())
    }

    /// The number where it has no name.
    pub fn user_name(&self, uid: u32) -> Vec<u8> {
        name_or(self.users.iter().find(|one| one.uid == uid).map(|one| one.name.as_slice()), uid)
    }

    pub fn group_name(&self, gid: u32) -> Vec<u8> {
        name_or(self.groups.iter().find(|one| one.gid == gid).map(|one| one.name.as_slice()), gid)
    }
}

/// The contract's longest.
const MAX_NAME_BYTES: usize = 256;

fn name_or(name: Option<&[u8]>, number: u32) -> Vec<u8> {
    match name {
        Some(name) if name.len() <= MAX_NAME_BYTES => name.to_vec(),
        _ => number.to_string().into_bytes(),
    }
}

fn id(text: &[u8]) -> Option<u32> {
    let digits = (1..=10).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()?;
    (number <= MAX_ID).then_some(number)
}

/// Empty where there is none.
fn bounded(path: &std::ffi::CStr) -> Vec<u8> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut bytes = Vec::new();
    if let Ok(file) = openat2(AT_FDCWD, path, how) {
        let regular = fstat(&file).is_ok_and(|stat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits());
        if regular {
            let _ = File::from(file).take(MAX_BYTES).read_to_end(&mut bytes);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0::/root:/bin/sh\nme:x:1000:100:Me:/home/me:\nbad\n:x:1:1::/:\nbig:x:4294967295:0::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nusers:x:100:\nwheel:x:10:other,me\nstaff:x:50:men\n";

    #[test]
    fn knows_users_by_name_and_number_with_their_groups() {
        let people = People::parse(PASSWD, GROUP);
        let me = Identity { uid: 1000, gid: 100, groups: vec![100, 10] };
        assert_eq!(people.find("me"), Some(me.clone()));
        assert_eq!(people.find("1000"), Some(me));
        assert_eq!(people.find("7"), Some(Identity { uid: 7, gid: 0, groups: vec![0] }));
        assert_eq!(people.find("me:staff"), Some(Identity { uid: 1000, gid: 50, groups: vec![50] }));
        assert_eq!(people.find("7:8"), Some(Identity { uid: 7, gid: 8, groups: vec![8] }));
        for asked in ["nobody", "me:nobody", "big", "4294967295", "-1", "", "bad"] {
            assert_eq!(people.find(asked), None, "{asked}");
        }
    }

    #[test]
    fn gives_homes_and_names_and_numbers_where_there_is_none() {
        let people = People::parse(PASSWD, GROUP);
        assert_eq!((people.home(1000), people.home(7)), (b"/home/me".to_vec(), b"/".to_vec()));
        assert_eq!((people.user_name(0), people.user_name(7)), (b"root".to_vec(), b"7".to_vec()));
        assert_eq!((people.group_name(10), people.group_name(7)), (b"wheel".to_vec(), b"7".to_vec()));
    }
}
