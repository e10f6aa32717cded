//! The host's spec as runc is to see it.

use serde_json::{Map, Value, json};

use super::allowed::Allowed;
use crate::failure::Failure;

const STAGE: &str = "create session";

pub fn of(mut spec: Value, cgroups_path: &str, allowed: &Allowed) -> Result<Vec<u8>, Failure> {
    member(&mut spec, "linux")?.insert("cgroupsPath".to_owned(), json!(cgroups_path));
    let process = spec.get_mut("process").ok_or_else(|| Failure::invalid(STAGE, "the spec has no process"))?;
    allowed.clamp(process);
    Ok(spec.to_string().into_bytes())
}

/// An annotation of the spec: the container is to be in the pod's PID namespace. Without it, and without one in its list of
/// namespaces, it is in the host's.
const SHARES_PIDS: &str = "a3s.pids";

pub fn shares_pids(spec: &Value) -> bool {
    spec.get("annotations").and_then(|all| all.get(SHARES_PIDS)).is_some()
}

pub fn join_pids(spec: &mut Value, pid: i32) {
    if let Some(namespaces) = spec.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut) {
        namespaces.push(json!({"type": "pid", "path": format!("/proc/{pid}/ns/pid")}));
    }
}

/// A user namespace is the pod's, which is there already: `path` leads to it. False where the container has none.
pub fn join_users(spec: &mut Value, path: Option<&str>) -> Result<bool, Failure> {
    let mut joined = false;
    let listed = spec.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut).into_iter().flatten();
    for one in listed.filter(|one| one.get("type").is_some_and(|kind| kind == "user")) {
        let path = path.ok_or_else(|| Failure::invalid(STAGE, "the pod has no user namespace"))?;
        *one = json!({"type": "user", "path": path});
        joined = true;
    }
    Ok(joined)
}

/// User and group of the host that are 0 in the container.
pub fn first_ids(spec: &Value) -> Result<(u32, u32), Failure> {
    let first = |name: &str| {
        let mapping = spec.pointer("/linux")?.get(name)?.get(0)?;
        mapping.get("hostID")?.as_u64().and_then(|id| u32::try_from(id).ok())
    };
    let ids = first("uidMappings").zip(first("gidMappings"));
    ids.ok_or_else(|| Failure::invalid(STAGE, "the user namespace has no ids"))
}

/// Those that differ from the agent's, as CLONE_NEW* bits.
pub fn namespaces(spec: &Value) -> Result<i32, Failure> {
    let listed = spec.pointer("/linux/namespaces").and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(|one| one.get("type")?.as_str()).try_fold(0, |bits, kind| Ok(bits | flag(kind)?))
}

fn flag(kind: &str) -> Result<i32, Failure> {
    match kind {
        "mount" => Ok(libc::CLONE_NEWNS),
        "pid" => Ok(libc::CLONE_NEWPID),
        "cgroup" => Ok(libc::CLONE_NEWCGROUP),
        "ipc" => Ok(libc::CLONE_NEWIPC),
        "uts" => Ok(libc::CLONE_NEWUTS),
        "network" => Ok(libc::CLONE_NEWNET),
        "user" => Ok(libc::CLONE_NEWUSER),
        other => Err(Failure::invalid(STAGE, format!("namespace {other:?} is not known"))),
    }
}

fn member<'a>(spec: &'a mut Value, name: &str) -> Result<&'a mut Map<String, Value>, Failure> {
    let found = spec.get_mut(name).and_then(Value::as_object_mut);
    found.ok_or_else(|| Failure::invalid(STAGE, format!("the spec has no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_a_container_into_its_group() {
        let spec = json!({"linux": {"cgroupsPath": "/elsewhere"}, "process": {"oomScoreAdj": 1000}});
        let config: Value = serde_json::from_slice(&of(spec, "/pod/ab", &Allowed::everything()).unwrap()).unwrap();
        assert_eq!(config.pointer("/linux/cgroupsPath"), Some(&json!("/pod/ab")));
        assert_eq!(config.pointer("/process/oomScoreAdj"), Some(&json!(1000)));
        assert!(of(json!({"linux": {}}), "/x", &Allowed::everything()).is_err());
    }

    #[test]
    fn a_user_namespace_is_the_pods() {
        let mut spec = json!({"linux": {"namespaces": [{"type": "mount"}, {"type": "user"}]}});
        assert!(join_users(&mut spec, None).is_err());
        assert_eq!(join_users(&mut spec, Some("/proc/7/fd/9")), Ok(true));
        let wanted = json!([{"type": "mount"}, {"type": "user", "path": "/proc/7/fd/9"}]);
        assert_eq!(spec.pointer("/linux/namespaces"), Some(&wanted));
        assert_eq!(namespaces(&spec), Ok(libc::CLONE_NEWNS | libc::CLONE_NEWUSER));
        assert_eq!(join_users(&mut json!({}), None), Ok(false));
    }

    #[test]
    fn knows_who_is_root_outside() {
        let mapped = |first: u32| json!([{"containerID": 0, "hostID": first, "size": 10}]);
        let spec = json!({"linux": {"uidMappings": mapped(70_000), "gidMappings": mapped(80_000)}});
        assert_eq!(first_ids(&spec), Ok((70_000, 80_000)));
        assert!(first_ids(&json!({"linux": {"uidMappings": mapped(1)}})).is_err());
    }

    #[test]
    fn execs_join_what_the_container_has_of_its_own() {
        let spec = json!({"linux": {"namespaces": [{"type": "mount"}, {"type": "pid", "path": "/proc/7/ns/pid"}]}});
        assert_eq!(namespaces(&spec), Ok(libc::CLONE_NEWNS | libc::CLONE_NEWPID));
        assert!(namespaces(&json!({"linux": {"namespaces": [{"type": "x"}]}})).is_err());
        assert_eq!(namespaces(&json!({})), Ok(0));
    }
}
