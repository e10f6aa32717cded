//! Profiles of AppArmor that the host brings, compiled: how they come into the kernel, and which names they may have.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::failure::{Failure, Kind, while_doing};
use crate::runtime::own::child::sys::Context;

const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// Below a securityfs: takes the place of a profile of the same name, or is a new one.
const REPLACE: &str = "apparmor/.replace";
/// What people write has some 50 KiB.
const MAX_POLICY_BYTES: usize = 1024 * 1024;
/// The kernel takes one page of name and verb.
const MAX_NAME_BYTES: usize = 512;
/// More than the containers of a pod need: what is kept of each stays in memory.
const MAX_PROFILES: usize = 64;
/// An emulated guest looks through the largest policy in some seconds.
const LOAD_LIMIT: Duration = Duration::from_secs(30);

pub fn is_on() -> bool {
    std::fs::read_to_string(ENABLED).is_ok_and(|text| text.trim() == "Y")
}

/// The profile that a spec's process is to have.
pub fn profile(spec: &Value) -> Option<&str> {
    spec.pointer("/process/apparmorProfile").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// A policy goes with a profile's name, and the kernel must be able to use both.
pub fn check(stage: &'static str, spec: &Value, policy: &[u8]) -> Result<(), Failure> {
    let invalid = |what: String| Failure::invalid(stage, what);
    if policy.len() > MAX_POLICY_BYTES {
        return Err(invalid(format!("apparmor_policy has more than {MAX_POLICY_BYTES} bytes")));
    }
    let Some(name) = profile(spec) else {
        return if policy.is_empty() {
            Ok(())
        } else {
            Err(invalid("apparmor_policy without a profile's name".into()))
        };
    };
    check_name(Some(name)).map_err(invalid)?;
    if is_on() { Ok(()) } else { Err(Failure::new(Kind::State, stage, "AppArmor is not in the kernel, or is off")) }
}

/// Of a name the kernel makes words of its own: ":namespace:", "a//&b" for two at once, a space after the verb.
pub fn check_name(name: Option<&str>) -> Result<(), String> {
    let Some(name) = name else { return Ok(()) };
    let is_plain = !name.starts_with([':', '&', ' ']) && !name.ends_with(' ') && !name.contains("//&");
    if name.len() <= MAX_NAME_BYTES && is_plain && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("{name:?} is no name of an AppArmor profile"))
}

/// What this agent has loaded, by the profiles' names. What others load over it is not seen.
#[derive(Debug, Default, Clone)]
pub struct Profiles {
    loaded: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

impl Profiles {
    /// The kernel has that policy afterwards. What has the profile already has the new one.
    pub async fn ensure(&self, stage: &'static str, name: &str, policy: Vec<u8>) -> Result<(), Failure> {
        let mut loaded = self.loaded.lock().await;
        if loaded.get(name).is_some_and(|known| *known == policy) {
            return Ok(());
        }
        if loaded.len() >= MAX_PROFILES && !loaded.contains_key(name) {
            return Err(Failure::new(Kind::Exhausted, stage, format!("there are {MAX_PROFILES} AppArmor profiles")));
        }
        let doing = format!("load the AppArmor profile {name:?}");
        let given = policy.clone();
        let work = tokio::task::spawn_blocking(move || load(&given));
        let in_time = tokio::time::timeout(LOAD_LIMIT, work).await.map_err(|_| {
            let what = format!("{doing}: the kernel has not taken it within {} s", LOAD_LIMIT.as_secs());
            Failure::new(Kind::TooLate, stage, what)
        })?;
        in_time.map_err(while_doing(stage, &doing))?.map_err(|(what, errno)| refused(stage, &doing, what, errno))?;
        loaded.insert(name.to_owned(), policy);
        Ok(())
    }
}

/// The securityfs is nowhere in the tree of mounts: no container finds it, and it is gone with its descriptor.
fn load(policy: &[u8]) -> Result<(), (&'static str, Errno)> {
    let at = |what: &'static str| move |errno| (what, errno);
    let context = Context::open(c"securityfs").map_err(at("open a securityfs"))?;
    let tree: OwnedFd = context.mount(0).map_err(at("mount a securityfs"))?;
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let opened = openat(&tree, REPLACE, flags, Mode::empty()).map_err(at("open .replace"))?;
    let mut file = std::fs::File::from(opened);
    // all of it in one call, or the kernel takes the first part for a whole
    match file.write(policy) {
        Ok(written) if written == policy.len() => Ok(()),
        Ok(_) => Err(("write .replace", Errno::EMSGSIZE)),
        Err(error) => Err(("write .replace", Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))),
    }
}

/// What the kernel says of a policy is of the policy, and of nothing that a repeat would mend.
fn refused(stage: &'static str, doing: &str, what: &str, errno: Errno) -> Failure {
    let of_policy = matches!(errno, Errno::EPROTO | Errno::EPROTONOSUPPORT | Errno::EINVAL | Errno::EBADMSG);
    let kind = if of_policy { Kind::Invalid } else { Kind::Internal };
    let hint = if of_policy { "; it was compiled for another kernel, or is damaged" } else { "" };
    Failure::new(kind, stage, format!("{doing}: {what}: {}{hint}", errno.desc()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_that_the_kernel_reads_more_into_are_refused() {
        for name in ["k8s-deny-write", "/usr/bin/man", "a b", "docker-default//child"] {
            assert_eq!(check_name(Some(name)), Ok(()), "{name}");
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for name in [":root:x", "&x", "a//&b", " x", "x ", "a\nb", "a\0b", long.as_str()] {
            assert!(check_name(Some(name)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_policy_needs_a_name_and_has_a_bound() {
        let spec = json!({"process": {}});
        assert!(check("s", &spec, &[]).is_ok());
        assert!(check("s", &spec, &[1]).unwrap_err().what.contains("without"));
        assert!(check("s", &spec, &vec![0; MAX_POLICY_BYTES + 1]).unwrap_err().what.contains("more than"));
        let named = json!({"process": {"apparmorProfile": ":ns:x"}});
        assert!(check("s", &named, &[]).unwrap_err().what.contains(":ns:x"));
    }

    #[test]
    fn says_of_a_policy_what_is_wrong_with_it() {
        let failure = refused("create session", "load the AppArmor profile \"x\"", "write .replace", Errno::EPROTO);
        assert_eq!(failure.kind, Kind::Invalid);
        assert!(failure.to_string().contains("profile \"x\": write .replace: Protocol error; it was compiled"));
        assert_eq!(refused("s", "d", "w", Errno::EACCES).kind, Kind::Internal);
    }
}
