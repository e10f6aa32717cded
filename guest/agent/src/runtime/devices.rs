//! Devices of the guest in a container's spec: whether those that it names are there, and all of them for who may have all.
//! Source: OCI runtime spec config-linux.md, "Devices"; sysfs, /sys/dev.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde_json::{Value, json};

use crate::failure::{Failure, while_doing};

const STAGE: &str = "create session";
/// An annotation of the OCI spec: "all".
const ANNOTATION: &str = "a3s.devices";
/// File systems of their own, which a container has its own of; links; and its terminal.
const NOT_NODES: [&str; 5] = ["pts", "shm", "mqueue", "fd", "console"];
/// The agent's own way to the host.
const OF_THE_AGENT: [&str; 2] = ["vport", "hvc"];

/// Refuses a device that the guest's kernel does not have.
pub fn complete(spec: &mut Value) -> Result<(), Failure> {
    let named = spec.pointer("/linux/devices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(missing) = named.iter().find(|device| !is_there(device)) {
        let path = missing.get("path").and_then(Value::as_str).unwrap_or_default();
        return Err(Failure::invalid(STAGE, format!("device {path}: the guest's kernel has none of these numbers")));
    }
    if spec.pointer(&format!("/annotations/{ANNOTATION}")).and_then(Value::as_str) != Some("all") {
        return Ok(());
    }
    let mut all = named.to_vec();
    below(Path::new("/dev"), &mut all).map_err(while_doing(STAGE, "list the guest's devices"))?;
    if let Some(linux) = spec.get_mut("linux").and_then(Value::as_object_mut) {
        linux.insert("devices".to_owned(), Value::Array(all));
    }
    Ok(())
}

/// A FIFO has no numbers, and what is malformed is told of by who reads the spec.
fn is_there(device: &Value) -> bool {
    let number = |name| device.get(name).and_then(Value::as_u64).unwrap_or_default();
    let directory = match device.get("type").and_then(Value::as_str) {
        Some("c" | "u") => "char",
        Some("b") => "block",
        _ => return true,
    };
    Path::new(&format!("/sys/dev/{directory}/{}:{}", number("major"), number("minor"))).exists()
}

fn below(directory: &Path, found: &mut Vec<Value>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if NOT_NODES.contains(&name.as_str()) || OF_THE_AGENT.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let facts = entry.metadata()?;
        if facts.is_dir() {
            below(&entry.path(), found)?;
        } else if facts.file_type().is_char_device() || facts.file_type().is_block_device() {
            found.push(json!({
                "type": if facts.file_type().is_block_device() { "b" } else { "c" },
                "path": entry.path(),
                "major": libc::major(facts.rdev()),
                "minor": libc::minor(facts.rdev()),
                "fileMode": facts.mode() & 0o7777,
                "uid": facts.uid(),
                "gid": facts.gid(),
            }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_devices_the_kernel_has() {
        assert!(is_there(&json!({"type": "c", "major": 1, "minor": 3})));
        assert!(!is_there(&json!({"type": "b", "major": 4000, "minor": 3})));
        assert!(is_there(&json!({"type": "p"})));
    }

    #[test]
    fn lists_all_when_asked_to_and_refuses_what_is_not_there() {
        let mut spec = json!({"annotations": {"a3s.devices": "all"}, "linux": {}});
        complete(&mut spec).unwrap();
        let all = spec.pointer("/linux/devices").unwrap().as_array().unwrap().clone();
        assert!(all.iter().any(|one| one["path"] == "/dev/null" && one["major"] == 1 && one["minor"] == 3));
        assert!(!all.iter().any(|one| one["path"].as_str().unwrap().starts_with("/dev/pts")));
        let mut odd = json!({"linux": {"devices": [{"type": "c", "path": "/dev/odd", "major": 4000, "minor": 1}]}});
        assert!(complete(&mut odd).unwrap_err().to_string().contains("/dev/odd"));
    }
}
