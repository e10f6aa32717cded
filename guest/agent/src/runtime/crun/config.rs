//! The host's spec as crun is to see it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cgroup::Parent;
use crate::failure::Failure;
use crate::runtime::own::capabilities;
use crate::runtime::{Container, CreateSpec};

/// crun loads these bytes instead of compiling `linux.seccomp`, for init and, from its own copy, for every exec.
const BPF_ANNOTATION: &str = "run.oci.seccomp_bpf_data";
const STAGE: &str = "create session";

pub fn of(container: &Container, create: CreateSpec) -> Result<Vec<u8>, Failure> {
    let mut spec = create.spec;
    spec.get_mut("process").into_iter().for_each(|process| capabilities::leave_out(process, capabilities::RAW_IO));
    let root = spec.as_object_mut().ok_or_else(|| Failure::invalid(STAGE, "the spec is not an object"))?;
    let linux = member(root, "linux")?;
    linux.insert("cgroupsPath".to_owned(), json!(Parent::of_guest().cgroups_path(&container.id)));
    if !create.seccomp_bpf.is_empty() {
        // crun takes the filter's flags from the profile; one without flags would get its defaults
        if create.seccomp_flags != 0 {
            linux.insert("seccomp".to_owned(), profile_with(create.seccomp_flags)?);
        }
        let data = STANDARD.encode(&create.seccomp_bpf);
        member(root, "annotations")?.insert(BPF_ANNOTATION.to_owned(), Value::String(data));
    }
    Ok(spec.to_string().into_bytes())
}

fn member<'a>(
    within: &'a mut serde_json::Map<String, Value>,
    name: &str,
) -> Result<&'a mut serde_json::Map<String, Value>, Failure> {
    let value = within.entry(name).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(|| Failure::invalid(STAGE, format!("{name} is not an object")))
}

/// A profile whose only purpose is its flags.
fn profile_with(flags: u32) -> Result<Value, Failure> {
    const NAMES: [(u32, &str); 3] =
        [(1, "SECCOMP_FILTER_FLAG_TSYNC"), (2, "SECCOMP_FILTER_FLAG_LOG"), (4, "SECCOMP_FILTER_FLAG_SPEC_ALLOW")];
    let known: u32 = NAMES.iter().map(|(bit, _)| bit).sum();
    if flags & !known != 0 {
        return Err(Failure::invalid(STAGE, format!("unknown seccomp flags {:#x}", flags & !known)));
    }
    let names: Vec<&str> = NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    Ok(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": names}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(spec: Value, bpf: &[u8], flags: u32) -> Value {
        let container = Container { id: "ab".to_owned(), directory: "/run/x".into(), cgroup: None };
        let create = CreateSpec { spec, seccomp_bpf: bpf.to_vec(), seccomp_flags: flags };
        serde_json::from_slice(&of(&container, create).unwrap()).unwrap()
    }

    #[test]
    fn puts_every_session_below_the_agents_own_cgroup() {
        let config = made(json!({"linux": {"cgroupsPath": "/elsewhere"}}), &[], 0);
        assert_eq!(config, json!({"linux": {"cgroupsPath": "/a3s/ab"}}));
    }

    #[test]
    fn hands_the_filter_over_beside_what_is_there() {
        let config = made(json!({"annotations": {"a": "b"}}), &[1, 2, 3], 0);
        assert_eq!(config.pointer("/annotations/a"), Some(&json!("b")));
        assert_eq!(config.pointer("/annotations/run.oci.seccomp_bpf_data"), Some(&json!("AQID")));
        assert_eq!(config.pointer("/linux/seccomp"), None);
    }

    #[test]
    fn gives_the_filters_flags_to_crun() {
        let config = made(json!({}), &[1], 2);
        assert_eq!(config.pointer("/linux/seccomp/flags"), Some(&json!(["SECCOMP_FILTER_FLAG_LOG"])));
    }
}
