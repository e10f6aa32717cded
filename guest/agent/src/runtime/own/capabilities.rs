//! Capability names as sets of bits. Source: capabilities(7).

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
    use super::*;

    #[test]
    fn numbers_the_names_as_the_kernel_does() {
        assert_eq!(bit("CAP_CHOWN"), Some(1));
        assert_eq!(bit("CAP_SYS_ADMIN"), Some(SYS_ADMIN));
        assert_eq!(bit("cap_checkpoint_restore"), Some(1 << (COUNT - 1)));
    }

    #[test]
    fn names_the_capability_that_it_does_not_know() {
        let named = Capabilities { ambient: vec!["CAP_FLY".to_owned()], ..Capabilities::default() };
        assert_eq!(sets(&named), Err("unknown capability \"CAP_FLY\"".to_owned()));
    }
}
