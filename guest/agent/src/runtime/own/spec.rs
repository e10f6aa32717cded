//! The members of the OCI runtime spec that this runtime knows. A member that it does not know is refused by its name:
//! what a spec asks for and does not get must not go unnoticed.
//! Source: opencontainers/runtime-spec v1.2, config.md and config-linux.md.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::guest::apparmor;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    #[serde(default, rename = "ociVersion")]
    _version: IgnoredAny,
    pub process: Process,
    pub root: Root,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    #[serde(default)]
    pub mounts: Vec<Mount>,
    #[serde(default)]
    pub linux: Linux,
    /// For people and other programs: nothing here is the runtime's.
    #[serde(default, rename = "annotations")]
    _annotations: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Root {
    /// Absolute, in the guest.
    pub path: String,
    #[serde(default)]
    pub readonly: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Process {
    #[serde(default)]
    pub terminal: bool,
    pub console_size: Option<ConsoleSize>,
    #[serde(default)]
    pub user: User,
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    pub cwd: String,
    #[serde(default)]
    pub capabilities: Capabilities,
    #[serde(default)]
    pub rlimits: Vec<Rlimit>,
    #[serde(default)]
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
    /// Absent: none.
    pub apparmor_profile: Option<String>,
}

#[derive(Debug, Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSize {
    pub height: u16,
    pub width: u16,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct User {
    #[serde(default)]
    pub uid: u32,
    #[serde(default)]
    pub gid: u32,
    pub umask: Option<u32>,
    #[serde(default)]
    pub additional_gids: Vec<u32>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    #[serde(default)]
    pub bounding: Vec<String>,
    #[serde(default)]
    pub effective: Vec<String>,
    #[serde(default)]
    pub permitted: Vec<String>,
    #[serde(default)]
    pub inheritable: Vec<String>,
    #[serde(default)]
    pub ambient: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    #[serde(rename = "type")]
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Mount {
    pub destination: String,
    #[serde(default, rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub options: Vec<String>,
    #[serde(default)]
    pub uid_mappings: Vec<IdMapping>,
    #[serde(default)]
    pub gid_mappings: Vec<IdMapping>,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct IdMapping {
    #[serde(rename = "containerID")]
    pub container_id: u32,
    #[serde(rename = "hostID")]
    pub host_id: u32,
    pub size: u32,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Linux {
    #[serde(default)]
    pub namespaces: Vec<Namespace>,
    #[serde(default)]
    pub uid_mappings: Vec<IdMapping>,
    #[serde(default)]
    pub gid_mappings: Vec<IdMapping>,
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Where the container lives is the agent's to say.
    #[serde(default, rename = "cgroupsPath")]
    _cgroups_path: IgnoredAny,
    #[serde(default)]
    pub resources: Resources,
    pub rootfs_propagation: Option<String>,
    #[serde(default)]
    pub masked_paths: Vec<String>,
    #[serde(default)]
    pub readonly_paths: Vec<String>,
    #[serde(default)]
    pub sysctl: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// Of a namespace to be joined; absent: a new one.
    pub path: Option<String>,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    Pid,
    Mount,
    Ipc,
    Uts,
    Network,
    Cgroup,
    User,
}

impl NamespaceKind {
    pub fn flag(self) -> libc::c_int {
        match self {
            Self::Pid => libc::CLONE_NEWPID,
            Self::Mount => libc::CLONE_NEWNS,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Network => libc::CLONE_NEWNET,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::User => libc::CLONE_NEWUSER,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Device {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub major: u32,
    #[serde(default)]
    pub minor: u32,
    pub file_mode: Option<u32>,
    #[serde(default)]
    pub uid: u32,
    #[serde(default)]
    pub gid: u32,
}

/// The numbers are read by `cgroup::limits`, which also serves updates; here their names are checked.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Resources {
    #[serde(default)]
    pub devices: Vec<DeviceRule>,
    #[serde(default, rename = "memory")]
    _memory: Option<Memory>,
    #[serde(default, rename = "cpu")]
    _cpu: Option<Cpu>,
    #[serde(default, rename = "pids")]
    _pids: Option<Pids>,
    #[serde(default, rename = "hugepageLimits")]
    _hugepage_limits: Option<Vec<HugepageLimit>>,
    #[serde(default, rename = "unified")]
    _unified: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct DeviceRule {
    pub allow: bool,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    pub access: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    #[serde(rename = "limit")]
    _limit: Option<i64>,
    #[serde(rename = "reservation")]
    _reservation: Option<i64>,
    /// Without effect: the guest has no swap.
    #[serde(rename = "swap")]
    _swap: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cpu {
    #[serde(rename = "shares")]
    _shares: Option<i64>,
    #[serde(rename = "quota")]
    _quota: Option<i64>,
    #[serde(rename = "period")]
    _period: Option<i64>,
    #[serde(rename = "cpus")]
    _cpus: Option<String>,
    #[serde(rename = "mems")]
    _mems: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pids {
    #[serde(rename = "limit")]
    _limit: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HugepageLimit {
    #[serde(rename = "pageSize")]
    _page_size: String,
    #[serde(rename = "limit")]
    _limit: u64,
}

/// The spec, or which member of it is wrong.
pub fn parse(value: &Value) -> Result<Spec, String> {
    let spec = Spec::deserialize(value).map_err(|error| error.to_string())?;
    check_process(&spec.process)?;
    check_namespaces(&spec)?;
    if !spec.root.path.starts_with('/') {
        return Err(format!("root.path {:?} is not absolute", spec.root.path));
    }
    match spec.mounts.iter().find(|mount| !mount.destination.starts_with('/')) {
        Some(mount) => Err(format!("mount destination {:?} is not absolute", mount.destination)),
        None => Ok(spec),
    }
}

pub fn parse_process(value: &Value) -> Result<Process, String> {
    let process = Process::deserialize(value).map_err(|error| error.to_string())?;
    check_process(&process)?;
    Ok(process)
}

fn check_process(process: &Process) -> Result<(), String> {
    if process.args.is_empty() {
        return Err("the process has no args".to_owned());
    }
    if !process.cwd.starts_with('/') {
        return Err(format!("cwd {:?} is not absolute", process.cwd));
    }
    apparmor::check_name(process.apparmor_profile.as_deref())?;
    let mut texts = process.args.iter().chain(&process.env);
    match texts.find(|text| text.contains('\0')) {
        Some(text) => Err(format!("{text:?} contains a NUL")),
        None => Ok(()),
    }
}

fn check_namespaces(spec: &Spec) -> Result<(), String> {
    let namespaces = &spec.linux.namespaces;
    for (index, one) in namespaces.iter().enumerate() {
        if namespaces.iter().take(index).any(|earlier| earlier.kind == one.kind) {
            return Err(format!("namespace {:?} is listed twice", one.kind));
        }
    }
    let own = |kind| namespaces.iter().find(|one| one.kind == kind).map(|one| one.path.is_none());
    if own(NamespaceKind::Mount) != Some(true) {
        return Err("a container needs a mount namespace of its own".to_owned());
    }
    if spec.hostname.is_some() && own(NamespaceKind::Uts).is_none() {
        return Err("hostname is set without a uts namespace".to_owned());
    }
    let mapped = !spec.linux.uid_mappings.is_empty() && !spec.linux.gid_mappings.is_empty();
    match own(NamespaceKind::User) {
        Some(true) if !mapped => Err("a user namespace needs uidMappings and gidMappings".to_owned()),
        None if !spec.linux.uid_mappings.is_empty() => Err("uidMappings without a user namespace".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn least() -> Value {
        json!({
            "process": {"args": ["/x"], "cwd": "/"},
            "root": {"path": "/c/x"},
            "linux": {"namespaces": [{"type": "mount"}]},
        })
    }

    fn refusal(pointer: &str, name: &str, value: Value) -> String {
        let mut spec = least();
        spec.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        parse(&spec).unwrap_err()
    }

    #[test]
    fn takes_the_least_of_a_spec() {
        let spec = parse(&least()).unwrap();
        assert!(spec.mounts.is_empty() && !spec.process.terminal && spec.process.user.uid == 0);
    }

    #[test]
    fn refuses_members_that_it_does_not_know_by_their_names() {
        for (pointer, name) in [
            ("", "hooks"),
            ("/process", "selinuxLabel"),
            ("/process", "ioPriority"),
            ("/linux", "intelRdt"),
            ("/linux", "seccomp"),
            ("/linux", "timeOffsets"),
        ] {
            assert!(refusal(pointer, name, json!({})).contains(name), "{name}");
        }
        assert!(refusal("/linux", "resources", json!({"blockIO": {}})).contains("blockIO"));
        assert!(refusal("/linux", "resources", json!({"cpu": {"realtimeRuntime": 1}})).contains("realtimeRuntime"));
    }

    #[test]
    fn refuses_namespaces_that_make_no_container() {
        assert!(refusal("/linux", "namespaces", json!([])).contains("mount namespace"));
        let twice = json!([{"type": "mount"}, {"type": "mount"}]);
        assert!(refusal("/linux", "namespaces", twice).contains("twice"));
        let joined = json!([{"type": "mount", "path": "/proc/1/ns/mnt"}]);
        assert!(refusal("/linux", "namespaces", joined).contains("mount namespace"));
        let user = json!([{"type": "mount"}, {"type": "user"}]);
        assert!(refusal("/linux", "namespaces", user).contains("uidMappings"));
        assert!(refusal("/linux", "namespaces", json!([{"type": "time"}])).contains("time"));
        assert!(refusal("", "hostname", json!("x")).contains("uts"));
    }

    #[test]
    fn refuses_a_program_that_can_not_be_executed() {
        assert!(refusal("/process", "args", json!([])).contains("no args"));
        assert!(refusal("/process", "args", json!(["a\0b"])).contains("NUL"));
        assert!(refusal("/process", "cwd", json!("x")).contains("not absolute"));
        assert!(refusal("/process", "apparmorProfile", json!("a//&b")).contains("AppArmor"));
    }
}
