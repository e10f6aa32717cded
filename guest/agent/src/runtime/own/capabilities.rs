//! Capability names as sets of bits. Source: capabilities(7).

use serde_json::Value;

use super::spec::Capabilities;

/// By number: CAP_CHOWN is 0.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

pub const SYS_ADMIN: u64 = 1 << 21;
/// No program of a Box has it (init/raw_io.rs), whatever its spec asks for.
pub const RAW_IO: u64 = 1 << 17;
/// One more than the largest number.
pub const COUNT: u32 = 41;

/// Bit n is capability n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

impl Sets {
    pub const fn without(self, bits: u64) -> Self {
        Self {
            bounding: self.bounding & !bits,
            effective: self.effective & !bits,
            permitted: self.permitted & !bits,
            inheritable: self.inheritable & !bits,
            ambient: self.ambient & !bits,
        }
    }
}

/// What an OCI process asks for, without that capability.
pub fn leave_out(process: &mut Value, capability: u64) {
    let sets = process.pointer_mut("/capabilities").and_then(Value::as_object_mut);
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()).filter_map(Value::as_array_mut) {
        set.retain(|name| name.as_str().and_then(bit) != Some(capability));
    }
}

/// The sets, or the name that is none.
pub fn sets(named: &Capabilities) -> Result<Sets, String> {
    Ok(Sets {
        bounding: set(&named.bounding)?,
        effective: set(&named.effective)?,
        permitted: set(&named.permitted)?,
        inheritable: set(&named.inheritable)?,
        ambient: set(&named.ambient)?,
    })
}

fn set(names: &[String]) -> Result<u64, String> {
    names.iter().try_fold(0, |bits, name| Ok(bits | bit(name).ok_or_else(|| format!("unknown capability {name:?}"))?))
}

pub fn bit(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|one| *one == short).map(|number| 1 << number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_the_names_as_the_kernel_does() {
        assert_eq!(bit("CAP_CHOWN"), Some(1));
        assert_eq!(bit("CAP_SYS_ADMIN"), Some(SYS_ADMIN));
        assert_eq!(bit("cap_checkpoint_restore"), Some(1 << (COUNT - 1)));
    }

    #[test]
    fn leaves_one_out_by_any_of_its_names_and_no_other() {
        let mut process =
            json!({"capabilities": {"bounding": ["CAP_SYS_RAWIO", "CAP_KILL"], "ambient": ["sys_rawio"]}});
        leave_out(&mut process, RAW_IO);
        assert_eq!(process, json!({"capabilities": {"bounding": ["CAP_KILL"], "ambient": []}}));
        let all = Sets { bounding: u64::MAX, effective: RAW_IO | SYS_ADMIN, ..Sets::default() };
        let rest = all.without(RAW_IO);
        assert_eq!((rest.bounding, rest.effective), (!RAW_IO, SYS_ADMIN));
    }

    #[test]
    fn names_the_capability_that_it_does_not_know() {
        let named = Capabilities { ambient: vec!["CAP_FLY".to_owned()], ..Capabilities::default() };
        assert_eq!(sets(&named), Err("unknown capability \"CAP_FLY\"".to_owned()));
    }
}
