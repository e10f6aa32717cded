//! Mount options. Source: mount(8), OCI runtime spec config.md "Mounts", mount_setattr(2).

/// Changes of a mount's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    pub set: u64,
    pub clear: u64,
}

impl Change {
    fn set(&mut self, bits: u64) {
        self.set |= bits;
        self.clear &= !bits;
    }

    fn clear(&mut self, bits: u64) {
        self.clear |= bits;
        self.set &= !bits;
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Set(bits) => self.set(bits),
            Effect::Clear(bits) => self.clear(bits),
            Effect::Atime(bits) => {
                self.set = (self.set & !ATIME) | bits;
                self.clear |= ATIME;
            }
        }
    }

    /// What a mount has inherited and is not asked for goes: of a bind's flags the spec is the only source.
    pub fn and_nothing_else(self) -> Self {
        Self { set: self.set, clear: self.clear | (INHERITED & !self.set) }
    }

    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    pub bind: bool,
    /// Take what is mounted below the source too.
    pub recursive: bool,
    /// Of the mount itself.
    pub top: Change,
    /// Of it and all below it ("rro").
    pub tree: Change,
    /// MS_PRIVATE and so on, and whether it is for all below too.
    pub propagation: Option<(u64, bool)>,
    /// Map ids, and whether for all below too.
    pub idmap: Option<bool>,
    /// The file system's own: "mode=755", "newinstance".
    pub data: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Effect {
    Set(u64),
    Clear(u64),
    /// One of the values of the field that says when access times are kept.
    Atime(u64),
}

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// What a copy has of the mount that it was made from.
const INHERITED: u64 = RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

const ATTRIBUTES: [(&str, Effect); 16] = [
    ("ro", Effect::Set(RDONLY)),
    ("rw", Effect::Clear(RDONLY)),
    ("nosuid", Effect::Set(libc::MOUNT_ATTR_NOSUID)),
    ("suid", Effect::Clear(libc::MOUNT_ATTR_NOSUID)),
    ("nodev", Effect::Set(libc::MOUNT_ATTR_NODEV)),
    ("dev", Effect::Clear(libc::MOUNT_ATTR_NODEV)),
    ("noexec", Effect::Set(libc::MOUNT_ATTR_NOEXEC)),
    ("exec", Effect::Clear(libc::MOUNT_ATTR_NOEXEC)),
    ("nodiratime", Effect::Set(libc::MOUNT_ATTR_NODIRATIME)),
    ("diratime", Effect::Clear(libc::MOUNT_ATTR_NODIRATIME)),
    ("nosymfollow", Effect::Set(libc::MOUNT_ATTR_NOSYMFOLLOW)),
    ("symfollow", Effect::Clear(libc::MOUNT_ATTR_NOSYMFOLLOW)),
    ("relatime", Effect::Atime(libc::MOUNT_ATTR_RELATIME)),
    ("norelatime", Effect::Atime(libc::MOUNT_ATTR_RELATIME)),
    ("noatime", Effect::Atime(libc::MOUNT_ATTR_NOATIME)),
    ("strictatime", Effect::Atime(libc::MOUNT_ATTR_STRICTATIME)),
];

const PROPAGATIONS: [(&str, libc::c_ulong); 4] = [
    ("private", libc::MS_PRIVATE),
    ("slave", libc::MS_SLAVE),
    ("shared", libc::MS_SHARED),
    ("unbindable", libc::MS_UNBINDABLE),
];

/// Options that ask for what this runtime does not do.
const REFUSED: [&str; 3] = ["remount", "move", "tmpcopyup"];

/// The options, or the one that can't be had. A bind has no file system of its own, so none of its data either.
pub fn parse(options: &[String]) -> Result<Options, String> {
    let mut parsed = Options::default();
    for option in options {
        if REFUSED.contains(&option.as_str()) {
            return Err(format!("mount option {option:?} is not supported"));
        }
        take(&mut parsed, option);
    }
    match parsed.data.first() {
        Some(option) if parsed.bind => Err(format!("unknown mount option {option:?} of a bind")),
        _ => Ok(parsed),
    }
}

fn take(parsed: &mut Options, option: &str) {
    match option {
        "defaults" => {}
        "bind" => parsed.bind = true,
        "rbind" => (parsed.bind, parsed.recursive) = (true, true),
        "idmap" => parsed.idmap = Some(false),
        "ridmap" => parsed.idmap = Some(true),
        _ => {
            if let Some(found) = propagation(option) {
                parsed.propagation = Some(found);
            } else if let Some(effect) = attribute(option) {
                parsed.top.apply(effect);
            } else if let Some(effect) = option.strip_prefix('r').and_then(attribute) {
                parsed.tree.apply(effect);
            } else {
                parsed.data.push(option.to_owned());
            }
        }
    }
}

fn attribute(name: &str) -> Option<Effect> {
    ATTRIBUTES.iter().find(|(known, _)| *known == name).map(|(_, effect)| *effect)
}

/// "private" or "rprivate", and so on.
pub fn propagation(name: &str) -> Option<(u64, bool)> {
    let plain = |name: &str| PROPAGATIONS.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag);
    plain(name).map(|flag| (flag, false)).or_else(|| Some((plain(name.strip_prefix('r')?)?, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, String> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn reads_the_options_of_a_bind() {
        let options = parsed(&["rbind", "rslave", "ro", "noexec"]).unwrap();
        assert!(options.bind && options.recursive && options.tree.is_nothing());
        assert_eq!(options.top.set, RDONLY | libc::MOUNT_ATTR_NOEXEC);
        assert_eq!(options.propagation, Some((libc::MS_SLAVE, true)));
    }

    #[test]
    fn tells_recursive_attributes_from_words_that_begin_alike() {
        assert_eq!(parsed(&["bind", "rro"]).unwrap().tree.set, RDONLY);
        assert_eq!(parsed(&["bind", "relatime"]).unwrap().tree, Change::default());
        assert_eq!(parsed(&["bind", "rrelatime"]).unwrap().tree.clear, ATIME);
        assert_eq!(parsed(&["bind", "rw"]).unwrap().top, Change { set: 0, clear: RDONLY });
        assert_eq!(parsed(&["bind", "rrw"]).unwrap().tree, Change { set: 0, clear: RDONLY });
    }

    #[test]
    fn the_last_of_two_that_contradict_wins() {
        assert_eq!(parsed(&["ro", "rw"]).unwrap().top, Change { set: 0, clear: RDONLY });
        let atime = parsed(&["noatime", "strictatime"]).unwrap().top;
        assert_eq!(atime, Change { set: libc::MOUNT_ATTR_STRICTATIME, clear: ATIME });
    }

    #[test]
    fn a_bind_keeps_nothing_of_its_source_that_is_not_asked_for() {
        let top = parsed(&["bind", "ro", "nosuid"]).unwrap().top.and_nothing_else();
        assert_eq!(top.set, RDONLY | libc::MOUNT_ATTR_NOSUID);
        assert_eq!(top.clear, libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC);
    }

    #[test]
    fn leaves_the_rest_to_the_file_system_and_refuses_it_for_binds() {
        assert_eq!(parsed(&["mode=755", "size=1k"]).unwrap().data, ["mode=755", "size=1k"]);
        assert!(parsed(&["bind", "mode=755"]).unwrap_err().contains("mode=755"));
        assert!(parsed(&["remount"]).is_err());
    }
}
