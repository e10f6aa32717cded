//! Settings of the kernel that kubelet and systemd make on a node: containers find them in a guest too.

use std::fs;
use std::io;
use std::path::Path;

const ROOT: &str = "/proc/sys";

/// The name below ROOT, and its values: the first that the kernel takes.
type Setting = (&'static str, &'static [&'static str]);

const SETTINGS: [Setting; 7] = [
    // kubelet's: what a container asks for is given, and its limit ends it when it uses that
    ("vm/overcommit_memory", &["1"]),
    ("vm/panic_on_oom", &["0"]),
    ("kernel/panic_on_oops", &["1"]),
    ("kernel/keys/root_maxkeys", &["1000000"]),
    ("kernel/keys/root_maxbytes", &["25000000"]),
    // by itself as many as go into a hundredth of the memory: too few for a tree of sources in a small Box. Each is charged to
    // the container that makes it
    ("fs/inotify/max_user_watches", &["524288"]),
    // systemd's; a kernel with a small base takes no more than the second
    ("kernel/pid_max", &["4194304", "32768"]),
];

#[derive(Debug, thiserror::Error)]
#[error("set {name}: {source}")]
pub struct SettingError {
    name: &'static str,
    source: io::Error,
}

/// A failure is told and not fatal: a kernel may have been built without what is set.
pub fn make() -> Vec<SettingError> {
    make_below(Path::new(ROOT))
}

fn make_below(root: &Path) -> Vec<SettingError> {
    SETTINGS
        .iter()
        .filter_map(|&(name, values)| {
            let mut last = None;
            for value in values {
                match fs::write(root.join(name), value) {
                    Ok(()) => return None,
                    Err(source) => last = Some(SettingError { name, source }),
                }
            }
            last
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_names_that_linux_has() {
        for (name, values) in SETTINGS {
            assert!(Path::new(ROOT).join(name).exists(), "{name}");
            assert!(!values.is_empty(), "{name}");
        }
    }

    #[test]
    fn tell_each_that_could_not_be_made_and_make_the_others() {
        let root = std::env::temp_dir().join(format!("a3s-node-settings-{}", std::process::id()));
        let _ = fs::create_dir_all(root.join("vm"));
        let errors = make_below(&root);
        let made = fs::read_to_string(root.join("vm/overcommit_memory"));
        let _ = fs::remove_dir_all(&root);
        assert_eq!(made.ok().as_deref(), Some("1"));
        assert_eq!(errors.len(), SETTINGS.len() - 2);
    }
}
