//! What this process may hand on. A runtime may be without some capability, CAP_SYS_RESOURCE mostly: runc would fail where a
//! container asks for more (with a broken pipe, for the OOM score). The container gets as much as there is.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Value, json};

use crate::runtime::own::capabilities::bit;

/// Of capabilities(7).
const SYS_RESOURCE: u64 = 1 << 24;

#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Bit n is capability n.
    capabilities: u64,
    /// Least oom_score_adj; None: any.
    oom_score: Option<i64>,
    /// Largest hard limit of open files; None: any.
    open_files: Option<u64>,
}

impl Allowed {
    pub fn here() -> Self {
        let capabilities = own_capabilities();
        if capabilities & SYS_RESOURCE != 0 {
            return Self { capabilities, ..Self::everything() };
        }
        let oom_score = fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
        let open_files = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard);
        Self { capabilities, oom_score, open_files }
    }

    pub const fn everything() -> Self {
        Self { capabilities: u64::MAX, oom_score: None, open_files: None }
    }

    /// An OCI process. An OOM score that it does not set is 0, and not the agent's.
    pub fn clamp(&self, process: &mut Value) {
        let Some(process) = process.as_object_mut() else { return };
        let asked = process.get("oomScoreAdj").and_then(Value::as_i64).unwrap_or(0);
        process.insert("oomScoreAdj".to_owned(), json!(self.oom_score.map_or(asked, |least| asked.max(least))));
        let sets = process.get_mut("capabilities").and_then(Value::as_object_mut);
        for set in sets.into_iter().flat_map(|sets| sets.values_mut()).filter_map(Value::as_array_mut) {
            set.retain(|name| name.as_str().and_then(bit).is_none_or(|bit| self.capabilities & bit != 0));
        }
        let limits = process.get_mut("rlimits").and_then(Value::as_array_mut).into_iter().flatten();
        for limit in limits.filter(|one| one.get("type").is_some_and(|kind| kind == "RLIMIT_NOFILE")) {
            self.clamp_open_files(limit);
        }
    }

    fn clamp_open_files(&self, limit: &mut Value) {
        let Some(most) = self.open_files else { return };
        for name in ["soft", "hard"] {
            if let Some(value) = limit.get_mut(name) {
                let asked = value.as_u64().unwrap_or(most);
                *value = json!(asked.min(most));
            }
        }
    }
}

/// CapEff of proc_pid_status(5).
fn own_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clamped(allowed: Allowed, process: Value) -> Value {
        let mut process = process;
        allowed.clamp(&mut process);
        process
    }

    #[test]
    fn hands_on_no_more_than_there_is() {
        let little = Allowed { capabilities: !SYS_RESOURCE, oom_score: Some(0), open_files: Some(4096) };
        let limit = |soft: u64, hard: u64| json!({"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard});
        let other = json!({"type": "RLIMIT_CORE", "soft": 9999, "hard": 9999});
        let asked = json!({
            "oomScoreAdj": -997,
            "rlimits": [limit(1024, 524_288), other],
            "capabilities": {"bounding": ["CAP_SYS_RESOURCE", "CAP_CHOWN"], "ambient": []},
        });
        let expected = json!({
            "oomScoreAdj": 0,
            "rlimits": [limit(1024, 4096), other],
            "capabilities": {"bounding": ["CAP_CHOWN"], "ambient": []},
        });
        assert_eq!(clamped(little, asked), expected);
    }

    #[test]
    fn what_is_not_asked_for_is_not_the_agents() {
        assert_eq!(clamped(Allowed::everything(), json!({})), json!({"oomScoreAdj": 0}));
        assert_eq!(clamped(Allowed::everything(), json!({"oomScoreAdj": -997})), json!({"oomScoreAdj": -997}));
    }
}
