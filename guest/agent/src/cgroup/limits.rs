//! OCI `linux.resources` as writes to cgroup v2 files.

use std::io;

use serde_json::Value;

use super::Cgroup;

/// Kernel default of cpu.max, in microseconds.
const DEFAULT_PERIOD_US: u64 = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    #[error("{0}")]
    Invalid(String),
    #[error("write {value:?} to {file}: {source}")]
    Write { file: String, value: String, source: io::Error },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    file: String,
    value: String,
}

/// Sets what `resources` names. When one write fails, those before it are taken back.
pub fn apply(cgroup: &Cgroup, resources: &Value) -> Result<(), LimitError> {
    let current_cpu = cgroup.read("cpu.max").unwrap_or_default();
    let mut undo: Vec<Write> = Vec::new();
    for write in writes(resources, &current_cpu)? {
        let before = cgroup.read(&write.file).map(|text| text.trim().to_owned());
        if let Err(source) = cgroup.write(&write.file, &write.value) {
            for Write { file, value } in undo.iter().rev() {
                let _ = cgroup.write(file, value);
            }
            return Err(LimitError::Write { file: write.file, value: write.value, source });
        }
        undo.extend(before.ok().map(|value| Write { file: write.file, value }));
    }
    Ok(())
}

/// Swap is left out: the guest has none, nor the file.
fn writes(resources: &Value, current_cpu: &str) -> Result<Vec<Write>, LimitError> {
    if !resources.is_object() {
        return Err(LimitError::Invalid("resources is not an object".to_owned()));
    }
    let mut writes = Vec::new();
    let mut add = |file: &str, value: String| writes.push(Write { file: file.to_owned(), value });
    if let Some(shares) = number(resources, "/cpu/shares")? {
        add("cpu.weight", weight_of_shares(shares).to_string());
    }
    let (quota, period) = (number(resources, "/cpu/quota")?, number(resources, "/cpu/period")?);
    if quota.is_some() || period.is_some() {
        add("cpu.max", cpu_max(quota, period, current_cpu));
    }
    for (pointer, file) in [("/cpu/cpus", "cpuset.cpus"), ("/cpu/mems", "cpuset.mems")] {
        if let Some(text) = resources.pointer(pointer).and_then(Value::as_str) {
            add(file, text.to_owned());
        }
    }
    for (pointer, file) in
        [("/memory/limit", "memory.max"), ("/memory/reservation", "memory.low"), ("/pids/limit", "pids.max")]
    {
        if let Some(limit) = number(resources, pointer)? {
            add(file, or_max(limit));
        }
    }
    for page in resources.get("hugepageLimits").and_then(Value::as_array).into_iter().flatten() {
        let size = page.get("pageSize").and_then(Value::as_str).unwrap_or_default();
        if let Some(limit) = number(page, "/limit")? {
            // the second is for mappings that have no page yet: these fail, where a program would be killed at its first use
            for file in [format!("hugetlb.{size}.max"), format!("hugetlb.{size}.rsvd.max")] {
                add(&file_name(&file)?, limit.to_string());
            }
        }
    }
    for (file, value) in resources.get("unified").and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().ok_or_else(|| LimitError::Invalid(format!("unified.{file} is not a string")))?;
        if !file.starts_with("memory.swap.") {
            add(&file_name(file)?, text.to_owned());
        }
    }
    Ok(writes)
}

/// A controller's file: no path, and none of the kernel's own (cgroup.procs …).
fn file_name(name: &str) -> Result<String, LimitError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if plain && name.contains('.') && !name.starts_with('.') && !name.starts_with("cgroup.") {
        return Ok(name.to_owned());
    }
    Err(LimitError::Invalid(format!("{name:?} is not a controller's file")))
}

fn number(within: &Value, pointer: &str) -> Result<Option<i64>, LimitError> {
    match within.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(number) => Ok(Some(number)),
            None => Err(LimitError::Invalid(format!("{pointer} is not a number"))),
        },
    }
}

fn or_max(limit: i64) -> String {
    if limit <= 0 { "max".to_owned() } else { limit.to_string() }
}

/// The range 2 … 262144 of shares onto 1 … 10000 of weights, as Kubernetes and runc do.
fn weight_of_shares(shares: i64) -> i64 {
    let shares = shares.clamp(2, 262_144);
    1 + ((shares - 2) * 9_999) / 262_142
}

/// What is absent stays as it is.
fn cpu_max(quota: Option<i64>, period: Option<i64>, current: &str) -> String {
    let mut words = current.split_ascii_whitespace();
    let current_quota = words.next().unwrap_or("max").to_owned();
    let current_period = words.next().and_then(|word| word.parse().ok()).unwrap_or(DEFAULT_PERIOD_US);
    let quota = quota.map_or(current_quota, or_max);
    let period = period.and_then(|us| u64::try_from(us).ok()).filter(|us| *us > 0).unwrap_or(current_period);
    format!("{quota} {period}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(resources: Value) -> Vec<(String, String)> {
        writes(&resources, "50000 100000\n").unwrap().into_iter().map(|write| (write.file, write.value)).collect()
    }

    fn pair(file: &str, value: &str) -> (String, String) {
        (file.to_owned(), value.to_owned())
    }

    #[test]
    fn writes_nothing_for_absent_members() {
        assert_eq!(written(json!({"memory": {"swap": 5}, "cpu": {}, "devices": []})), []);
    }

    #[test]
    fn keeps_the_half_of_cpu_max_that_is_absent() {
        assert_eq!(written(json!({"cpu": {"quota": 20000}})), [pair("cpu.max", "20000 100000")]);
        assert_eq!(written(json!({"cpu": {"period": 50000}})), [pair("cpu.max", "50000 50000")]);
        assert_eq!(written(json!({"cpu": {"quota": -1}})), [pair("cpu.max", "max 100000")]);
    }

    #[test]
    fn turns_shares_into_weights_and_minus_one_into_max() {
        let resources =
            json!({"cpu": {"shares": 1024}, "memory": {"limit": -1, "reservation": 4096}, "pids": {"limit": 7}});
        let expected =
            [pair("cpu.weight", "39"), pair("memory.max", "max"), pair("memory.low", "4096"), pair("pids.max", "7")];
        assert_eq!(written(resources), expected);
        assert_eq!((weight_of_shares(2), weight_of_shares(262_144), weight_of_shares(0)), (1, 10_000, 1));
    }

    #[test]
    fn limits_huge_pages_used_and_reserved() {
        let resources = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]});
        let expected = [pair("hugetlb.2MB.max", "4194304"), pair("hugetlb.2MB.rsvd.max", "4194304")];
        assert_eq!(written(resources), expected);
    }

    #[test]
    fn takes_controller_files_only_from_unified() {
        let resources = json!({"unified": {"memory.high": "9", "memory.swap.max": "0"}});
        assert_eq!(written(resources), [pair("memory.high", "9")]);
        for name in ["cgroup.procs", "../memory.max", "memory/max", "", "max", ".x"] {
            assert!(writes(&json!({"unified": {name: "1"}}), "").is_err());
        }
    }

    #[test]
    fn refuses_what_is_not_resources() {
        assert!(writes(&json!([]), "").is_err());
        assert!(writes(&json!({"memory": {"limit": "much"}}), "").is_err());
    }
}
